"""A remote in somebody else's hands: whatever is changed, swapped, replayed or added is named, and nothing of it becomes visible."""
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_sleep.checkpoint import manifest
from edge_sleep.seal import envelope
from edge_sleep.sync import ledger, outbox, sheet
from edge_sleep.sync.sheet import Blob, Sheet
from tests.sync.homes import CONFIG, MODULES, Machine, files, grow, machine, pair


def visible(one: Machine) -> list[str]:
    return sorted(path.name for path in one.home.adapters.iterdir())


def list_of(remote: Path, one: Machine) -> Path:
    return remote / ledger.place(one.keys.own.id)


def test_a_flipped_bit_in_any_blob_is_named(two) -> None:
    two.orin.night(1)
    two.orin.push()
    blobs = sorted((two.remote / "blobs").iterdir())
    assert len(blobs) == 4                                     # weights, configuration, sheet, marks
    for blob in blobs:
        whole = blob.read_bytes()
        for place in (3, len(whole) // 2, len(whole) - 1):
            broken = bytearray(whole)
            broken[place] ^= 1
            blob.write_bytes(broken)
            shutil.rmtree(two.thor.home.received, ignore_errors=True)
            pulled = two.thor.pull()
            assert any("does not hash to its name" in item["why"] for item in pulled.refused), (blob.name, place)
            if pulled.fetched:                                 # the marks alone were broken
                assert pulled.machines[0]["latest"] is None
                shutil.rmtree(two.thor.home.adapter(pulled.fetched[0]["id"]))
            assert visible(two.thor) == []
        blob.write_bytes(whole)
    shutil.rmtree(two.thor.home.received, ignore_errors=True)
    assert len(two.thor.pull().fetched) == 1


def test_a_flipped_bit_in_the_list_is_named(two) -> None:
    two.orin.night(1)
    two.orin.push()
    file = list_of(two.remote, two.orin)
    whole = file.read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        broken = bytearray(whole)
        broken[place] ^= 4
        file.write_bytes(broken)
        pulled = two.thor.pull()
        assert len(pulled.refused) == 1 and pulled.refused[0]["machine"] == two.orin.keys.own.id, place
        assert visible(two.thor) == []


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_what_was_cut_short_is_named(two, cut: int) -> None:
    two.orin.night(1)
    two.orin.push()
    for blob in (two.remote / "blobs").iterdir():
        blob.write_bytes(blob.read_bytes()[:cut])
    pulled = two.thor.pull()
    assert pulled.refused and all("bytes on the remote" in item["why"] for item in pulled.refused) and visible(two.thor) == []
    list_of(two.remote, two.orin).write_bytes(list_of(two.remote, two.orin).read_bytes()[:cut])
    assert [item["machine"] for item in two.thor.pull().refused] == [two.orin.keys.own.id]


def test_lists_that_were_swapped_are_named(two, tiny_base, tmp_path) -> None:
    third = machine(tmp_path / "third", tiny_base, two.remote, "third", two.clock)
    pair(two.orin, two.thor, third)
    for one, seed in ((two.orin, 1), (third, 2)):
        one.night(seed)
        one.push()
    one, other = list_of(two.remote, two.orin), list_of(two.remote, third)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    pulled = two.thor.pull()
    assert len(pulled.refused) == 2 and all("another purpose" in item["why"] for item in pulled.refused)
    assert visible(two.thor) == []


def test_an_older_list_put_back_is_named(two) -> None:
    two.orin.night(1)
    two.orin.push()
    old = list_of(two.remote, two.orin).read_bytes()
    two.orin.night(2)
    two.orin.push()
    assert len(two.thor.pull().fetched) == 2
    list_of(two.remote, two.orin).write_bytes(old)
    pulled = two.thor.pull()
    assert ["put an old one back" in item["why"] for item in pulled.refused] == [True] and pulled.fetched == []
    assert "old one back" in two.orin.push().notes[0]          # who made it notices as well, and shows the new one again
    assert two.thor.pull().refused == []


def test_a_list_that_vanished_is_named(two) -> None:
    two.orin.night(1)
    two.orin.push()
    two.thor.pull()
    list_of(two.remote, two.orin).unlink()
    assert "is gone from the remote" in two.thor.pull().left[0]["why"]


def test_a_blob_that_is_not_there_yet_is_waited_for(two) -> None:
    """A program that copies the folder from machine to machine brings the list before the blobs it names."""
    first, second = two.orin.night(1), two.orin.night(2)
    two.orin.push()
    held = {blob: blob.read_bytes() for blob in (two.remote / "blobs").iterdir()}
    weights = ledger.read(two.orin.home).parcels[0].files
    for blob in weights:
        (two.remote / blob.name).unlink()
    pulled = two.thor.pull()
    assert {item["id"] for item in pulled.left} == {first, second} and not pulled.refused and visible(two.thor) == []
    assert "which did not arrive" in next(item["why"] for item in pulled.left if item["id"] == second)
    for blob, content in held.items():
        blob.write_bytes(content)
    assert [item["id"] for item in two.thor.pull().fetched] == [first, second]


def test_a_list_without_end_and_a_link_end_one_machines_part_alone(two, tiny_base, tmp_path) -> None:
    third = machine(tmp_path / "third", tiny_base, two.remote, "third", two.clock)
    fourth = machine(tmp_path / "fourth", tiny_base, two.remote, "fourth", two.clock)
    pair(two.orin, two.thor, third, fourth)
    for seed, one in enumerate((two.orin, third, fourth)):
        one.night(seed)
        one.push()
    with open(list_of(two.remote, two.orin), "r+b") as stream:
        stream.truncate(1 << 40)
    weights = two.remote / ledger.read(third.home).parcels[0].files[0].name
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    pulled = two.thor.pull()
    assert [item["machine"] for item in pulled.fetched] == [fourth.keys.own.id]
    assert {item["machine"] for item in pulled.refused + pulled.left} == {two.orin.keys.own.id, third.keys.own.id}
    two.orin.push()                                            # who made the list shows it again
    assert two.orin.keys.own.id in {item["machine"] for item in two.thor.pull().fetched}


def test_a_blob_that_was_taken_away_is_sent_again(two) -> None:
    identity = two.orin.night(1)
    two.orin.push()
    (two.remote / ledger.read(two.orin.home).parcels[0].files[0].name).unlink()
    pushed = two.orin.push()
    assert [item["id"] for item in pushed.sent] == [identity] and "not whole on the remote" in pushed.notes[0]
    assert [item["id"] for item in two.thor.pull().fetched] == [identity]


def publish(one: Machine, found: Sheet, plain: dict[str, Path], tmp_path: Path) -> None:
    """What a paired machine that turned bad could publish: sealed, signed and listed as it should be."""
    def sealed(file: Path, purpose: str) -> Blob:
        target = tmp_path / "sealed"
        sha256 = envelope.seal(file, target, one.keys, [*one.keys.peers, one.keys.own], purpose)
        (one.remote / "blobs").mkdir(exist_ok=True)
        shutil.move(target, one.remote / "blobs" / sha256)
        return Blob(f"blobs/{sha256}", (one.remote / "blobs" / sha256).stat().st_size)

    blobs = {name: sealed(file, sheet.file_purpose(one.keys.own.id)) for name, file in plain.items()}
    (tmp_path / "sheet").write_bytes(Sheet(found.kind, found.id, found.machine, found.manifest, blobs, found.record).content())
    parcel = ledger.Published(sealed(tmp_path / "sheet", sheet.purpose(one.keys.own.id)), tuple(blobs.values()), found.kind, found.id)
    known = ledger.write(one.home, ledger.read(one.home).with_parcel(parcel))
    ledger.show(one.home, known, one.open(), one.keys)


BAD = {
    "a NaN": ({"scale": float("nan")}, "not finite"),
    "another rank": ({"rank": 4, "config": CONFIG}, "at rank 2"),
    "another shape": ({"out": 9}, "has the shape"),
    "another module": ({"modules": (*MODULES, "model.layers.7.self_attn.q_proj")}, "which this base has not"),
    "code to be run": ({"config": CONFIG | {"auto_mapping": {"parent_library": "os", "base_model_class": "system"}}}, "auto_mapping"),
    "a module to import": ({"config": CONFIG | {"megatron_config": {"x": 1}, "megatron_core": "evil"}}, "megatron"),
    "another kind": ({"config": CONFIG | {"peft_type": "IA3"}}, "not one of LoRA"),
    "weights initialised anew": ({"config": CONFIG | {"init_lora_weights": "corda"}},
                                 "init_lora_weights"),
}


@pytest.mark.parametrize("changes, why", BAD.values(), ids=BAD)
def test_a_bad_adapter_of_a_paired_machine_is_refused_by_name(two, tmp_path, changes: dict, why: str) -> None:
    folder = tmp_path / "made"
    identity = grow(folder, two.orin.base, 5, **changes)
    folder = folder.rename(tmp_path / identity)
    document = manifest.write(folder, adapter_id=identity, base=two.orin.base.entry(), parent=None, night="n", created="c",
                              data={}, effect={})
    publish(two.orin, Sheet("adapter", identity, two.orin.keys.own.id, document, {}),
            {name: folder / name for name in document["files"]}, tmp_path)
    pulled = two.thor.pull()
    assert [item["id"] for item in pulled.refused] == [identity] and why in pulled.refused[0]["why"]
    assert visible(two.thor) == [] and list((two.thor.home.received).glob(".tmp-*")) == []


def test_another_name_and_a_forged_manifest_are_refused(two, tmp_path) -> None:
    folder = tmp_path / ("f" * 16)
    grow(folder, two.orin.base, 6)
    document = manifest.write(folder, adapter_id="f" * 16, base=two.orin.base.entry(), parent=None, night="n", created="c", data={},
                              effect={})
    own = two.orin.keys.own.id
    plain = {name: folder / name for name in document["files"]}
    publish(two.orin, Sheet("adapter", "f" * 16, own, document, {}), plain, tmp_path)
    assert "would be named" in two.thor.pull().refused[0]["why"]
    forged = document | {"night": "another"}
    publish(two.orin, Sheet("adapter", "f" * 16, own, forged, {}), plain, tmp_path)
    assert "own sha256" in two.thor.pull().refused[0]["why"]
    publish(two.orin, Sheet("adapter", "f" * 16, own, document | {"id": "e" * 16}, {}), plain, tmp_path)
    assert "no whole manifest" in two.thor.pull().refused[0]["why"]
    publish(two.orin, Sheet("adapter", "f" * 16, own, document, {}, record={"reason": "words that somebody said"}), plain, tmp_path)
    assert "tells more" in two.thor.pull().refused[0]["why"]
    pickled = tmp_path / "adapter_model.bin"
    pickled.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    document = manifest.sealed(document | {"files": {pickled.name: {"sha256": manifest.sha256_file(pickled), "bytes": 22}}})
    publish(two.orin, Sheet("adapter", "f" * 16, own, document, {}), {pickled.name: pickled}, tmp_path)
    assert "does not consist of PEFT's two files" in two.thor.pull().refused[0]["why"]
    assert visible(two.thor) == []


def test_one_machines_parcel_in_anothers_list_is_refused(two, tiny_base, tmp_path) -> None:
    third = machine(tmp_path / "third", tiny_base, two.remote, "third", two.clock)
    pair(two.orin, two.thor, third)
    third.night(3)
    third.push()
    known = ledger.read(two.orin.home)
    for parcel in ledger.read(third.home).parcels:
        known = known.with_parcel(parcel)
    ledger.show(two.orin.home, ledger.write(two.orin.home, known), two.orin.open(), two.orin.keys)
    pulled = two.thor.pull()
    assert pulled.refused and {item["machine"] for item in pulled.refused} == {two.orin.keys.own.id}
    assert [item["machine"] for item in pulled.fetched] == [third.keys.own.id]


def test_an_adapter_that_was_damaged_here_is_not_sent(two) -> None:
    identity = two.orin.night(1)
    weights = two.orin.home.adapter(identity) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    pushed = two.orin.push()
    assert [item["id"] for item in pushed.kept] == [identity] and "sha256" in pushed.kept[0]["why"]
    assert [entry.id for entry in outbox.waiting(two.orin.home)] == [identity]
    assert [item["kind"] for item in pushed.sent] == ["marks"] and "blobs" in str(files(two.remote))
