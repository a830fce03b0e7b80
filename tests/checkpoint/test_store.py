"""Promotion, rollback and the pointer, on adapters of a few bytes: no model needed."""
import json

import pytest

from edge_sleep.checkpoint import integrity, manifest, store
from edge_sleep.errors import IntegrityError, UsageError
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.files import write_json
from edge_sleep.system.home import Home

BASE = {"source": "seedling", "sha256": "b" * 64}
CLOCK = ManualClock()


def add(home, identity, parent=None, base=BASE):
    folder = home.adapter(identity)
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(f"weights of {identity}".encode())
    (folder / "adapter_config.json").write_text("{}")
    manifest.write(folder, adapter_id=identity, base=base, parent=parent, night=f"night-{identity}",
                   created=CLOCK.stamp(), data={}, effect={})


def promote(home, identity):
    CLOCK.advance(3600)
    return store.promote(home, identity, base=BASE, chat_template="t", system_prompt="s", night="n", clock=CLOCK)


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home").make()
    write_json(home.base, BASE)
    add(home, "aaaa1111")
    add(home, "bbbb2222", parent="aaaa1111")
    promote(home, "aaaa1111")
    promote(home, "bbbb2222")
    return home


def test_current_names_what_was_promoted(home):
    pointer = store.current(home)
    assert pointer["adapter"] == {"id": "bbbb2222", "path": "adapters/bbbb2222",
                                  "sha256": manifest.read(home.adapter("bbbb2222"))["files"]["adapter_model.safetensors"]["sha256"]}
    assert json.loads(home.latest.read_text())["adapter"]["id"] == "bbbb2222"
    assert len(list(home.daily.iterdir())) == 1


def test_rollback_goes_to_the_parent_then_to_the_base_then_no_further(home):
    assert store.rollback(home, None, CLOCK)["adapter"]["id"] == "aaaa1111"
    assert store.rollback(home, None, CLOCK)["adapter"] is None
    with pytest.raises(UsageError, match="nothing before it"):
        store.rollback(home, None, CLOCK)
    assert store.rollback(home, "bbbb", CLOCK)["adapter"]["id"] == "bbbb2222"
    assert store.rollback(home, "base", CLOCK)["adapter"] is None


def test_an_unknown_adapter_is_named(home):
    with pytest.raises(UsageError, match="0 adapters begin with 'cccc'"):
        store.rollback(home, "cccc", CLOCK)


@pytest.mark.parametrize("damage", ["flip", "truncate", "missing", "manifest", "torn manifest"])
def test_what_is_not_whole_is_neither_promoted_nor_served(home, damage):
    folder = home.adapter("bbbb2222")
    weights = folder / "adapter_model.safetensors"
    match damage:
        case "flip":
            weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
        case "truncate":
            weights.write_bytes(weights.read_bytes()[:-1])
        case "missing":
            weights.unlink()
        case "manifest":
            (folder / "manifest.json").unlink()
        case "torn manifest":
            (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:40])
    assert manifest.problems(folder)
    with pytest.raises(IntegrityError):
        promote(home, "bbbb2222")
    good, wrong = store.last_good(home)
    assert wrong
    assert good == (None if "manifest" in damage else "aaaa1111")     # without its manifest the parent is unknown


def test_a_swapped_adapter_is_noticed_by_the_pointer(home):
    """Files and manifest replaced together are consistent with each other, and not with current.json."""
    folder = home.adapter("bbbb2222")
    (folder / "adapter_model.safetensors").write_bytes(b"other weights")
    manifest.write(folder, adapter_id="bbbb2222", base=BASE, parent="aaaa1111", night="n", created="", data={}, effect={})
    good, wrong = store.last_good(home)
    assert good == "aaaa1111"
    assert "another content" in wrong[0]


def test_an_adapter_of_another_base_is_not_promoted(home):
    add(home, "cccc3333", base={"source": "other", "sha256": "c" * 64})
    with pytest.raises(IntegrityError, match="grew on base cccc"):
        promote(home, "cccc3333")


def test_a_torn_pointer_is_named_and_rollback_mends_it(home):
    home.current.write_text('{"format": 1, "ada')
    with pytest.raises(IntegrityError, match=r"current\.json"):
        store.current(home)
    assert store.rollback(home, "base", CLOCK)["adapter"] is None
    assert store.current(home)["adapter"] is None


def test_a_manifest_lists_nothing_that_a_kill_left_half_written(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    (tmp_path / ".tmp-manifest.json.4711").write_text("{")
    assert list(manifest.listed(tmp_path)) == ["adapter_model.safetensors"]


def test_a_pointer_that_is_gone_is_no_new_home(home):
    """It answered as the base, and the next night taught the base: what was promoted was lost without a word."""
    home.current.unlink()
    for look in (store.current, store.incumbent, store.rebuild, store.last_good):
        with pytest.raises(IntegrityError, match=r"current\.json is gone") as told:
            look(home)
        assert "rollback bbbb2222" in str(told.value.do)
    assert any("is gone" in problem for problem in integrity.scan(home).problems)
    assert store.remembered(home)["adapter"]["id"] == "bbbb2222"           # what a session goes on with
    home.latest.unlink()
    with pytest.raises(IntegrityError, match="is gone"):                   # the days still tell
        store.current(home)
    assert store.rollback(home, "bbbb2222", CLOCK)["adapter"]["id"] == store.incumbent(home) == "bbbb2222"


def test_derived_marks_are_rebuilt(home):
    home.latest.write_text("{}")
    store.rebuild(home)
    assert json.loads(home.latest.read_text())["adapter"]["id"] == "bbbb2222"


def test_lineage_and_history(home):
    assert store.lineage(home, "bbbb2222") == ["bbbb2222", "aaaa1111"]
    assert [entry["current"] for entry in store.history(home)].count(True) == 1
