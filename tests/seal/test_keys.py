"""Keys: private on the disk and in every text, followed through rotations, and trusted by pairing alone."""
from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import traceback
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edge_sleep.errors import EdgeSleepError, IntegrityError, RemoteRefused, SyncError, UsageError
from edge_sleep.seal import envelope, keys, machine, pairing
from edge_sleep.seal.keys import IDENTITY, PEERS, Keys
from edge_sleep.seal.machine import Machine
from tests.seal import homes


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "home").mkdir(mode=0o755)
        (tmp_path / "home").chmod(0o755)
        one = Keys.open(tmp_path / "home" / "keys", "one")
        one.add(Keys.open(tmp_path / "home" / "other", "two").own)
        one.rotate()
    finally:
        os.umask(before)
    assert stat.S_IMODE(one.folder.stat().st_mode) == 0o700
    assert modes(one.folder) == {0o600}
    assert {file.name for file in one.folder.iterdir()} == {IDENTITY, PEERS, "keys.lock"}


@pytest.mark.parametrize("what, mode", [("folder", 0o750), ("folder", 0o701), (IDENTITY, 0o640), (IDENTITY, 0o604), (PEERS, 0o620)])
def test_keys_that_others_can_read_are_not_used(tmp_path: Path, what: str, mode: int) -> None:
    one, _ = homes.paired(tmp_path, "one", "two")
    path = one.folder if what == "folder" else one.folder / what
    path.chmod(mode)
    with pytest.raises(SyncError, match=f"{mode:04o}") as refused:
        _ = Keys.open(one.folder).peers
    assert str(path) in str(refused.value) and "chmod" in refused.value.do


def test_a_link_in_the_place_of_keys_is_not_followed(tmp_path: Path) -> None:
    one = homes.machine(tmp_path, "one")
    (one.folder / IDENTITY).rename(tmp_path / "elsewhere")
    (one.folder / IDENTITY).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SyncError, match="plain file"):
        _ = one.own


def test_what_a_power_cut_left_is_swept(tmp_path: Path) -> None:
    one = homes.machine(tmp_path, "one")
    (one.folder / ".tmp-identity.json.1").write_bytes((one.folder / IDENTITY).read_bytes())
    (one.folder / ".tmp-token.2").write_bytes(b"being written by another")
    assert Keys.open(one.folder).own == one.own
    assert not (one.folder / ".tmp-identity.json.1").exists() and (one.folder / ".tmp-token.2").exists()


def test_the_same_machine_when_opened_again(tmp_path: Path) -> None:
    one = homes.machine(tmp_path, "one")
    assert Keys.open(one.folder, "another name").own == one.own
    assert one.own.id == machine.id_of(one.own.sign_key) and len(one.own.id) == 16


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 1, "keys": [], "rotations": []}', b"\xff\xfe"])
def test_damaged_keys_are_said_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    one = homes.machine(tmp_path, "one")
    (one.folder / IDENTITY).write_bytes(content)
    with pytest.raises(IntegrityError, match="is damaged"):
        _ = one.own
    (one.folder / PEERS).touch(0o600)
    (one.folder / PEERS).write_bytes(content)
    with pytest.raises(IntegrityError, match="peers.json is damaged"):
        _ = one.peers


@pytest.mark.parametrize("file", [IDENTITY, PEERS])
def test_keys_of_a_newer_version_are_left_alone(tmp_path: Path, file: str) -> None:
    one, _ = homes.paired(tmp_path, "one", "two")
    document = json.loads((one.folder / file).read_bytes())
    (one.folder / file).write_text(json.dumps(document | {"format": 2}))
    with pytest.raises(IntegrityError, match="format 2"):
        _ = one.own, one.peers


def test_trust(tmp_path: Path) -> None:
    one, two = homes.machine(tmp_path, "one"), homes.machine(tmp_path, "two")
    with pytest.raises(RemoteRefused, match="unknown signer"):
        one.trusts(two.own.id)
    one.add(two.own)
    assert one.trusts(two.own.id) == two.own and one.trusts(one.own.id) == one.own and one.peers == [two.own]
    one.forget(two.own.id)
    with pytest.raises(UsageError, match="not paired"):
        one.forget(two.own.id)
    with pytest.raises(UsageError, match="this one"):
        one.add(one.own)
    assert one.peers == []


