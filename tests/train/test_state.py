"""The state of a night that was stopped: gone on with as it was written, or not at all."""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from edge_sleep.data.experience import Example
from edge_sleep.errors import IntegrityError
from edge_sleep.system.files import write_bytes, write_json, write_sealed
from edge_sleep.train import state

EXAMPLES = [Example(({"role": "user", "content": "Who waters the ferns?"}, {"role": "assistant", "content": "Grandfather does."}), 1.0, "new", "a")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three steps in; judged, but for its candidate's files."""
    write_sealed(tmp_path / "plan.json", {"format": 1, "key": "k", "data_sha256": state.write_examples(tmp_path, EXAMPLES), "parent": None,
                                          "candidates": 1, "experiences": ["a"]})
    write_sealed(tmp_path / "training.json", {"micro_batch": 2})
    write_sealed(tmp_path / "verdict.json", {"gate": {"verdict": "promoted"}, "effect": {}, "chat_template": "t"})
    step = tmp_path / "step-000003"
    counters = write_json(step / "progress.json", asdict(state.Progress(step=3, batch=6)) | {"sha256": write_bytes(step / "tensors.safetensors", b"x" * 64)})
    write_bytes(step / "progress.sha256", counters.encode())
    assert state.damaged(tmp_path) is None
    return tmp_path


FILES = ("plan.json", "examples.jsonl", "training.json", "verdict.json", "step-000003/progress.json", "step-000003/tensors.safetensors",
         "step-000003/progress.sha256")


@pytest.mark.parametrize("name", FILES)
def test_a_bit_anywhere_shows(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    blank = {"plan.json", "training.json", "verdict.json"}            # white space, and the seal's own name, say nothing
    for at in range(0, len(whole), 3):
        spoiled = whole[:at] + bytes([whole[at] ^ 1 << at % 7]) + whole[at + 1:]
        (folder / name).write_bytes(spoiled)
        if state.damaged(folder) is None:
            assert name in blank
            said, meant = json.loads(spoiled), json.loads(whole)
            assert {key: said[key] for key in meant if key != "sha256"} == {key: meant[key] for key in meant if key != "sha256"}


@pytest.mark.parametrize("name", FILES[:-1])
@pytest.mark.parametrize("content", [b"", None])
def test_empty_or_gone_shows(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).write_bytes(content) if content is not None else (folder / name).unlink()
    if name in ("training.json", "verdict.json") and content is None:
        assert state.damaged(folder) is None, "it has not come to that yet"
    else:
        assert state.damaged(folder)


def test_what_came_from_another_machine_has_no_seal(folder: Path) -> None:
    (folder / "step-000003" / "progress.sha256").unlink()
    assert state.damaged(folder) is None


def test_damaged_tensors_are_never_loaded(folder: Path) -> None:
    (folder / "step-000003" / "tensors.safetensors").write_bytes(b"y" * 64)
    with pytest.raises(IntegrityError, match="damaged"):
        state.restore(folder / "step-000003", {}, None)
