"""This machine's keys and whom it trusts: keys/identity.json and keys/peers.json of a home, 0600 in a folder of 0700.

Secret keys are read from the disk where they are used and are held by no object, so no repr, log or traceback can show one.
"""
from __future__ import annotations

import json
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edge_sleep.errors import IntegrityError, RemoteRefused, SyncError, UsageError
from edge_sleep.seal.machine import MOST_ROTATIONS, Machine, Rotation, id_of, machine, sodium, when
from edge_sleep.system import private
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import TEMPORARY

FORMAT = 1
IDENTITY = "identity.json"
PEERS = "peers.json"
LOCK = "keys.lock"


class Keys:
    """The keys of one home; every call reads what is on the disk now, so that a rotation elsewhere is seen."""

    def __init__(self, folder: Path, clock: Clock):
        self.folder, self.clock = folder, clock

    @classmethod
    def open(cls, folder: Path, name: str | None = None, clock: Clock = Clock()) -> Keys:     # noqa: B008 - has no state
        """The keys in `folder`, made at first use. name: what people call this machine, at first use; its host name by default.

        Raises SyncError where PyNaCl is missing or where others can read the folder or a file in it.
        """
        sodium()
        keys = cls(folder, clock)
        with private.locked(folder / LOCK):
            for name_of in (IDENTITY, PEERS):              # what a power cut left half written; it may hold a secret key
                for left in folder.glob(f"{TEMPORARY}{name_of}.*"):
                    left.unlink()
            if not (folder / IDENTITY).exists():
                keys._write_identity({"format": FORMAT, "name": _printable(name or socket.gethostname()), "made": clock.stamp(),
                                      "keys": [_new_pair()], "rotations": []})
        keys.own                       # noqa: B018 - refuses by name what cannot be used, before anything is done with it
        return keys

    def __repr__(self) -> str:
        return f"Keys({self.own.id})"

    @property
    def own(self) -> Machine:
        document = self._identity()
        first, now = document["keys"][0], document["keys"][-1]
        return Machine(id_of(first["sign_key"]), document["name"], now["sign_key"], now["box_key"], document["made"],
                       tuple(Rotation(**entry) for entry in document["rotations"]))

    @property
    def peers(self) -> list[Machine]:
        """The machines this one is paired with."""
        path = self.folder / PEERS
        try:
            document = json.loads(private.read(path))
            if document["format"] > FORMAT:
                raise IntegrityError(f"{path} is of format {document['format']}, this is {FORMAT}", "install a newer edge_sleep")
            return [machine(entry, f"{path}") for entry in document["peers"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, RemoteRefused) as error:
            raise IntegrityError(f"{path} is damaged: {error}", "move it away and pair the machines anew") from error

    def trusts(self, machine_id: str) -> Machine:
        """The paired machine of that id, or this one. Raises RemoteRefused."""
        for known in (self.own, *self.peers):
            if known.id == machine_id:
                return known
        raise RemoteRefused(f"unknown signer: machine {machine_id[:16]} is not paired with this one",
                            "`edge-sleep thor pair` on both machines, if it is yours")

    def add(self, peer: Machine) -> None:
        """Trust a machine from now on. The caller has made sure that it is that machine (`pairing`)."""
        peer = machine(peer.as_json(), f"machine {peer.id}")
        if peer.id == self.own.id:
            raise UsageError(f"machine {peer.id} is this one", "pair it with another machine")
        with private.locked(self.folder / LOCK):
            known = {other.id: other for other in self.peers}
            if (old := known.get(peer.id)) and not _continues(old, peer.rotations, peer.sign_key):
                raise RemoteRefused(f"machine {peer.id} is paired already, with other keys",
                                    f"`edge-sleep thor forget {peer.id}` first, if it was set up anew")
            self._write_peers(known | {peer.id: peer})

    def forget(self, machine_id: str) -> None:
        """Trust it no more. Raises UsageError where it is not paired."""
        with private.locked(self.folder / LOCK):
            known = {other.id: other for other in self.peers}
            if machine_id not in known:
                raise UsageError(f"machine {machine_id} is not paired with this one", "`edge-sleep thor pair` adds one")
            del known[machine_id]
            self._write_peers(known)

    def rotate(self, compromised: bool = False) -> Machine:
        """New keys, and a statement of the old ones that peers follow. Returns this machine as it is now.

        Old box keys stay, to read what was sealed before; old signing keys are erased. compromised: somebody else may have them,
        so peers take nothing any more that was signed with them, however old. Whoever has a stolen key can make a statement as
        well: where that is feared, `forget` on the peers and pair anew.
        """
        with private.locked(self.folder / LOCK):
            document = self._identity()
            if len(document["rotations"]) >= MOST_ROTATIONS:
                raise UsageError(f"the keys were changed {MOST_ROTATIONS} times", f"move {self.folder} away and pair anew")
            old, new = document["keys"][-1], _new_pair()
            statement = Rotation(old["sign_key"], new["sign_key"], new["box_key"], self.clock.stamp(), compromised)
            statement = replace(statement, by_old=_signature(old["sign"], statement.message()).hex(),
                                by_new=_signature(new["sign"], statement.message()).hex())
            self._write_identity(document | {"keys": [*document["keys"][:-1], old | {"sign": None}, new],
                                             "rotations": [*document["rotations"], asdict(statement)]})
        return self.own

    def sign(self, message: bytes) -> bytes:
        """64 bytes, with the key of now. The caller begins `message` with what kind it is."""
        return _signature(self._identity()["keys"][-1]["sign"], message)

    def unbox(self, boxed: bytes, box_key: str) -> bytes | None:
        """What was sealed to this box key, of now or of before; None where it is not ours, or does not open."""
        nacl = sodium()
        for pair in self._identity()["keys"]:
            if pair["box_key"] == box_key:
                try:
                    return nacl.crypto_box_seal_open(boxed, bytes.fromhex(box_key), bytes.fromhex(pair["box"]))
                except Exception as error:
                    if type(error).__module__.startswith("nacl"):
                        return None
                    raise
        return None

    def signer(self, document: Any, made: str, archived: bool = False) -> Machine:
        """The trusted machine that says it signed something, with the key it used: that of now, or one that followed it.

        document: {"id", "sign_key", "box_key", "rotations"} from the outside; nothing is learned from it yet (`follow`).
        archived: a key that was retired since is good for what was made while it was in use, unless it was compromised; otherwise
        none is. Raises RemoteRefused: unknown signer, a retired key, keys that do not follow.
        """
        known = self.trusts(document["id"])
        if (retired := known.retired(document["sign_key"])) is not None:
            at, until = when(made), when(retired.at)
            if archived and not retired.compromised and at and until and at <= until:
                return replace(known, sign_key=document["sign_key"])
            raise RemoteRefused(f"signed with a retired key of machine {known.id} ({known.name}), changed on {retired.at[:10]}",
                                "whatever is still wanted of it must be signed anew")
        if document["sign_key"] == known.sign_key:
            return known
        described = {"id": known.id, "name": known.name, "made": known.made} | document
        new = machine(described, f"machine {known.id} ({known.name})")
        if known.id == self.own.id or not _continues(known, new.rotations, new.sign_key):
            raise RemoteRefused(f"unknown signer: this key is not one of machine {known.id} ({known.name})",
                                "pair it anew if its keys were lost: `edge-sleep thor forget`, then `edge-sleep thor pair`")
        return new

    def follow(self, signer: Machine) -> None:
        """Remember the newer keys that `signer` came with, once its signature held."""
        with private.locked(self.folder / LOCK):
            known = {other.id: other for other in self.peers}
            old = known.get(signer.id)
            if old and len(signer.rotations) > len(old.rotations) and _continues(old, signer.rotations, signer.sign_key):
                self._write_peers(known | {signer.id: signer})

    def _identity(self) -> dict[str, Any]:
        path = self.folder / IDENTITY
        try:
            document = json.loads(private.read(path))
            if document["format"] > FORMAT:
                raise IntegrityError(f"{path} is of format {document['format']}, this is {FORMAT}", "install a newer edge_sleep")
            if not document["keys"] or len(document["keys"]) != len(document["rotations"]) + 1:
                raise ValueError
        except FileNotFoundError:
            raise SyncError(f"this machine has no keys: {path} is gone", "`edge-sleep thor pair` makes new ones") from None
        except (ValueError, KeyError, TypeError):
            # Without the cause: a parser's error quotes what it read.
            raise IntegrityError(f"{path} is damaged", "restore it from a backup, or move it away and pair anew") from None
        return document

    def _write_identity(self, document: dict[str, Any]) -> None:
        private.write(self.folder / IDENTITY, (json.dumps(document, indent=1) + "\n").encode())

    def _write_peers(self, known: dict[str, Machine]) -> None:
        document = {"format": FORMAT, "peers": [known[key].as_json() for key in sorted(known)]}
        private.write(self.folder / PEERS, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def presented(own: Machine) -> dict:
    """A machine as what it signs presents it: without its name, which is nobody's business on a remote."""
    return {key: value for key, value in own.as_json().items() if key not in ("name", "made")}


def _continues(known: Machine, rotations: tuple[Rotation, ...], sign_key: str) -> bool:
    """Whether keys are those that are known, or follow from them by statements."""
    return rotations[:len(known.rotations)] == known.rotations and (
        rotations[len(known.rotations)].before == known.sign_key if len(rotations) > len(known.rotations)
        else sign_key == known.sign_key)


def _new_pair() -> dict[str, Any]:
    nacl = sodium()
    seed = nacl.randombytes(nacl.crypto_sign_SEEDBYTES)
    sign_key, _ = nacl.crypto_sign_seed_keypair(seed)
    box_key, box = nacl.crypto_box_keypair()
    return {"sign": seed.hex(), "sign_key": sign_key.hex(), "box": box.hex(), "box_key": box_key.hex()}


def _signature(seed: str, message: bytes) -> bytes:
    nacl = sodium()
    _, secret = nacl.crypto_sign_seed_keypair(bytes.fromhex(seed))
    return nacl.crypto_sign(message, secret)[:nacl.crypto_sign_BYTES]


def _printable(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable())[:64] or "machine"
