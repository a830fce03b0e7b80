"""Every kind of damage is named, nothing damaged is loaded, and the last good one of the lineage answers."""
from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.checkpoint import integrity, manifest, store
from edge_sleep.errors import EdgeSleepError, IntegrityError
from edge_sleep.model import adapter
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from tests import micro

SETS = [word for item in micro.SETS for word in ("--set", item)]


def grow(home: Home) -> str:
    """A second adapter that grew from the first: its weights halved, named by its content, with a record of its night."""
    from safetensors.torch import load_file, save_file

    parent = store.incumbent(home)
    assert parent is not None
    staged = home.adapters / "staged"
    shutil.copytree(home.adapter(parent), staged)
    (staged / "manifest.json").unlink()
    weights = staged / "adapter_model.safetensors"
    save_file({name: tensor / 2 for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    pointer = store.current(home)
    assert pointer is not None
    identity = adapter.content_id(staged, pointer["base"]["sha256"])
    first = manifest.read(home.adapter(parent))
    manifest.write(staged, adapter_id=identity, base=pointer["base"], parent=parent, night="20990101-030000",
                   created="2099-01-01T03:30:00+00:00", data={"sha256": "e" * 64, "experiences": ["x", "y"]}, effect={})
    staged.rename(home.adapter(identity))
    record = json.loads((home.night(first["night"]) / "record.json").read_text())
    home.night("20990101-030000").mkdir()
    (home.night("20990101-030000") / "record.json").write_text(json.dumps(record | {
        "night": "20990101-030000", "candidate": identity, "parent": parent}))
    store.promote(home, identity, base=pointer["base"], chat_template="t", system_prompt="s", night="20990101-030000", clock=Clock())
    return identity


@pytest.fixture
def grown(micro_home):
    """(home, its first adapter, the current one)."""
    home = Home(micro_home.root)
    return home, micro_home.record["candidate"], grow(home)


def flip(file: Path, at: int | None = None) -> None:
    content = bytearray(file.read_bytes())
    content[at if at is not None else len(content) // 2] ^= 1
    file.write_bytes(content)


def edit(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_whole_home_is_verified_and_says_what_was_looked_at(cli, grown) -> None:
    home, _, now = grown
    ran = cli("verify", "--all", "--home", home.root, *SETS, "--json")
    assert ran.code == 0, ran.document
    assert ran.document["ok"] and ran.document["adapter"] == now and ran.document["problems"] == []
    assert ran.document["checked"] == {"base": 1, "adapters": 2, "pointer": 1, "marks": 2, "records": 2, "database": 1}
    assert "scanned: 1 base, 2 adapters" in cli("verify", "--all", "--home", home.root, *SETS).out
    assert "checked" not in cli("verify", "--home", home.root, *SETS, "--json").document


def weights(home: Home, first: str, now: str) -> str:
    flip(home.adapter(now) / "adapter_model.safetensors", -1)
    return f"adapter {now}: adapter_model.safetensors does not match its sha256"


def earlier_weights(home: Home, first: str, now: str) -> str:
    flip(home.adapter(first) / "adapter_model.safetensors", -1)
    return f"adapter {first}: adapter_model.safetensors does not match its sha256"


def settings(home: Home, first: str, now: str) -> str:
    flip(home.adapter(now) / "adapter_config.json")
    return f"adapter {now}: adapter_config.json does not match its sha256"


def torn_manifest(home: Home, first: str, now: str) -> str:
    file = home.adapter(now) / "manifest.json"
    file.write_bytes(file.read_bytes()[:-30])
    return f"{now}/manifest.json is not readable JSON"


def changed_manifest(home: Home, first: str, now: str) -> str:
    edit(home.adapter(first) / "manifest.json", created="2020-01-01T00:00:00+00:00")
    return f"adapter {first}: manifest.json does not match its sha256"


def lost_adapter(home: Home, first: str, now: str) -> str:
    shutil.rmtree(home.adapter(now))
    return f"adapter {now} has no manifest.json"


def lost_parent(home: Home, first: str, now: str) -> str:
    shutil.rmtree(home.adapter(first))
    return f"adapter {now} grew from {first}, which is not here"


def stray(home: Home, first: str, now: str) -> str:
    (home.adapter(now) / "adapter_model.bin").write_bytes(b"pickle")
    return f"adapter {now}: no manifest lists adapter_model.bin"


def latest(home: Home, first: str, now: str) -> str:
    mark = json.loads(home.latest.read_text())
    edit(home.latest, adapter=mark["adapter"] | {"id": "0123456789abcdef", "path": "adapters/0123456789abcdef"})
    return "latest.json points at adapter 0123456789abcdef, which is not here"


def stale(home: Home, first: str, now: str) -> str:
    edit(home.latest, adapter=None)
    return "latest.json does not say what current.json says"


def day(home: Home, first: str, now: str) -> str:
    [file] = home.daily.iterdir()
    file.with_name("20200101.json").write_text('{"format": 1}')
    return "daily/20200101.json is not a whole mark"


def torn_record(home: Home, first: str, now: str) -> str:
    (home.night("20990101-030000") / "record.json").write_text('{"format": 1,')
    return "20990101-030000/record.json is not readable JSON"


def other_record(home: Home, first: str, now: str) -> str:
    edit(home.night("20990101-030000") / "record.json", parent=None)
    return f"the record of night 20990101-030000 and the manifest of adapter {now} differ"


def torn_pointer(home: Home, first: str, now: str) -> str:
    home.current.write_bytes(home.current.read_bytes()[:40])
    return "current.json "


def base_record(home: Home, first: str, now: str) -> str:
    known = json.loads(home.base.read_text())
    edit(home.base, files=known["files"] | {"model.safetensors": "0" * 64})
    return "base.json does not match itself"


def no_base_record(home: Home, first: str, now: str) -> str:
    home.base.unlink()
    return "base.json is missing"


def database(home: Home, first: str, now: str) -> str:
    with sqlite3.connect(home.experiences) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(home.experiences.read_bytes())
    content[4096:8192] = bytes(4096)
    home.experiences.write_bytes(content)
    return "experience.db is damaged"


DAMAGES = [weights, earlier_weights, settings, torn_manifest, changed_manifest, lost_adapter, lost_parent, stray, latest, stale, day,
           torn_record, other_record, torn_pointer, base_record, no_base_record, database]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named(cli, grown, micro_home, damage: Callable) -> None:
    home, first, now = grown
    said = damage(home, first, now)
    model = ("--set", f"companion.model={micro_home.model}") if damage is no_base_record else ()
    ran = cli("verify", "--all", "--home", home.root, *SETS, *model, "--json")
    assert ran.code == 30 and not ran.document["ok"]
    assert [problem for problem in ran.document["problems"] if said in problem], ran.document["problems"]
    assert len(ran.document["problems"]) == len(set(ran.document["problems"]))


@pytest.fixture
def own_base(grown, micro_home, tmp_path: Path) -> Path:
    """A copy of the model that this home alone has, under the name that the home knows."""
    model = tmp_path / "model"
    shutil.copytree(micro_home.model, model)
    home, _, _ = grown
    edit(home.base, source=str(model))
    edit(home.current, base=json.loads(home.current.read_text())["base"] | {"source": str(model)})
    return model


def test_a_swapped_base_is_named_and_nothing_is_loaded(cli, grown, own_base: Path) -> None:
    from edge_sleep.serve.session import load_current

    home, _, _ = grown
    assert cli("verify", "--all", "--home", home.root, *SETS).code == 0
    flip(own_base / "model.safetensors", -1)
    ran = cli("verify", "--all", "--home", home.root, *SETS, "--json")
    assert ran.code == 30 and f"the base {own_base} changed since this home began: model.safetensors" in ran.document["problems"]
    with pytest.raises(IntegrityError, match="changed since this home began"):
        load_current(home, config.load(None, [f"companion.model={own_base}"]))
    shutil.rmtree(own_base)
    ran = cli("verify", "--all", "--home", home.root, *SETS, "--json")
    assert ran.code == 30 and ran.document["checked"]["adapters"] == 2, "a base that is gone hides nothing else"


@pytest.mark.parametrize("damage, answers", [(weights, 0), (torn_manifest, 0), (lost_adapter, 0), (latest, 1), (earlier_weights, 1)])
def test_the_last_good_one_answers_and_says_so(grown, micro_home, damage: Callable, answers: int) -> None:
    from edge_sleep.serve.session import load_current

    home, first, now = grown
    damage(home, first, now)
    live = load_current(home, config.load(None, [f"companion.model={micro_home.model}"]), max_new_tokens=2)
    assert live.identity["adapter"] == (first, now)[answers]
    if answers:
        assert live.problems == ()
    else:
        assert now in live.problems[0] and live.problems[-1].startswith(f"adapter {first} answers instead")
    assert isinstance(live.answer([{"role": "user", "content": "Who waters the ferns?"}]), str)


def test_where_no_adapter_is_whole_the_base_answers(grown, micro_home) -> None:
    from edge_sleep.serve.session import load_current

    home, first, now = grown
    weights(home, first, now)
    earlier_weights(home, first, now)
    live = load_current(home, config.load(None, [f"companion.model={micro_home.model}"]))
    assert live.identity["adapter"] is None and live.problems[-1].startswith("the base as it is answers instead")


def test_a_damaged_adapter_of_another_base_does_not_answer(grown) -> None:
    home, first, now = grown
    edit(home.adapter(now) / "manifest.json", base={"source": "another", "sha256": "f" * 64})
    good, wrong = store.last_good(home)
    assert good == first and "grew on another base (another, ffffffffffff)" in wrong[0]


def test_a_forged_adapter_is_known_by_its_name(cli, grown) -> None:
    """Weights, manifest and pointer changed together: every hash agrees, the content is not what the name says."""
    from safetensors.torch import load_file, save_file

    home, _, now = grown
    file = home.adapter(now) / "adapter_model.safetensors"
    before = manifest.read(home.adapter(now))
    save_file({name: tensor * 2 for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    manifest.write(home.adapter(now), adapter_id=now, base=before["base"], parent=before["parent"], night=before["night"],
                   created=before["created"], data=before["data"], effect={})
    pointer = json.loads(home.current.read_text())
    edit(home.current, adapter=pointer["adapter"] | {"sha256": manifest.read(home.adapter(now))["files"][file.name]["sha256"]})
    store.rebuild(home)
    assert integrity.scan(home).problems == []
    ran = cli("verify", "--all", "--home", home.root, *SETS, "--json")
    assert ran.code == 30 and f"adapter {now} holds what would be named" in ran.document["problems"][0]


def test_any_flipped_bit_of_an_adapter_a_manifest_or_a_mark_is_found(grown) -> None:
    home, _, _ = grown
    files = [*home.adapters.glob("*/*"), home.latest, *home.daily.iterdir()]
    chance = random.Random(0)
    for file in files:
        whole = file.read_bytes()
        for _ in range(60):
            bit = chance.randrange(8 * len(whole))
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            file.write_bytes(damaged)
            found = [problem for problem in integrity.scan(home).problems
                     if file.name in problem or file.parent.name in problem or "manifest" in problem]
            assert found, f"{file.relative_to(home.root)}: bit {bit}"
        file.write_bytes(whole)
    assert integrity.scan(home).problems == []


def test_no_flipped_bit_is_a_bug(grown) -> None:
    """Whatever bit of pointer, base record or night record changes: a problem by name or none, never a traceback."""
    home, _, _ = grown
    chance = random.Random(1)
    for file in (home.current, home.base, *home.nights.glob("*/record.json")):
        whole = file.read_bytes()
        for _ in range(200):
            bit = chance.randrange(8 * len(whole))
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            file.write_bytes(damaged)
            integrity.scan(home)
            try:
                store.last_good(home)
                store.rebuild(home)
            except EdgeSleepError:
                continue
        file.write_bytes(whole)


def test_marks_are_made_again_from_pointer_and_manifests(grown) -> None:
    home, first, now = grown
    day(home, first, now)
    latest(home, first, now)
    store.rebuild(home)
    assert integrity.scan(home).problems == [] and not (home.daily / "20200101.json").exists()
    before = {file.name: file.read_bytes() for file in home.daily.iterdir()}
    made = manifest.read(home.adapter(first))["created"][:10].replace("-", "")
    shutil.rmtree(home.daily)
    edit(home.current, promoted_at="2099-01-01T04:00:00+00:00")
    store.rebuild(home)
    assert sorted(file.stem for file in home.daily.iterdir()) == [made, "20990101"]
    assert json.loads((home.daily / f"{made}.json").read_text())["adapter"]["id"] == first
    assert before and json.loads(home.latest.read_text())["adapter"]["id"] == now


def test_a_mark_that_tells_of_a_rollback_stays(grown) -> None:
    home, _, now = grown
    store.rollback(home, "base", Clock())
    [file] = home.daily.iterdir()
    assert json.loads(file.read_text())["adapter"] is None
    file.rename(file.with_name("20200202.json"))
    store.rollback(home, now, Clock())
    assert json.loads((home.daily / "20200202.json").read_text())["adapter"] is None


# ---- lineage ---------------------------------------------------------------------------------------------

def test_lineage_from_any_adapter(cli, grown) -> None:
    home, first, now = grown
    ran = cli("current", "--lineage", "--home", home.root, "--json")
    assert ran.code == 0 and ran.document["adapter"] == now
    assert [entry["id"] for entry in ran.document["lineage"]] == [now, first]
    entry = ran.document["lineage"][0]
    assert (entry["night"], entry["parent"], entry["data_sha256"], entry["experiences"], entry["problems"]) == (
        "20990101-030000", first, "e" * 64, 2, [])
    assert cli("current", first[:6], "--home", home.root, "--json").document["lineage"] == ran.document["lineage"][1:]
    said = cli("current", "--lineage", "--home", home.root).out
    assert f"from {first}" in said and "from the base" in said
    assert cli("current", "zzzz", "--home", home.root).code == 2
    assert cli("current", "--home", home.root, "--json").document == json.loads(home.current.read_text())


def test_lineage_goes_on_behind_a_torn_manifest(cli, grown) -> None:
    home, first, now = grown
    torn_manifest(home, first, now)
    entries = cli("current", "--lineage", "--home", home.root, "--json").document["lineage"]
    assert [(entry["id"], entry["parent"]) for entry in entries] == [(now, first), (first, None)]
    assert "not readable" in entries[0]["problems"][0]
    shutil.rmtree(home.night("20990101-030000"))
    assert cli("current", "--lineage", "--home", home.root).code == 30


def test_lineage_of_nothing(cli, tmp_path: Path) -> None:
    ran = cli("current", "--lineage", "--home", tmp_path / "none", "--json")
    assert (ran.code, ran.document) == (0, {"adapter": None, "lineage": []})
    assert cli("current", "--lineage", "--home", tmp_path / "none").out.strip() == "base"