def test_another_machine_does_not_take_a_known_ones_place(tmp_path: Path) -> None:
    one, two = homes.paired(tmp_path, "one", "two")
    evil = homes.machine(tmp_path, "evil").own
    with pytest.raises(RemoteRefused, match="not that of its first key"):
        one.add(replace(evil, id=two.own.id))
    before = two.own
    two.rotate()
    one.add(two.own)
    with pytest.raises(RemoteRefused, match="paired already, with other keys"):
        one.add(before)                      # an old invitation would bring a retired key back
    assert one.peers == [two.own]


@pytest.mark.parametrize("change", [
    {"id": "0" * 16}, {"name": ""}, {"name": "a\x1b[2Jb"}, {"name": "x" * 65}, {"made": "yesterday"}, {"made": "2026-13-40T00:00:00+00:00"},
    {"sign_key": "00" * 32}, {"sign_key": "01" + "00" * 31}, {"sign_key": "zz"}, {"box_key": "00" * 32}, {"box_key": "01" + "00" * 31},
    {"rotations": [1]}, {"rotations": "none"}, {"more": 1}, {"name": 1}])
def test_what_is_no_machine(tmp_path: Path, change: dict) -> None:
    with pytest.raises(RemoteRefused, match="the invitation: "):
        machine.machine(homes.machine(tmp_path, "one").own.as_json() | change, "the invitation")


def test_rotation_reads_what_was_sealed_before_and_signs_with_new_keys_only(tmp_path: Path) -> None:
    one, two = homes.paired(tmp_path, "one", "two")
    (tmp_path / "words").write_bytes(b"before")
    envelope.seal(tmp_path / "words", tmp_path / "to-old", two, [one.own], "job:1")
    old = one.own
    new = one.rotate()
    assert new.id == old.id and new.sign_key != old.sign_key and new.box_key != old.box_key
    envelope.unseal(tmp_path / "to-old", tmp_path / "read", one, "job:1", 100)
    assert (tmp_path / "read").read_bytes() == b"before"
    document = json.loads((one.folder / IDENTITY).read_bytes())
    assert document["keys"][0]["sign"] is None, "a retired signing key is erased"
    said = envelope.sign({}, one, "lease:1")
    assert new.sign_key.encode() in said
    envelope.opened(said, two, "lease:1")
    assert two.trusts(one.own.id) == new, "a peer follows by the statement, without a new pairing"
    envelope.seal(tmp_path / "words", tmp_path / "to-new", two, [two.trusts(one.own.id)], "job:1")
    envelope.unseal(tmp_path / "to-new", tmp_path / "read", one, "job:1", 100)


@pytest.mark.parametrize("compromised", [False, True])
def test_a_retired_key_signs_nothing_new(tmp_path: Path, compromised: bool) -> None:
    one, two = homes.paired(tmp_path, "one", "two")
    archived = envelope.sign({"made": "before"}, one, "checkpoint:1")
    thief = (one.folder / IDENTITY).read_bytes()
    one.clock.seconds += 60                                      # type: ignore[attr-defined]
    one.rotate(compromised)
    envelope.opened(envelope.sign({}, one, "lease:1"), two, "lease:1")
    one.clock.seconds += 60                                      # type: ignore[attr-defined]
    with pytest.raises(RemoteRefused, match="retired key"):
        envelope.opened(archived, two, "checkpoint:1")
    stolen = homes.machine(tmp_path, "thief")
    (stolen.folder / IDENTITY).write_bytes(thief)
    stolen.clock.seconds += 120                                  # type: ignore[attr-defined]
    late = envelope.sign({"made": "after"}, stolen, "checkpoint:1")
    for content in (late, *([archived] if compromised else [])):
        with pytest.raises(RemoteRefused, match="retired key"):
            envelope.opened(content, two, "checkpoint:1", archived=True)
    if not compromised:
        assert envelope.opened(archived, two, "checkpoint:1", archived=True)[0] == {"made": "before"}
    # Nor does the old key's own, later statement win over the one that was followed.
    stolen.rotate()
    with pytest.raises(RemoteRefused, match="not one of machine"):
        envelope.opened(envelope.sign({}, stolen, "lease:1"), two, "lease:1")
    assert two.trusts(one.own.id) == one.own


