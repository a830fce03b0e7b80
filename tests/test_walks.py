"""Every edge-sleep command of every page is run as it stands there, or is named here with the reason why not and what tests it instead.

The pages are walked in the order of their lines, on a home after one micro-night whose edge-sleep.yaml makes nights of seconds.
"""
from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from edge_sleep.cli import main
from tests import micro
from tests.documents import PAGES, shell_lines, words_of

# Begin of a line -> why it is parsed and not run here.
ONLY_PARSED = {
    "docker compose": "a container engine; tests/docker/test_try.py runs what compose.yaml says",
    "edge-sleep timer": "this machine's systemd; tests/schedule/test_units.py, tests/cli/test_rhythm.py",
    "edge-sleep kernels build": "nvcc; tests/ops/test_build.py",
    "edge-sleep sync login": "an account at Dropbox; tests/remote/test_token.py",
    "edge-sleep serve": "it stays; tests/serve/test_server.py",
    "edge-sleep chat": "it asks a person; tests/cli/test_chat.py",
    "edge-sleep worker": "it stays; tests/thor/test_nights_elsewhere.py",
    "edge-sleep watch": "it stays; tests/schedule/test_watch.py",
    "edge-sleep thor": "two machines and what is typed on them; tests/cli/test_thor.py",
    "edge-sleep ship": "a paired machine; tests/cli/test_thor.py, tests/thor/test_nights_elsewhere.py",
    "edge-sleep sync": "a remote and a paired machine; tests/sync/test_commands.py",
    "edge-sleep export base": "minutes of a builder; tests/export/test_onnx.py, tests/export/test_gguf.py",
    "edge-sleep export --to onnx": "the same",
    "edge-sleep export --to gguf": "the same",
    "edge-sleep restore": "a folder that is not there yet; tests/cli/test_backup.py",
    "edge-sleep bench": "minutes to hours of measurement",
}
# sync import asks nobody.
RUN_ALL_THE_SAME = ("edge-sleep sync import", "edge-sleep sync status")
# Nights end by name; on whatever machine this is doctor may find something wanting.
ENDS = {"night": {0, 10, 11, 12, 15}, "doctor": {0, 22}}
# Pages that neither train nor load a model: in every run. The others by command, and the examples of the reference are other pages' lines.
QUICK = ("docs/collecting.md", "docs/rhythm.md")
LINES = {page: [line for line in shell_lines(page) if words_of(line) is not None] for page in PAGES if page != "docs/reference.md"}


def why_not(line: str) -> str | None:
    if line.startswith(RUN_ALL_THE_SAME):
        return None
    return next((why for begin, why in ONLY_PARSED.items() if line.startswith(begin)), None)


WALKS = {page: lines for page, lines in LINES.items() if any(why_not(line) is None for line in lines)}


def test_what_is_left_out_is_taught_somewhere() -> None:
    """A reason that no page needs is a reason nobody reads. `bench`, `watch` and `restore` stand in other pages' prose."""
    lines = [line for page in LINES.values() for line in page]
    unused = {begin for begin in ONLY_PARSED if not any(line.startswith(begin) for line in lines)}
    assert unused <= {"edge-sleep bench", "edge-sleep watch", "edge-sleep restore"}
    for why in ONLY_PARSED.values():
        assert all((Path(__file__).parent.parent / file).is_file() for file in re.findall(r"tests/[\w/]+\.py", why))


@pytest.fixture
def place(micro_home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home folder with what the pages speak of: homes, models, transcripts, a robot."""
    me = tmp_path / "me"
    settings: dict[str, dict] = {}
    for item in (*micro.SETS, f"companion.model={micro_home.model}"):
        key, _, value = item.partition("=")
        section, _, name = key.partition(".")
        settings.setdefault(section, {})[name] = value
    text = "".join(f"{section}:\n" + "".join(f"  {name}: {value}\n" for name, value in keys.items()) for section, keys in settings.items())
    me.mkdir()
    for name in ("companion", "sage-companion"):
        os.symlink(micro_home.root, me / name) if name == "companion" else os.symlink(me / "companion", me / name)
    (micro_home.root / "edge-sleep.yaml").write_text(text)
    more = [(prompt.replace("the", "our"), response.replace("the", "our")) for prompt, response in micro.TALK]
    for folder in ("transcripts", "HRM/sage/raising/sessions"):
        micro.write_talk(me / folder, more, number=7)
    (me / "HRM/dropbox").mkdir(parents=True)
    buffer = [{"prompt": "Who sings?", "response": "Lena sings in the choir on Sundays.", "salience": {"total": 0.7}, "session": 3}]
    (me / "HRM/sage/raising/experience_buffer.json").write_text(json.dumps(buffer))
    sync = {"version": "1.0", "machines": {"jetson": {"role": "raising", "auto_upload": True}}, "sync_targets": {}}
    for file in (me / "HRM/dropbox/sync_config.json", me / "sync_config.json"):
        file.write_text(json.dumps(sync))
    for robot in ("my_robot.py", "run_session_identity_anchored.py"):
        (me / robot).write_text("print('talks')\n")
    (me / "models").mkdir()
    os.symlink(micro_home.model, me / "models" / "Qwen2.5-0.5B-Instruct")
    (me / "bin").mkdir()
    os.symlink(sys.executable, me / "bin" / "python")
    monkeypatch.setenv("PATH", f"{me / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(me)
    for name, value in {"HOME": me, "EDGE_SLEEP_HOME": me / "companion", "SESSIONS": me / "HRM/sage/raising/sessions",
                        "BASE": me / "models/Qwen2.5-0.5B-Instruct"}.items():
        monkeypatch.setenv(name, str(value))
    corpus = os.environ.get("EDGE_SLEEP_SAGE_CORPUS")
    if corpus:
        monkeypatch.setenv("SESSIONS", corpus)
    return me


@pytest.mark.parametrize("page", [pytest.param(page, marks=() if page in QUICK else pytest.mark.long) for page in WALKS])
@pytest.mark.night
def test_walk(page: str, place: Path, micro_home, capfd: pytest.CaptureFixture) -> None:
    ran = 0
    for line in WALKS[page]:
        if why_not(line) is not None:
            continue
        words = [os.path.expanduser(os.path.expandvars(word)) for word in words_of(line) or []]
        if words[0] == "night" and page == "README.md":
            words = [word.replace("Qwen/Qwen2.5-0.5B-Instruct", str(micro_home.model)) for word in words]      # a hub id
        words = [_one_of(place) if re.fullmatch(r"[0-9a-f]{16}", word) else word for word in words]
        words = [str(micro_home.model) if word == str(place / "models/Qwen2.5-0.5B-Instruct") else word for word in words]
        capfd.readouterr()
        code = main.run(words)
        said = capfd.readouterr()
        assert code in ENDS.get(words[0], {0}), f"{page}: {shlex.join(words)}: {code}\n{said.out}\n{said.err}"
        ran += 1
    assert ran


def _one_of(place: Path) -> str:
    """An experience of the home, where a page shows an id."""
    from edge_sleep.data.buffer import Buffer
    with Buffer(place / "companion" / "experience.db") as buffer:
        return buffer.items(status="kept")[0].id
