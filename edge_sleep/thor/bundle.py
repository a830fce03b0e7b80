"""A job with its files, and a result with its own, in one archive each: packed here, and unpacked as what a stranger sent.

A job: job.json, examples.jsonl, held_out.jsonl where training watches it, parent/ where it goes on from an adapter, state/
where it goes on from a step. A result: result.json, candidate/ with the adapter and its manifest.

Unpacking, names, sizes, ratios and the document are checked before anything is written; then every file against the sha256
that the document lists, JSON and safetensors against their form, in a folder that gets its name once all of it held.
"""
from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from edge_sleep.errors import RemoteRefused, UsageError
from edge_sleep.system import foreign
from edge_sleep.system.files import TEMPORARY, new_folder, publish_folder, storage_errors, write_bytes, write_sealed
from edge_sleep.thor import archive, job, weights
from edge_sleep.thor.job import Document, Job, Result

JOB, RESULT = "job.json", "result.json"
EXAMPLES, HELD_OUT = "examples.jsonl", "held_out.jsonl"
PARENT = ("parent/adapter_model.safetensors", "parent/adapter_config.json")
STATE = ("state/progress.json", "state/tensors.safetensors")
CANDIDATE = ("candidate/adapter_model.safetensors", "candidate/adapter_config.json", "candidate/manifest.json")
# The largest each may be. An adapter of rank 64 on 8 billion parameters is 670 MB; with AdamW's moments three times that.
LIMITS = {JOB: job.LIMIT_BYTES, RESULT: job.LIMIT_BYTES, EXAMPLES: 256 << 20, HELD_OUT: 32 << 20,
          "adapter_model.safetensors": 1 << 30, "adapter_config.json": 1 << 20,
          "progress.json": 16 << 20, "tensors.safetensors": 3 << 30, "manifest.json": 16 << 20}
_OF_A_JOB = {name: LIMITS[name.rpartition("/")[2]] for name in (JOB, EXAMPLES, HELD_OUT, *PARENT, *STATE)}
_OF_A_RESULT = {name: LIMITS[name.rpartition("/")[2]] for name in (RESULT, *CANDIDATE)}
_STEP = re.compile(r"step-(\d{6})")


def files_of_a_night(state: Path, parent: Path | None, step: Path | None) -> dict[str, Path]:
    """What a job carries of a night's state/: its examples, the adapter to go on from, the state of the step it reached."""
    files = {EXAMPLES: state / EXAMPLES}
    if (state / HELD_OUT).is_file():
        files[HELD_OUT] = state / HELD_OUT
    if parent is not None:
        files |= {name: parent / name.rpartition("/")[2] for name in PARENT}
    if step is not None:
        files |= {name: step / name.rpartition("/")[2] for name in STATE}
    return files


def files_of_a_candidate(state: Path) -> dict[str, Path]:
    return {name: state / name for name in CANDIDATE}


def pack(asked: Job, files: Mapping[str, Path], target: Path) -> None:
    """Write the archive. Raises IntegrityError where a file is not the one the job lists, UsageError where one cannot travel."""
    _pack(JOB, asked, files, _OF_A_JOB, target)


def pack_result(result: Result, files: Mapping[str, Path], target: Path) -> None:
    """As `pack`, of a result."""
    _pack(RESULT, result, files, _OF_A_RESULT, target)


def _pack(name: str, document: Job | Result, files: Mapping[str, Path], limits: Mapping[str, int], target: Path) -> None:
    for file, path in files.items():
        if file not in limits or path.stat().st_size > limits[file]:
            raise UsageError(f"{file} is too large to travel, or no file that does", f"at most {limits.get(file, 0)} bytes")
    job.check_files(document, files)
    written = target.parent / f"{TEMPORARY}{target.name}.{os.getpid()}"
    said = written.with_name(f"{written.name}.json")
    try:
        write_bytes(said, job.written(document))
        with storage_errors(target):
            written.touch(mode=0o600)
        archive.write(written, {name: said, **dict(sorted(files.items()))})
        with storage_errors(target), open(written, "rb") as stream:
            os.fsync(stream.fileno())
            os.replace(written, target)
    finally:
        said.unlink(missing_ok=True)
        written.unlink(missing_ok=True)


def unpack(packed: Path, into: Path) -> Job:
    """The job in an archive, its files in the new folder `into`. Raises RemoteRefused; then there is no `into`."""
    return _unpack(packed, into, JOB, Job, _OF_A_JOB)


