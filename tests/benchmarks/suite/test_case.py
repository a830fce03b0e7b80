"""What may be measured, whom it is compared with, and where the suite writes; results and their names; a child's end."""
import json
import os

import pytest
from edge_sleep.benchmarks.suite import case, children, result
from edge_sleep.benchmarks.suite.children import Failed

from edge_sleep.errors import Exit, ModelError, UsageError
from tests.benchmarks.suite.made import DEVICE
from tests.benchmarks.suite.made import result as made


@pytest.mark.parametrize("text, expected", [("1x256", (1, 256)), ("16x8", (16, 8))])
def test_batch(text, expected):
    assert case.batch(text) == expected


@pytest.mark.parametrize("text", ["", "x", "0x4", "1x0", "1x1", "1x-4", "1 x 4", "1x4x4"])
def test_what_is_no_batch(text):
    with pytest.raises(UsageError, match="rows x tokens"):
        case.batch(text)


def test_a_companions_home_is_never_measured_in(tmp_path):
    (tmp_path / "base.json").write_text("{}")
    with pytest.raises(UsageError, match="did not make it"):
        case.workplace(tmp_path)
    own = case.workplace(tmp_path / "own")
    (own / "models").mkdir()
    assert case.workplace(own) == own


def test_peers_that_cannot_run_are_named(monkeypatch):
    monkeypatch.setattr(case.importlib.util, "find_spec", lambda name: None if name == "trl" else object())
    able, unable = case.peers(["hf", "trl", "liger", "hf"], cuda=False)
    assert able == ("hf",) and {row["who"]: row["reason"] for row in unable} == {
        "trl": "not installed: pip install trl", "liger": "it needs a CUDA GPU, and torch sees none"}
    assert case.peers(["liger"], cuda=True)[0] == ("liger",)
    with pytest.raises(UsageError, match="no such peer"):
        case.peers(["axolotl"], cuda=False)


def test_models(tmp_path):
    from edge_sleep.benchmarks import shapes
    assert case.model("seedling", tmp_path)[1] == "seedling"
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(shapes.keys(shapes.MADE["qwen2.5-0.5b"]) | {"architectures": ["Qwen2ForCausalLM"]}))
    assert case.model(str(folder), tmp_path) == (folder, "qwen2.5-0.5b")
    with pytest.raises(UsageError, match="no shape of that name"):
        case.model("qwen9", tmp_path)
    with pytest.raises(ModelError):
        case.model(str(tmp_path), tmp_path)


def test_a_result_is_kept_by_device_date_and_commit(tmp_path):
    document = made()
    file = result.keep(document, tmp_path / "results")
    assert file.name == "test-processor-9-20261128-010000-0123abcd.json" and result.read(file) == document
    assert result.name_of(document | {"commit": "0123abcd+", "device": DEVICE | {"gpu": "NVIDIA Orin"}}) == \
        "nvidia-orin-20261128-010000-0123abcd-changed"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"benchmark": "suite", "format": 2}', b'{"benchmark": "peak", "format": 1}'])
def test_what_is_no_result(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UsageError, match="result"):
        result.read(tmp_path / "x.json")


def test_an_installed_package_keeps_results_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(result, "checkout", lambda: None)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert result.folder(None) == tmp_path / "edge-sleep-bench" and result.folder(tmp_path / "mine") == tmp_path / "mine"
    assert result.commit(None).startswith("v") and result.commit(tmp_path).startswith("v")
    assert os.access(result.keep(made(), result.folder(None)), os.R_OK)


@pytest.mark.parametrize("code, stdout, expected", [
    (0, 'noise\n{"a": 1}\n', {"a": 1}), (0, "", "without a document"), (0, "[1]\n", "not with a document"),
    (1, "", "exit code 1: last words"), (-9, "", "signal 9"), (20, "", "exit code 20")])
def test_how_a_child_ends(code, stdout, expected):
    if isinstance(expected, dict):
        assert children.answered("it", code, stdout, "last words") == expected
        return
    with pytest.raises(Failed, match=expected) as failed:
        children.answered("it", code, stdout, "last words")
    assert failed.value.code == {0: Exit.BUG, 1: Exit.BUG, -9: Exit.DOES_NOT_FIT, 20: Exit.DOES_NOT_FIT}[code]


@pytest.mark.parametrize("form, least, most", [("gguf q8_0", 1.0, 1.1), ("onnx int8", 1.0, 1.2), ("4-bit with adapter", 0.5, 4.0),
                                               ("PEFT unmerged float32", 4.0, 4.0)])
def test_what_a_token_reads(tmp_path, form, least, most):
    """By hand, in bytes a weight: Q8_0 has 34 bytes for 32, NF4 half a byte, and the head stays as wide as it is computed in."""
    from edge_sleep.benchmarks import shapes
    from edge_sleep.benchmarks.suite import morning
    (tmp_path / "config.json").write_text(json.dumps(shapes.keys(shapes.MADE["qwen2.5-0.5b"]) | {"architectures": ["Qwen2ForCausalLM"]}))
    of = case.Case(tmp_path, "qwen2.5-0.5b", 1, 64, "float32", 5, 3, tmp_path)
    weights = of.of.linear_parameters + of.of.vocabulary * of.of.hidden
    assert least <= morning.read_per_token(of, form) / weights <= most
