"""What a parcel says of itself: its sheet, one sealed document. The files it names travel beside it, sealed each.

Of a night only numbers, names and hashes travel: a text with a space in it is no name, so no sentence that anybody said can.
"""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_sleep.errors import RemoteRefused
from edge_sleep.system import foreign

FORMAT = 1
LIMIT_BYTES = 8 << 20
MOST_FILES = 64
ADAPTER, EXPORT, MARKS = "adapter", "export", "marks"
BLOB = re.compile(r"blobs/[0-9a-f]{64}")
_ID = {ADAPTER: re.compile(r"[0-9a-f]{16}"), EXPORT: re.compile(r"base-[0-9a-f]{16}"), MARKS: re.compile(r"[0-9a-f]{16}")}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9_.:+-]{1,80}")

# Of record.json: everything else stays here, above all answers, questions, reasons and samples.
_OF_RECORD: dict[str, Any] = {
    "format": True, "night": True, "outcome": True, "exit_code": True, "started": True, "ended": True, "parent": True,
    "candidate": True, "base": {"sha256": True}, "phases": [{"name": True, "seconds": True, "outcome": True}],
    "data": dict.fromkeys(("sessions", "exchanges", "new", "selected", "replay", "tokens", "supervised_tokens", "sha256"), True),
    "plan": dict.fromkeys(("peak_bytes", "seconds", "where", "budget_seconds"), True),
    "measured": dict.fromkeys(("peak_bytes", "rss_peak_bytes", "load_seconds", "step_seconds_p50", "tokens_per_second",
                               "paused_seconds", "energy_joules", "max_celsius"), True),
    "train": dict.fromkeys(("steps", "epochs", "loss_first", "loss_last", "stop_reason", "planned_steps", "micro_batch",
                            "grad_accum_steps", "learning_rate", "processes"), True),
    "gate": {"verdict": True, "metrics": {"*": dict.fromkeys(("base", "before", "after", "low", "high", "n"), True)}},
    "environment": dict.fromkeys(("edge_sleep", "python", "system", "machine", "cores", "torch", "transformers", "peft",
                                  "bitsandbytes", "sees"), True)}


def told(record: Any) -> dict[str, Any]:
    """What of a night's record travels."""
    found = _told(record, _OF_RECORD)
    return found if isinstance(found, dict) else {}