def unpack_result(packed: Path, into: Path) -> Result:
    """As `unpack`, of a result."""
    return _unpack(packed, into, RESULT, Result, _OF_A_RESULT)


def _unpack(packed: Path, into: Path, name: str, kind: type[Document], limits: Mapping[str, int]) -> Document:
    what = packed.name
    if into.exists():
        raise UsageError(f"{into} is there already", "remove it, or unpack into another folder")
    with open(packed, "rb") as stream:
        entries = archive.entries(stream, what, limits)
        if name not in entries:
            raise RemoteRefused(f"{what}: it has no {name}", "do not open it; ask the machine it came from for a new one")
        said = io.BytesIO()
        archive.copy(stream, entries[name], what, said)
        document = job.read(said.getvalue(), kind, f"{what}: {name}")
        _right_files(document, {key: entry.bytes for key, entry in entries.items() if key != name}, what)
        with new_folder(into) as folder:
            folder.chmod(0o700)
            for key, entry in entries.items():
                file = folder / key
                file.parent.mkdir(exist_ok=True)
                with open(file, "xb") as out:
                    sha256 = archive.copy(stream, entry, what, out)
                if key != name and sha256 != document.files[key].sha256:
                    raise RemoteRefused(f"{what}: {key} is not the file that {name} lists (sha256)", "fetch it again")
                _right_form(file, f"{what}: {key}")
            publish_folder(folder, into)
    return document


def _right_files(document: Job | Result, found: Mapping[str, int], what: str) -> None:
    """Raises RemoteRefused where the archive holds other files than the document lists, or than its kind has."""
    if isinstance(document, Job):
        wanted = {EXAMPLES, *(PARENT if document.parent else ()), *(STATE if document.resume_step is not None else ())}
        optional = {HELD_OUT}
    else:
        wanted, optional = set(CANDIDATE), set()
    if missing := wanted - found.keys():
        raise RemoteRefused(f"{what}: {min(missing)} is missing")
    if beyond := found.keys() - wanted - optional:
        raise RemoteRefused(f"{what}: {min(beyond)} is one too many: what it says needs none")
    if odd := found.keys() ^ document.files.keys():
        raise RemoteRefused(f"{what}: {ascii(min(odd))[:80]} is {'not listed' if min(odd) in found else 'listed, not there'}")
    for name, size in found.items():
        if size != document.files[name].bytes:
            raise RemoteRefused(f"{what}: {name} has {size} bytes, {document.files[name].bytes} are listed")


def _right_form(file: Path, what: str) -> None:
    """safetensors by their header, JSON by being read as a stranger's. Lines of JSON are read by `verify`."""
    if file.suffix == ".safetensors":
        weights.forms(file, what)
    elif file.suffix == ".json":
        foreign.document(file.read_bytes(), what, limit_bytes=LIMITS[file.name])


def lay_out(received: Path, asked: Job, night: Path) -> tuple[Path, Path | None]:
    """A folder like a night's from an unpacked job: (its state/, its parent), as `train.session.train_candidate` takes them.

    Examples and steps are copied, so a start that was killed begins with what was sent. What is there already is left: the steps
    that this worker reached are further.
    """
    state, parent = night / "state", None
    state.mkdir(parents=True, exist_ok=True)
    if asked.parent is not None:
        parent = night / "parent" / asked.parent
        parent.mkdir(parents=True, exist_ok=True)
        for name in PARENT:
            _copy(received / name, parent / name.rpartition("/")[2])
    for name in (EXAMPLES, HELD_OUT):
        if (received / name).is_file():
            _copy(received / name, state / name)
    if asked.resume_step is not None and not any(_STEP.fullmatch(file.name) for file in state.glob("step-*")):
        with new_folder(state / f"step-{asked.resume_step:06d}") as step:
            for name in STATE:
                shutil.copyfile(received / name, step / name.rpartition("/")[2])
            publish_folder(step, state / f"step-{asked.resume_step:06d}")
    if not (state / "plan.json").is_file():
        write_sealed(state / "plan.json", {"format": 1, "key": asked.id, "data_sha256": asked.files[EXAMPLES].sha256,
                                         "parent": asked.parent, "candidates": 1, "experiences": list(asked.experiences),
                                         "night": asked.night})
    return state, parent


def _copy(source: Path, target: Path) -> None:
    if not target.is_file():
        write_bytes(target, source.read_bytes())