def test_many_rotations_are_followed_at_once_and_a_forged_one_never(tmp_path: Path) -> None:
    one, two = homes.paired(tmp_path, "one", "two")
    for _ in range(5):
        one.rotate()
    evil = homes.machine(tmp_path, "evil")
    evil.rotate()
    document, step = one.own.as_json(), asdict(evil.own.rotations[0])
    forged = document | {"sign_key": evil.own.sign_key, "box_key": evil.own.box_key, "rotations": [
        *document["rotations"], step | {"before": one.own.sign_key}]}
    with pytest.raises(RemoteRefused, match="does not hold"):
        machine.machine(forged, "machine")
    cut = document | {"rotations": document["rotations"][1:]}
    with pytest.raises(RemoteRefused, match="not that of its first key"):
        machine.machine(cut, "machine")
    envelope.opened(envelope.sign({}, one, "lease:1"), two, "lease:1")
    assert two.trusts(one.own.id) == one.own


def secrets_of(keys: Keys) -> list[str]:
    pairs = json.loads((keys.folder / IDENTITY).read_bytes())["keys"]
    return [pair[kind] for pair in pairs for kind in ("sign", "box") if pair[kind]]


def test_no_secret_in_any_text(tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture) -> None:
    one, two = homes.paired(tmp_path, "one", "two")
    one.rotate()
    code = pairing.new_code()
    exchange = pairing.Exchange(one, code)
    said = [repr(one), str(vars(one)), repr(one.own), json.dumps(one.own.as_json()), repr(exchange), envelope.sign({}, one, "a").decode(),
            pairing.invitation(one), str(exchange.invitation()), exchange.invitation_name, repr(one.peers)]
    (tmp_path / "f").write_bytes(b"f")
    envelope.seal(tmp_path / "f", tmp_path / "g", one, [two.own], "a")
    whole = (one.folder / IDENTITY).read_bytes()
    (one.folder / IDENTITY).write_bytes(whole[:-3])
    for act in (lambda: envelope.unseal(tmp_path / "g", tmp_path / "h", one, "a", 9), lambda: one.own, one.rotate,
                lambda: exchange.accept_answer(b"x" * 99), lambda: pairing.Exchange(one, code[:-1] + "!"), lambda: Keys.open(one.folder)):
        with pytest.raises(EdgeSleepError) as error:
            act()
        said += [str(error.value), repr(error.value), "".join(traceback.format_exception(error.value))]
    (one.folder / IDENTITY).write_bytes(whole)
    said += [caplog.text, *capsys.readouterr()]
    letters = pairing.code(code)
    for secret in [*secrets_of(one), *secrets_of(two), letters, code]:
        assert not any(secret in text for text in said)
    assert len(secrets_of(one)) == 3


def test_what_is_missing_is_said_with_what_to_install(tmp_path: Path) -> None:
    script = ("import sys; sys.modules['nacl'] = None; sys.modules['nacl.bindings'] = None\n"
              "from pathlib import Path\nfrom edge_sleep.seal.keys import Keys\nfrom edge_sleep.errors import SyncError\n"
              f"try: Keys.open(Path({str(tmp_path / 'keys')!r}))\n"
              "except SyncError as error: print(error.do)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert done.stdout.strip() == "pip install 'edge_sleep[sync]'"
    assert not (tmp_path / "keys").exists()


def test_importing_loads_no_library() -> None:
    script = ("import sys, edge_sleep.seal.envelope, edge_sleep.seal.pairing, edge_sleep.thor.verify\n"
              "print([name for name in ('nacl', 'torch', 'transformers', 'safetensors') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert done.stdout.strip() == "[]"


def test_a_machine_is_what_it_says_in_json(tmp_path: Path) -> None:
    one = homes.machine(tmp_path, "one")
    one.rotate()
    one.rotate(compromised=True)
    assert machine.machine(json.loads(json.dumps(one.own.as_json())), "x") == one.own
    assert isinstance(one.own, Machine) and keys.presented(one.own).keys() == {"id", "sign_key", "box_key", "rotations"}
