"""What strangers send: each case refused by name, and nothing written, not even beside the job's folder."""
from __future__ import annotations

import json
import pickle
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from edge_sleep.errors import IntegrityError, RemoteRefused, UsageError
from edge_sleep.thor import archive, bundle, job
from tests.seal.homes import tree
from tests.thor import made
from tests.thor.made import raw_zip, relisted, safetensors, zipped

ONE = "examples.jsonl"
TENSOR = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
Contents = dict[str, bytes]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """The contents of a good bundle."""
    return made.of_zip(made.night(tmp_path_factory.mktemp("good")).pack())


def entry(name: str, **said: Any) -> Callable[[Contents, Path], Path]:
    """An archive of one entry beside a good document."""
    return lambda good, target: raw_zip([{"name": "job.json", "content": good["job.json"]}, {"name": name, "content": b"x", **said}], target)


def named(name: str, content: bytes = b"x") -> Callable[[Contents, Path], Path]:
    return lambda good, target: zipped(good | {name: content}, target)


def holding(name: str, content: bytes | Callable[[bytes], bytes], method: int = zipfile.ZIP_STORED) -> Callable[[Contents, Path], Path]:
    """A bundle whose document lists this content, as a program that makes hostile ones would."""
    return lambda good, target: zipped(relisted(good | {name: content(good[name]) if callable(content) else content}), target, method)


def saying(**changes: Any) -> Callable[[Contents, Path], Path]:
    return lambda good, target: zipped(relisted(good, **changes), target)


def of_document(content: bytes) -> Callable[[Contents, Path], Path]:
    return lambda good, target: zipped(good | {"job.json": content}, target)


def altered(change: Callable[[bytes], bytes]) -> Callable[[Contents, Path], Path]:
    def make(good: Contents, target: Path) -> Path:
        zipped(good, target)
        target.write_bytes(change(target.read_bytes()))
        return target
    return make


def touched(touch: Callable[[zipfile.ZipInfo], None]) -> Callable[[Contents, Path], Path]:
    return lambda good, target: zipped(good, target, touch=touch)


def twice(good: Contents, target: Path) -> Path:
    parts = [{"name": name, "content": content} for name, content in good.items()]
    return raw_zip([*parts, {"name": ONE, "content": b"other words"}], target)


def overlapping(good: Contents, target: Path) -> Path:
    """Fifield's better zip bomb: many entries, one content."""
    names = [name for name in good if name != "job.json"]
    return raw_zip([{"name": "job.json", "content": good["job.json"]}, *({"name": name, "content": b"x" * 50, "at": 10} for name in names)],
                   target)