def _told(value: Any, shape: Any) -> Any:
    if shape is True:
        return value if value is None or isinstance(value, (bool, int, float)) or _is_word(value) else None
    if isinstance(shape, list):
        return [_told(item, shape[0]) for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    if not isinstance(value, dict):
        return {}
    every = shape.get("*")
    return {key: _told(item, every or shape.get(key)) for key, item in value.items()
            if (_is_word(key) if every else key in shape)}


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


@dataclass(frozen=True)
class Blob:
    """A sealed file on the remote. name: blobs/<sha256 of its bytes>."""

    name: str
    size_bytes: int

    def as_json(self) -> dict:
        return {"name": self.name, "bytes": self.size_bytes}

    @property
    def sha256(self) -> str:
        return self.name.partition("/")[2]


@dataclass(frozen=True)
class Sheet:
    """kind adapter, export or marks; machine: who made it. manifest: of an adapter or artefact; files: its files' blobs by name.
    record: of the night that made it, as `told`; marks: {"latest", "daily"} of the machine, for kind marks alone."""

    kind: str
    id: str
    machine: str
    manifest: Mapping[str, Any] | None
    files: Mapping[str, Blob]
    record: Mapping[str, Any] | None = None
    marks: Mapping[str, Any] | None = None

    def content(self) -> bytes:
        """In the order of its parts, so that a manifest arrives as the bytes that it was."""
        return json.dumps({
            "format": FORMAT, "kind": self.kind, "id": self.id, "machine": self.machine, "manifest": self.manifest,
            "files": {name: blob.as_json() for name, blob in self.files.items()}, "record": self.record, "marks": self.marks},
            ensure_ascii=False, separators=(",", ":")).encode()

    @property
    def parent(self) -> str | None:
        return self.manifest.get("parent") if self.manifest else None

    @property
    def base(self) -> dict[str, Any]:
        return dict(self.manifest["base"]) if self.manifest else {}


def purpose(machine: str) -> str:
    """What a sheet is sealed for: none can be shown in another machine's list."""
    return f"sheet:{machine}"


def file_purpose(machine: str) -> str:
    """What a parcel's files are sealed for. Anybody can read a purpose, so it says no more; the sheet names each by its hash."""
    return f"parcel:{machine}"


def read(content: bytes, machine: str) -> Sheet:
    """The sheet in `content`, as `machine` made it. Raises RemoteRefused naming what is wrong."""
    found = foreign.document(content, "a parcel's sheet", limit_bytes=LIMIT_BYTES)
    if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] > FORMAT:
        raise RemoteRefused(f"a parcel of format {found['format']} is newer than this edge_sleep reads ({FORMAT})",
                            "update edge_sleep on this machine")
    keys = {"format", "kind", "id", "machine", "manifest", "files", "record", "marks"}
    if not isinstance(found, dict) or set(found) != keys or found["format"] != FORMAT or found["kind"] not in _ID:
        raise RemoteRefused("a parcel's sheet is not one that edge_sleep writes")
    if found["machine"] != machine:
        raise RemoteRefused(f"a parcel of machine {str(found['machine'])[:16]} stands in the list of {machine}")
    if not isinstance(found["id"], str) or not _ID[found["kind"]].fullmatch(found["id"]):
        raise RemoteRefused(f"a parcel's id {str(found['id'])[:40]!r} is none")
    files = blobs(found["files"])
    if found["kind"] == MARKS:
        if found["manifest"] is not None or files or not isinstance(found["marks"], dict):
            raise RemoteRefused("the marks of a machine are not what edge_sleep writes")
        return Sheet(MARKS, found["id"], machine, None, {}, None, found["marks"])
    manifest = _manifest(found["manifest"], found["id"])
    if set(files) != set(manifest["files"]):
        raise RemoteRefused(f"parcel {found['id']} does not carry the files that its manifest lists")
    record = found["record"]
    if record is not None and (not isinstance(record, dict) or told(record) != record):
        raise RemoteRefused(f"parcel {found['id']} tells more of its night than travels")
    return Sheet(found["kind"], found["id"], machine, manifest, files, record)


def blobs(found: Any) -> dict[str, Blob]:
    """Files by name. Raises RemoteRefused where a name is a path, or a blob none."""
    if not isinstance(found, dict) or len(found) > MOST_FILES:
        raise RemoteRefused(f"a parcel lists its files in another way, or more than {MOST_FILES}")
    for name in found:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,100}", name):
            raise RemoteRefused(f"a parcel lists a file {name[:40]!r}, which is no plain name")
    return {name: blob(of) for name, of in found.items()}


def blob(found: Any) -> Blob:
    """Raises RemoteRefused."""
    if not isinstance(found, dict) or set(found) != {"name", "bytes"} or not isinstance(found["name"], str) \
            or not BLOB.fullmatch(found["name"]) or type(found["bytes"]) is not int or found["bytes"] < 0:
        raise RemoteRefused("a list names a blob in a way that edge_sleep does not")
    return Blob(found["name"], found["bytes"])


def _manifest(found: Any, identity: str) -> dict[str, Any]:
    """What others read from a manifest without asking is there. Its files are hashed when they have arrived."""
    base = found.get("base") if isinstance(found, dict) else None
    files = found.get("files") if isinstance(found, dict) else None
    if not isinstance(base, dict) or not isinstance(base.get("source"), str) or not isinstance(base.get("sha256"), str) \
            or not _SHA256.fullmatch(base["sha256"]) or found.get("id") != identity or not isinstance(files, dict) or not files \
            or not all(isinstance(of, dict) and isinstance(of.get("sha256"), str) and _SHA256.fullmatch(of["sha256"])
                       and type(of.get("bytes")) is int and of["bytes"] >= 0 for of in files.values()):
        raise RemoteRefused(f"parcel {identity} carries no whole manifest")
    parent = found.get("parent")
    if parent is not None and (not isinstance(parent, str) or not _ID[ADAPTER].fullmatch(parent)):
        raise RemoteRefused(f"parcel {identity} names a parent that is none")
    return found
