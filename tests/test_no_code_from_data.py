"""Data is never run: no pickle is opened, no model's own code imported, no text evaluated; the one shell is the owner's own command."""
from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

import pytest

from edge_sleep.device import detect
from edge_sleep.errors import ModelError
from edge_sleep.model import base
from tests import micro

TOP = Path(__file__).parent.parent
READERS = {"AutoConfig", "AutoTokenizer", "AutoModelForCausalLM"}
RUNS_CODE = {"pickle.load", "pickle.loads", "torch.load", "joblib.load", "dill.load", "dill.loads", "eval", "exec", "marshal.loads", "shelve.open",
             "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load", "numpy.load", "np.load"}


@cache
def calls() -> list[tuple[str, ast.Call, str, dict]]:
    """(file, call, what is called, its keywords) of the whole package."""
    found = []
    for file in (TOP / "edge_sleep").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
                keywords = {word.arg: word.value for word in node.keywords}
                found.append((file.relative_to(TOP).as_posix(), node, ast.unparse(node.func), keywords))
    return found


def test_nothing_that_runs_what_it_reads_is_called() -> None:
    found = [(file, node.lineno, name) for file, node, name, _ in calls() if name in RUNS_CODE]
    assert found == []


def test_one_shell_and_it_is_the_owners() -> None:
    found = {file for file, _, _, words in calls() if isinstance(shell := words.get("shell"), ast.Constant) and shell.value}
    assert found == {"edge_sleep/schedule/alarms.py"}           # schedule.command, of the home's own configuration


def test_yaml_is_read_by_a_safe_loader() -> None:
    for file, node, name, words in calls():
        if name == "yaml.load":
            assert ast.unparse(words.get("Loader", ast.Constant(None))) == "Yaml12", (file, node.lineno)


def test_every_reader_of_a_model_folder_refuses_its_code() -> None:
    seen = 0
    for file, node, name, words in calls():
        kind, _, call = name.rpartition(".")
        if kind in READERS and call == "from_pretrained" and not file.startswith("edge_sleep/seedling/"):
            seen += 1
            said = {key: ast.unparse(words[key]) for key in ("local_files_only", "trust_remote_code") if key in words}
            assert said == {"local_files_only": "True", "trust_remote_code": "False"}, (file, node.lineno)
    assert seen


@pytest.mark.night
def test_a_base_with_code_of_its_own_is_not_run_and_nobody_is_asked(tmp_path: Path, monkeypatch) -> None:
    """transformers would ask at the terminal, and take a yes."""
    model = micro.make_model(tmp_path / "model")
    ran = tmp_path / "ran"
    (model / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    for name, said in (("config.json", {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}}),
                       ("tokenizer_config.json", {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}})):
        (model / name).write_text(json.dumps(json.loads((model / name).read_text()) | said))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    place = base.resolve(str(model))
    with pytest.raises(ModelError, match="brings code of its own, which is never run"):
        base.load(base.Base(place, base.fingerprint(place)[0], "float32"), detect.choose())
    assert not ran.exists()