def bomb_in_all(good: Contents, target: Path) -> Path:
    """Each within its own limit and ratio; together beyond the total."""
    sizes = {name: archive_limit for name, archive_limit in bundle._OF_A_JOB.items() if name != "job.json"}
    return raw_zip([{"name": "job.json", "content": good["job.json"]}, *(
        {"name": name, "content": bytes(size // archive.RATIO + 1), "unpacked": size, "method": 8, "crc": 0} for name, size in sizes.items())], target)


def lying(unpacked: int) -> Callable[[Contents, Path], Path]:
    def make(good: Contents, target: Path) -> Path:
        packer = zlib.compressobj(wbits=-15)
        content = packer.compress(good[ONE]) + packer.flush()
        files = json.loads(good["job.json"])["files"]
        files[ONE]["bytes"] += unpacked
        return raw_zip([{"name": name, "content": rest} for name, rest in relisted(good, files=files).items() if name != ONE] + [
            {"name": ONE, "content": content, "method": 8, "unpacked": len(good[ONE]) + unpacked, "crc": zlib.crc32(good[ONE])}], target)
    return make


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


class Evil:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("/tmp/a-pickle-was-loaded"),)


def tensor_file(**changes: Any) -> bytes:
    return safetensors({"a": TENSOR["a"] | changes}, b"\0" * 4)


def renamed(content: bytes) -> bytes:
    return save({f"{name}x": value for name, value in load(content).items()})


ADAPTER, MODEL_CONFIG, TENSORS, PROGRESS = "parent/adapter_model.safetensors", "parent/adapter_config.json", *reversed(bundle.STATE)
CASES: dict[str, tuple[Callable[[Contents, Path], Path], str]] = {
    # the archive
    "climbing path": (named("../../evil.json"), "'../../evil.json' climbs out of the folder"),
    "climbing in the middle": (named("parent/../../evil.json"), "climbs out of the folder"),
    "climbing with backslashes": (entry("..\\..\\evil.json"), "climbs out of the folder"),
    "absolute path": (named("/tmp/evil.json"), "'/tmp/evil.json' is an absolute path"),
    "absolute path with a drive": (entry("C:\\evil.json"), "is an absolute path"),
    "symbolic link": (touched(lambda item: setattr(item, "external_attr", (stat.S_IFLNK | 0o777) << 16)), "is a symbolic link"),
    "device": (touched(lambda item: setattr(item, "external_attr", (stat.S_IFCHR | 0o600) << 16)), "is no plain file"),
    "folder": (touched(lambda item: setattr(item, "external_attr", 0x10)), "is no plain file"),
    "name beyond the list": (named("notes.txt"), "'notes.txt' is no name of a file that travels here"),
    "name of a result": (named("candidate/manifest.json"), "is no name of a file that travels here"),
    "name that is not ASCII": (entry("job\xff.json"), r"'job\\xff.json' is no name"),
    "name with a zero byte": (entry("job.json\0.txt"), "is no name"),
    "pickled weights": (named("parent/adapter_model.bin"), "may hold a pickle: only JSON and safetensors travel"),
    "pickled optimiser": (named("state/optimizer.PT"), "may hold a pickle"),
    "twice the same name": (twice, "examples.jsonl is there twice"),
    "encrypted entry": (entry(ONE, flags=1), "examples.jsonl is encrypted"),
    "data descriptor": (entry(ONE, flags=8), "stored in a way that is not read"),
    "bzip2": (entry(ONE, method=12), "stored in a way that is not read"),
    "extra fields": (entry(ONE, extra=struct.pack("<HH4s", 1, 4, b"zip6")), "4 extra|8 extra"),
    "zip bomb by ratio": (holding(ONE, b"\n" * (8 << 20), zipfile.ZIP_DEFLATED), "a zip bomb"),
    "zip bomb by overlap": (overlapping, "overlaps another entry"),
    "zip bomb in all": (bomb_in_all, "too large: .* bytes in all"),
    "one file too large": (entry(ONE, method=8, unpacked=(256 << 20) + 1), "examples.jsonl is too large"),
    "content longer than it says": (lying(-9), "holds more than the .* bytes it says"),
    "content shorter than it says": (lying(9), "is damaged, or cut short"),
    "content that is not packed": (lambda good, target: raw_zip([{"name": "job.json", "content": b"\xff" * 9, "method": 8, "unpacked": 20}],
                                                                target), "job.json is damaged"),
    "directory and entry differ in size": (entry(ONE, local={"unpacked": 9}), "directory and entry say different things"),
    "directory and entry differ in name": (entry(ONE, local={"inside": "../evil.jsonl!"}), "directory and entry say different things"),
    "too many entries": (lambda good, target: raw_zip([{"name": f"{n}"} for n in range(40)], target), "too many entries: 40"),
    "more entries than it counts": (lambda good, target: raw_zip([{"name": "job.json"}, {"name": ONE}], target, count=1),
                                    "holds more than it lists"),
    "fewer entries than it counts": (lambda good, target: raw_zip([{"name": "job.json"}], target, count=2), "directory is cut short"),
    "zip64": (lambda good, target: raw_zip([{"name": "job.json"}], target, count=0xFFFF), "zip64 is not read"),
    "a comment": (lambda good, target: raw_zip([{"name": "job.json"}], target, comment=b"hello"), "does not end as one"),
    "something before it": (lambda good, target: raw_zip([{"name": "job.json"}], target, before=b"#!/bin/sh\n"),
                            "overlaps another entry, or hides something before it"),
    "something behind it": (altered(lambda whole: whole + b"x"), "does not end as one"),
    "cut": (altered(lambda whole: whole[:-30]), "does not end as one"),
    "cut from the front": (altered(lambda whole: whole[30:]), "directory is not where it says"),
    "empty": (altered(lambda whole: b""), "no archive, or cut short"),
    "a byte of content": (altered(lambda whole: whole.replace(b"harbour", b"harbxur", 1)), "is damaged"),
    "no document": (lambda good, target: zipped({ONE: good[ONE]}, target), "it has no job.json"),
    "tar": (altered(lambda whole: b"ustar".ljust(1024, b"\0")), "does not end as one"),
    # the document
    "deep JSON": (of_document(deep(50_000)), "nested too deeply: 50000 levels"),
    "deep JSON in a file": (holding(MODEL_CONFIG, deep(40)), "nested too deeply"),
    "NaN": (of_document(b'{"schema": 1, "training_seconds": NaN}'), "a number that is not finite"),
    "infinity": (of_document(b'{"schema": 1, "training_seconds": -Infinity}'), "a number that is not finite"),
    "huge float": (of_document(b'{"schema": 1, "training_seconds": 1e999}'), "a number out of range"),
    "huge integer": (of_document(b'{"schema": ' + b"9" * 100_000 + b"}"), "a number out of range"),
    "long float": (of_document(b'{"schema": 1, "x": 0.' + b"9" * 100_000 + b"}"), "a number out of range"),
    "key twice": (of_document(b'{"schema": 1, "schema": 1}'), "the key 'schema' twice"),
    "half a surrogate": (of_document(b'{"schema": 1, "x": "\\ud800"}'), "not readable JSON"),
    "not UTF-8": (of_document(b'{"schema": "\xff"}'), "not readable JSON"),
    "no JSON": (of_document(b"schema: 1"), "not readable JSON"),
    "a list": (of_document(b"[]"), "does not say which schema"),
    "too large a document": (of_document(b" " * (5 << 20)), "job.json is too large"),
    "newer schema": (saying(schema=2), "follows a newer schema"),
    "no schema": (saying(schema="1"), "does not say which schema"),
    "older schema": (saying(schema=0), "does not follow its schema"),
    "a field too many": (saying(run="rm"), "does not follow its schema: run"),
    "another id": (saying(id="0" * 32), "is not the hash of its content"),
    "id that is a path": (saying(id="../../../../etc/passwd00000000000"), "does not follow its schema: id"),
    "night that is a path": (saying(night="../2026"), "does not follow its schema: night"),
    "parent that is a path": (saying(parent="../../adapters/x"), "does not follow its schema: parent"),
    "negative step": (saying(resume_step=-1), "does not follow its schema: resume_step"),
    "step that is text": (saying(resume_step="3"), "does not follow its schema: resume_step"),
    "endless budget": (saying(budget_seconds=1e300), "does not follow its schema: budget_seconds"),
    "settings of a newer version": (saying(settings={"lora": {"magic": 1}, "train": {}, "system_prompt": "", "max_tokens": 64}),
                                    "does not follow its schema: settings.lora.magic"),
    "listed and not there": (lambda good, target: zipped(relisted(good, files={**json.loads(good["job.json"])["files"],
                                                                               "../../evil": {"sha256": "0" * 64, "bytes": 1}}), target),
                             "'../../evil' is listed, not there"),
    "not listed": (lambda good, target: zipped(relisted(good, files={}), target), "not listed"),
    "missing": (lambda good, target: zipped({name: content for name, content in good.items() if name != ONE}, target),
                "examples.jsonl is missing"),
    "half a parent": (lambda good, target: zipped({name: content for name, content in good.items() if name != MODEL_CONFIG}, target),
                      "parent/adapter_config.json is missing"),
    "a parent it does not speak of": (saying(parent=None), "parent/adapter.* is one too many"),
    "a state it does not speak of": (saying(resume_step=None), "state/.* is one too many"),
    "other content than listed": (lambda good, target: zipped(good | {ONE: good[ONE].replace(b"harbour", b"harbxur")}, target),
                                  "is not the file that job.json lists"),
    "another size than listed": (lambda good, target: zipped(good | {ONE: good[ONE] + b"\n"}, target), "bytes, .* are listed"),
    # safetensors
    "pickle named safetensors": (holding(ADAPTER, pickle.dumps(Evil())), "a pickle or an archive under the name of safetensors"),
    "torch.save named safetensors": (holding(TENSORS, b"PK\3\4" + b"\0" * 99), "a pickle or an archive"),
    "10 GB header": (holding(ADAPTER, safetensors(TENSOR, b"\0" * 4, length=10 << 30)), "its header is too large: 10737418240 bytes"),
    "header of 2^64": (holding(ADAPTER, safetensors(TENSOR, b"\0" * 4, length=2**64 - 1)), "its header is too large"),
    "header outside of the file": (holding(ADAPTER, safetensors(TENSOR, b"\0" * 4, length=900)), "reaches outside of the file"),
    "header that is no JSON": (holding(ADAPTER, safetensors(b"{]")), "not readable JSON|nested"),
    "header that is a list": (holding(ADAPTER, safetensors([1])), "its header is no list of tensors"),
    "header that is deep": (holding(ADAPTER, safetensors({"a": [[[[1]]]]})), "nested too deeply"),
    "tensor twice": (holding(ADAPTER, safetensors(b'{"a": 1, "a": 2}')), "the key 'a' twice"),
    "offsets that overlap": (holding(ADAPTER, safetensors(TENSOR | {"b": TENSOR["a"]}, b"\0" * 4)), "overlap another tensor"),
    "offsets with a gap": (holding(ADAPTER, safetensors({"a": TENSOR["a"] | {"data_offsets": [4, 8]}}, b"\0" * 8)), "leave a gap"),
    "offsets outside of the file": (holding(ADAPTER, tensor_file(data_offsets=[0, 400])), "reach outside of the file"),
    "offsets backwards": (holding(ADAPTER, tensor_file(data_offsets=[4, 0])), "reach outside of the file"),
    "offsets of another size": (holding(ADAPTER, tensor_file(shape=[2])), "are not the size of F32"),
    "shape that overflows": (holding(ADAPTER, tensor_file(shape=[1 << 32, 1 << 32, 1 << 32])), "are not the size of F32"),
    "negative shape": (holding(ADAPTER, tensor_file(shape=[-1, -1])), "has no shape"),
    "shape of truths": (holding(ADAPTER, tensor_file(shape=[True])), "has no shape"),
    "unknown dtype": (holding(ADAPTER, tensor_file(dtype="OBJECT")), "has the dtype 'OBJECT', which is not read"),
    "bytes of no tensor": (holding(ADAPTER, safetensors(TENSOR, b"\0" * 9)), "5 bytes belong to no tensor"),
    "metadata of numbers": (holding(ADAPTER, safetensors(TENSOR | {"__metadata__": {"a": 1}}, b"\0" * 4)), "its metadata is no text"),
    "name of control characters": (holding(ADAPTER, safetensors({"\x1b[2J": TENSOR["a"]}, b"\0" * 4)), "is no name of a tensor"),
    "safetensors of three bytes": (holding(ADAPTER, b"abc"), "no safetensors, or cut short"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_by_name(case: str, good: Contents, tmp_path: Path) -> None:
    make, words = CASES[case]
    (tmp_path / "jobs").mkdir()
    packed = make(good, tmp_path / "bundle")
    before = tree(tmp_path)
    with pytest.raises(RemoteRefused, match=words) as refused:
        bundle.unpack(packed, tmp_path / "jobs" / "one")
    assert tree(tmp_path) == before, "nothing was written"
    assert refused.value.message.isprintable() and len(refused.value.message) < 500
    assert not Path("/tmp/a-pickle-was-loaded").exists()


def test_a_good_one_is_taken_whole(good: Contents, tmp_path: Path) -> None:
    night = made.night(tmp_path)
    packed = night.pack()
    (tmp_path / "jobs").mkdir()
    before = tree(tmp_path)
    assert bundle.unpack(packed, tmp_path / "jobs" / "one") == night.job
    after = tree(tmp_path)
    assert {name: what for name, what in after.items() if not name.startswith("jobs/one")} == before
    for name, file in night.files.items():
        assert (tmp_path / "jobs" / "one" / name).read_bytes() == file.read_bytes()
    with pytest.raises(UsageError, match="there already"):
        bundle.unpack(packed, tmp_path / "jobs" / "one")
    assert made.of_zip(packed).keys() == {"job.json", *night.files}, "any unzip opens it"
    again = tmp_path / "again"
    bundle.pack(night.job, night.files, again)
    assert again.read_bytes() == packed.read_bytes(), "the same job makes the same bytes"


def test_only_what_is_listed_is_packed(tmp_path: Path) -> None:
    night = made.night(tmp_path)
    with pytest.raises(IntegrityError, match="held_out.jsonl is not the file"):
        bundle.pack(night.job, {name: file for name, file in night.files.items() if name != "held_out.jsonl"}, tmp_path / "b")
    with pytest.raises(UsageError, match="no file that does"):
        bundle.pack(night.job, night.files | {"weights.bin": night.files[ONE]}, tmp_path / "b")
    night.files[ONE].write_text("")
    with pytest.raises(IntegrityError, match="examples.jsonl is not the file"):
        night.pack()
    assert not (tmp_path / "b").exists() and not list(tmp_path.glob(".tmp-*"))


def test_text_that_repeats_itself_is_not_taken_for_a_bomb(tmp_path: Path) -> None:
    (tmp_path / ONE).write_bytes(b"\n" * 1_000_000)
    archive.write(tmp_path / "a", {ONE: tmp_path / ONE})
    with open(tmp_path / "a", "rb") as stream:
        entry = archive.entries(stream, "a", {ONE: 1 << 20})[ONE]
    assert entry.method == 0 and entry.packed == entry.bytes == 1_000_000


def test_a_job_says_the_same_in_every_order(tmp_path: Path) -> None:
    night = made.night(tmp_path)
    document = json.loads(job.written(night.job))
    turned = json.dumps(dict(reversed(document.items())), indent=3).encode()
    assert job.read(turned, job.Job, "job") == night.job
    assert torch.equal(load((night.parent / "adapter_model.safetensors").read_bytes())[f"{made.NAMES[0]}.weight"],
                       made.tensors(1)[f"{made.NAMES[0]}.weight"])
