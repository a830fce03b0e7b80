"""A campaign: `python kills.py push|pull FOLDER INSTANTS` kills -9 a push or a pull at its n-th look at the file system, for many n.

A process of its own with one thread, so that it may fork with torch in it. Prints one JSON document.
"""
from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from edge_sleep.checkpoint import manifest
from edge_sleep.seal.keys import Keys
from edge_sleep.sync import arrival, ledger, outbox
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.files import sha256_file
from edge_sleep.system.home import Home
from tests.killing import ended, forked, kill_at
from tests.sync.homes import Machine, machine, make_base, pair


def killed_at(number: int | None, work) -> int:
    """Run `work` in a child that is killed at its `number`-th event; how many it had (None: run to its end)."""
    reader, writer = os.pipe()

    def counted() -> None:
        count = kill_at(number)
        work()
        os.write(writer, str(count()).encode())

    child = forked(counted)
    os.close(writer)
    status = ended(child)
    told = os.read(reader, 64)
    os.close(reader)
    assert status == (0 if number is None else -signal.SIGKILL), (number, status)
    return int(told) if told else 0


def reopened(one: Machine, root: Path, remote: Path) -> Machine:
    home = Home(root)
    return Machine(home, one.base, Keys.open(home.keys, "x", one.clock), one.clock, remote)


def sound(one: Machine) -> None:
    """Nothing half there can be seen on the remote: what its list names is there, whole."""
    listed = ledger.listed(one.open(), one.keys.own.id, one.keys)
    for blob in (blob for parcel in (listed.parcels if listed else ()) for blob in parcel.blobs):
        assert sha256_file(one.remote / blob.name) == blob.sha256


def push_campaign(orin: Machine, thor: Machine, folder: Path, instants: int) -> dict:
    def fresh() -> Machine:
        for name in ("home", "remote"):
            shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(orin.home.root, folder / "home")
        (folder / "remote").mkdir()
        return reopened(orin, folder / "home", folder / "remote")

    events = killed_at(None, fresh().push)
    whole = len(list((folder / "remote" / "blobs").iterdir()))
    for number in range(1, events + 1, max(1, events // instants)):
        one = fresh()
        killed_at(number, one.push)
        sound(one)
        one.push()
        sound(one)
        blobs = list((one.remote / "blobs").iterdir())
        assert len(blobs) == whole, f"{number}: {len(blobs)} blobs, not {whole}"
        assert not outbox.waiting(one.home) and not list((one.home.outbox / "sealed").glob("*"))
        assert [parcel.kind for parcel in ledger.read(one.home).parcels] == ["adapter", "adapter", "marks"]
        assert not one.push().sent
    return {"events": events, "blobs": whole}


def pull_campaign(orin: Machine, thor: Machine, folder: Path, instants: int) -> dict:
    orin.push()
    arrival.adapter.parsed("warm", {"adapter_config.json": b"{}", "adapter_model.safetensors": (2).to_bytes(8, "little") + b"{}"})

    def fresh() -> Machine:
        shutil.rmtree(folder / "home", ignore_errors=True)
        shutil.copytree(thor.home.root, folder / "home")
        return reopened(thor, folder / "home", orin.remote)

    before = {str(file): file.read_bytes() for file in orin.remote.rglob("*") if file.is_file()}
    events = killed_at(None, fresh().pull)
    for number in range(1, events + 1, max(1, events // instants)):
        one = fresh()
        killed_at(number, one.pull)
        for adapter in one.home.adapters.iterdir():
            assert not manifest.problems(adapter), f"{number}: {adapter}"
        pulled = one.pull()
        assert not pulled.left and not pulled.refused, f"{number}: {pulled}"
        assert len(list(one.home.adapters.iterdir())) == 2
        assert not [file for file in one.home.received.rglob("*") if file.name.startswith(".tmp-") or file.parent.name == "blobs"]
    assert before == {str(file): file.read_bytes() for file in orin.remote.rglob("*") if file.is_file()}
    return {"events": events}


def main(what: str, folder: Path, instants: int) -> dict:
    base, clock = make_base(folder / "model"), ManualClock()
    orin, thor = (machine(folder / name, base, folder / "shared", name, clock) for name in ("orin", "thor"))
    pair(orin, thor)
    for seed in (1, 2):
        orin.night(seed)
    return {"push": push_campaign, "pull": pull_campaign}[what](orin, thor, folder, instants)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
