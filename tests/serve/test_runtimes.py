"""Which runtime answers: by measurement on this machine, among what is faithful; pure, so a table."""
from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from edge_sleep.errors import UsageError
from edge_sleep.export.artefact import Made
from edge_sleep.serve import runtimes
from edge_sleep.serve.exported import KINDS

HERE = "a board, 2 cores, cpu"


def export(kind: str, tokens_per_second: float | None, judged: float = 10.0, where: str = HERE, runtime: str | None = None) -> Made:
    speed = None if tokens_per_second is None else {
        "tokens_per_second": tokens_per_second, "judged": judged, "where": where, "runtime": runtime or KINDS[kind].version()}
    return Made(Path("nowhere"), {"kind": kind, "speed": speed})


@pytest.mark.parametrize("asked, exports, chosen, why", [
    ("auto", {}, "transformers", "no faithful export was measured on this machine"),
    ("auto", {"merged": 25.0}, "merged", "25 tokens a second with transformers"),
    ("auto", {"merged": 25.0, "onnx": 30.0}, "onnx", "30 tokens a second with onnxruntime"),
    ("auto", {"merged": 9.0}, "transformers", "the fastest: 10 tokens a second, merged 9"),
    ("auto", {"merged": 10.0}, "transformers", "the fastest"),
    ("auto", {"merged": None}, "transformers", "no faithful export was measured"),
    ("transformers", {"merged": 25.0}, "transformers", "as configured"),
    ("merged", {"merged": 5.0, "onnx": 30.0}, "merged", "as configured"),
    ("merged", {"merged": None}, "merged", "as configured"),
    ("gguf", {"merged": 25.0}, "transformers", "asks for gguf, and no gguf export is current"),
])
def test_the_choice(asked: str, exports: dict, chosen: str, why: str) -> None:
    name, reason = runtimes.choose(asked, {kind: export(kind, speed) for kind, speed in exports.items()}, HERE)
    assert name == chosen and why in reason


def test_what_was_measured_elsewhere_or_with_another_version_says_nothing() -> None:
    for other in (export("merged", 99.0, where="another board"), export("merged", 99.0, runtime="transformers 0.1")):
        assert runtimes.choose("auto", {"merged": other}, HERE)[0] == "transformers"


def test_a_runtime_that_is_not_installed_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    made = export("merged", 99.0)

    def missing(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", missing)
    assert runtimes.choose("auto", {"merged": made}, HERE)[0] == "transformers"


def test_no_such_runtime() -> None:
    with pytest.raises(UsageError, match="no runtime is called tensorrt"):
        runtimes.load("tensorrt", None, None, None)
