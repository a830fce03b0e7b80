import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from edge_sleep.errors import IntegrityError
from edge_sleep.model import tensors

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
SHAPES = st.lists(st.integers(0, 4), max_size=3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(SHAPES, st.sampled_from(DTYPES)), min_size=1, max_size=5))
def test_what_is_written_is_read_here_and_by_the_library(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("tensors")
    named = {f"t{number}": (torch.rand(shape) * 100).to(dtype) for number, (shape, dtype) in enumerate(made)}
    sha256 = tensors.write(folder / "ours.safetensors", named.items())
    save_file(named, folder / "theirs.safetensors")
    library = load_file(folder / "ours.safetensors")
    for name in ("ours", "theirs"):
        with tensors.TensorFile(folder / f"{name}.safetensors") as file:
            assert file.entries.keys() == named.keys() == library.keys()
            for key, value in named.items():
                read = file.read(key)
                assert read.dtype == value.dtype and torch.equal(read, value) and torch.equal(library[key], value)
    assert len(sha256) == 64


@pytest.mark.parametrize("damage", [
    lambda raw: raw[:-1], lambda raw: raw[:4], lambda raw: b"", lambda raw: b"\xff" * 8 + raw[8:],
    lambda raw: raw[:8] + b"x" + raw[9:], lambda raw: (2).to_bytes(8, "little") + b"[]",
    lambda raw: raw.replace(b'"F32"', b'"F99"'), lambda raw: raw.replace(b"[3]", b"[4]")])
def test_a_damaged_file_is_named(tmp_path, damage):
    file = tmp_path / "x.safetensors"
    tensors.write(file, [("a", torch.ones(3))])
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(IntegrityError, match="x.safetensors"), tensors.TensorFile(file) as opened:
        opened.read("a")


def test_the_header_is_plain_json(tmp_path):
    tensors.write(tmp_path / "x", [("a", torch.ones(2, 2))])
    raw = (tmp_path / "x").read_bytes()
    assert json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")]) == {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
