"""Who a machine is to others: its public keys, and the signed statements by which these followed each other.

id: first 16 hex of sha256 over its first signing key, so it stays through every rotation. A statement names the old key and
the new ones, and is signed by both: by the old one, that this is the same machine; by the new one, that it has what it names.
"""
from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from edge_sleep.errors import RemoteRefused, SyncError
from edge_sleep.system.files import canonical_json

MOST_ROTATIONS = 64
_KEY = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?[+-]\d\d:\d\d", re.ASCII)


def sodium() -> Any:
    """libsodium, as PyNaCl has it. Raises SyncError with what to install."""
    try:
        import nacl.bindings
    except ImportError as error:
        raise SyncError("PyNaCl is not installed: nothing can be sealed, signed or verified",
                        "pip install 'edge_sleep[sync]'") from error
    return nacl.bindings


def when(stamp: Any) -> datetime | None:
    """The instant of a stamp from outside; None where it is none."""
    try:
        return datetime.fromisoformat(stamp) if isinstance(stamp, str) and _STAMP.fullmatch(stamp) else None
    except ValueError:
        return None


def verified(sign_key: str, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) is that of `sign_key` (hex) over `message`."""
    try:
        sodium().crypto_sign_open(signature + message, bytes.fromhex(sign_key))
    except Exception as error:
        # PyNaCl's own class, which cannot be named before it is there; what else it raises says the same of these bytes.
        if type(error).__module__.startswith("nacl") or isinstance(error, (ValueError, TypeError)):
            return False
        raise
    return True


@dataclass(frozen=True)
class Rotation:
    """From one signing key to the next. compromised: nothing that the old key signed counts any more, whenever it was."""

    before: str
    sign_key: str
    box_key: str
    at: str
    compromised: bool
    by_old: str = ""
    by_new: str = ""

    def message(self) -> bytes:
        return b"edge_sleep rotation 1\0" + canonical_json(
            {key: value for key, value in asdict(self).items() if not key.startswith("by_")})

    def holds(self) -> bool:
        return verified(self.before, self.message(), bytes.fromhex(self.by_old)) \
            and verified(self.sign_key, self.message(), bytes.fromhex(self.by_new))


@dataclass(frozen=True)
class Machine:
    """Public: keys are hex of 32 bytes, Ed25519 and X25519. made: ISO 8601."""

    id: str
    name: str
    sign_key: str
    box_key: str
    made: str
    rotations: tuple[Rotation, ...] = ()

    def as_json(self) -> dict:
        return asdict(self) | {"rotations": [asdict(rotation) for rotation in self.rotations]}

    def retired(self, sign_key: str) -> Rotation | None:
        """The statement that retired this key, if it was this machine's."""
        return next((rotation for rotation in self.rotations if rotation.before == sign_key), None)


def id_of(first_sign_key: str) -> str:
    return hashlib.sha256(bytes.fromhex(first_sign_key)).hexdigest()[:16]


def machine(document: Any, what: str) -> Machine:
    """A machine as others describe it, every statement verified. Raises RemoteRefused naming what is wrong."""
    def refuse(why: str) -> RemoteRefused:
        return RemoteRefused(f"{what}: {why}", "pair the machines anew: `edge-sleep thor pair`")

    fields = {"id": str, "name": str, "sign_key": str, "box_key": str, "made": str, "rotations": list}
    if not isinstance(document, dict) or set(document) != set(fields) \
            or not all(isinstance(document[key], kind) for key, kind in fields.items()):
        raise refuse("no description of a machine")
    name, made = document["name"], document["made"]
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise refuse("its name is empty, too long or not printable")
    if when(made) is None:
        raise refuse("it does not say when its keys were made")
    if not (_sound_sign_key(document["sign_key"]) and _sound_box_key(document["box_key"])):
        raise refuse("its keys are no keys")
    if len(document["rotations"]) > MOST_ROTATIONS:
        raise refuse(f"its keys were changed more than {MOST_ROTATIONS} times")
    rotations = tuple(_rotation(entry, refuse) for entry in document["rotations"])
    chain = [rotation.before for rotation in rotations] + [document["sign_key"]]
    if any(rotation.sign_key != after for rotation, after in zip(rotations, chain[1:], strict=True)) \
            or (rotations and rotations[-1].box_key != document["box_key"]) or len(set(chain)) != len(chain):
        raise refuse("its keys do not follow each other")
    if id_of(chain[0]) != document["id"]:
        raise refuse(f"its id {document['id'][:16]} is not that of its first key")
    return Machine(document["id"], name, document["sign_key"], document["box_key"], made, rotations)


def _rotation(entry: Any, refuse: Any) -> Rotation:
    fields = {"before": _KEY, "sign_key": _KEY, "box_key": _KEY, "by_old": _SIGNATURE, "by_new": _SIGNATURE}
    if not isinstance(entry, dict) or set(entry) != {*fields, "at", "compromised"} \
            or when(entry["at"]) is None or not isinstance(entry["compromised"], bool) \
            or not all(isinstance(entry[key], str) and form.fullmatch(entry[key]) for key, form in fields.items()) \
            or not _sound_sign_key(entry["before"]) or not _sound_sign_key(entry["sign_key"]):
        raise refuse("a change of its keys is no statement")
    rotation = Rotation(**entry)
    if not rotation.holds():
        raise refuse("the signature of a change of its keys does not hold")
    return rotation


def _sound_sign_key(key: str) -> bool:
    if not _KEY.fullmatch(key):
        return False
    nacl = sodium()
    # Of small order are keys under which one signature holds for many messages.
    return not nacl.has_crypto_core_ed25519 or bool(nacl.crypto_core_ed25519_is_valid_point(bytes.fromhex(key)))


def _sound_box_key(key: str) -> bool:
    """False of small order, too: with these everybody knows the shared secret."""
    if not _KEY.fullmatch(key):
        return False
    nacl = sodium()
    try:
        nacl.crypto_scalarmult(b"\x01" * 32, bytes.fromhex(key))
    except Exception as error:
        if type(error).__module__.startswith("nacl"):
            return False
        raise
    return True
