"""A session loads what verifies, says who answers, and follows what becomes current; on a real micro-home."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import edge_sleep
from edge_sleep import config
from edge_sleep.checkpoint import manifest, store
from edge_sleep.errors import Busy, IntegrityError, UsageError
from edge_sleep.model import adapter
from edge_sleep.serve.following import Following
from edge_sleep.serve.runtime import Options
from edge_sleep.serve.session import Session, load_current
from edge_sleep.system import lock
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

pytestmark = pytest.mark.night
FERNS = [{"role": "user", "content": "Who waters the ferns?"}]


@pytest.fixture
def home(micro_home) -> Home:
    return Home(micro_home.root)


@pytest.fixture
def first(micro_home) -> str:
    return micro_home.record["candidate"]


@pytest.fixture
def settings(micro_home):
    return config.load(None, [f"companion.model={micro_home.model}", "serve.max_new_tokens=6"])


@pytest.fixture
def live(home, settings):
    with load_current(home, settings) as session:
        yield session


def grow(home: Home, parent: str, change: float, promote: bool = True) -> str:
    """A whole adapter of other weights, as a night would have left it; made current."""
    base = json.loads(home.base.read_text())
    staged = home.adapters / "staged"
    shutil.copytree(home.adapter(parent), staged)
    tensors = {name: tensor * change for name, tensor in load_file(staged / adapter.WEIGHTS).items()}
    save_file(tensors, staged / adapter.WEIGHTS, metadata={"format": "pt"})
    identity = adapter.content_id(staged, base["sha256"])
    manifest.write(staged, adapter_id=identity, base={key: base[key] for key in ("source", "sha256")}, parent=parent,
                   night="20990101-030000", created=Clock().stamp(), data={"sha256": "d", "experiences": []}, effect={})
    staged.rename(home.adapter(identity))
    if promote:
        become_current(home, identity)
    return identity


def become_current(home: Home, identity: str) -> None:
    base = json.loads(home.base.read_text())
    store.promote(home, identity, base={key: base[key] for key in ("source", "sha256")}, chat_template="t", system_prompt="s",
                  night="20990101-030000", clock=Clock())


# ---- damage, of the adapter that is current; each is named and the one it grew from answers --------------

def flip(home: Home, name: str) -> str:
    file = home.adapter(name) / adapter.WEIGHTS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return "does not match its sha256"


def cut(home: Home, name: str) -> str:
    file = home.adapter(name) / adapter.WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    return "bytes, not"


def lose_config(home: Home, name: str) -> str:
    (home.adapter(name) / adapter.CONFIG).unlink()
    return "adapter_config.json is missing"


def lose_all(home: Home, name: str) -> str:
    shutil.rmtree(home.adapter(name))
    return "has no manifest.json"


def of_another_base(home: Home, name: str) -> str:
    document = manifest.read(home.adapter(name))
    (home.adapter(name) / manifest.NAME).write_text(json.dumps(
        manifest.sealed(document | {"base": {"source": "another", "sha256": "f" * 64}})))
    return "grew on another base (another, ffffffffffff)"


def forge(home: Home, name: str) -> str:
    """Weights, manifest and pointer changed together: every hash agrees, the content is not what the name says."""
    folder = home.adapter(name)
    save_file({key: tensor + 1 for key, tensor in load_file(folder / adapter.WEIGHTS).items()}, folder / adapter.WEIGHTS)
    document = manifest.read(folder)
    (folder / manifest.NAME).unlink()
    manifest.write(folder, **{"adapter_id": name, **{key: document[key] for key in (
        "base", "parent", "night", "created", "data", "effect")}})
    pointer = json.loads(home.current.read_text())
    home.current.write_text(json.dumps(pointer | {"adapter": manifest.named(manifest.read(folder))}))
    return "holds what would be named"


def other_tensors(home: Home, name: str) -> str:
    """Whole and rightly named, but made for another shape of model."""
    folder = home.adapter(name)
    tensors = load_file(folder / adapter.WEIGHTS)
    gone = sorted(tensors)[0]
    save_file({key: tensor for key, tensor in tensors.items() if key != gone}, folder / adapter.WEIGHTS)
    base = json.loads(home.base.read_text())
    identity, document = adapter.content_id(folder, base["sha256"]), manifest.read(folder)
    (folder / manifest.NAME).unlink()
    manifest.write(folder, **{"adapter_id": identity, **{key: document[key] for key in (
        "base", "parent", "night", "created", "data", "effect")}})
    folder.rename(home.adapter(identity))
    become_current(home, identity)
    return f"does not fit this base: {gone} is missing"


DAMAGE = [flip, cut, lose_config, lose_all, of_another_base, forge, other_tensors]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_does_not_verify_is_named_and_the_last_good_one_goes_on(live: Session, home, first, damage: Callable) -> None:
    """A running session meets a broken morning: the one that answers stays, and nothing is loaded."""
    before = live.generate(FERNS)
    broken = grow(home, first, -3.0, promote=False)
    become_current(home, broken)
    named = damage(home, broken)
    assert not live.refresh() and live.identity["adapter"] == first
    assert any(named in problem for problem in live.problems), live.problems
    assert live.problems[-1] == f"adapter {first} answers instead, the last good one"
    assert live.generate(FERNS).text == before.text


def test_a_fresh_session_falls_back_further_where_the_parent_is_broken_too(home, first, settings) -> None:
    second = grow(home, first, 2.0)
    third = grow(home, second, -2.0)
    named = forge(home, second), cut(home, third)
    become = json.loads(home.current.read_text())
    assert become["adapter"]["id"] == second                     # forging wrote the pointer: back to the third
    home.current.write_text(json.dumps(become | {"adapter": manifest.named(manifest.read(home.adapter(third)))}))
    with load_current(home, settings) as session:
        assert session.identity["adapter"] == first
        assert [any(what in problem for problem in session.problems) for what in named] == [True, True], session.problems


# ---- the pointer -----------------------------------------------------------------------------------------

def test_a_new_adapter_answers_without_a_restart_and_the_base_stays_loaded(live: Session, home, first) -> None:
    old, base_layer = live.generate(FERNS), live.model.get_input_embeddings()
    assert old.identity["adapter"] == first and not live.refresh()
    new = grow(home, first, -2.0)
    assert live.refresh() and not live.refresh() and live.problems == ()
    said = live.generate(FERNS)
    assert said.identity["adapter"] == new != first and said.text != old.text
    assert said.identity["artefact_sha256"] == json.loads(home.current.read_text())["adapter"]["sha256"]
    assert live.model.get_input_embeddings() is base_layer and list(live.model.peft_config) == [new]
    store.rollback(home, "base", Clock())
    assert live.refresh() and live.identity["adapter"] is None and live.identity["artefact_sha256"] is None
    assert not hasattr(live.model, "peft_config") and not any("lora" in name for name, _ in live.model.named_parameters())
    become_current(home, first)
    assert live.refresh() and live.generate(FERNS).text == old.text, "the same weights speak as they did"


def test_the_live_model_speaks_as_one_that_peft_loads(live: Session, home, first, settings) -> None:
    """Attached from verified bytes, it computes what PEFT computes from the folder, to the bit; after swaps as well."""
    import torch

    from edge_sleep.device import detect
    from edge_sleep.evaluate.answers import canary_logits
    from edge_sleep.model import base as base_model

    grow(home, first, -2.0)
    live.refresh()
    become_current(home, first)
    live.refresh()
    reference = adapter.attach_saved(base_model.load(live.base, detect.choose()).model, home.adapter(first), trainable=False).eval()
    want, got = (canary_logits(model, live.tokenizer, "s") for model in (reference, live.model))
    assert torch.equal(want, got)
    assert not any(parameter.requires_grad for parameter in live.model.parameters())


def test_a_damaged_pointer_is_named_and_what_is_loaded_goes_on(live: Session, home, first, settings) -> None:
    whole = home.current.read_bytes()
    home.current.write_text("{")
    assert not live.refresh() and live.identity["adapter"] == first
    assert "is not readable JSON" in live.problems[0] and "goes on answering" in live.problems[-1]
    with load_current(home, settings) as fresh:                  # a new session goes by what latest.json remembers
        assert fresh.identity["adapter"] == first and "is not readable JSON" in fresh.problems[0]
    home.latest.unlink()
    with load_current(home, settings) as lost:
        assert lost.identity["adapter"] is None and "the base as it is answers instead" in lost.problems[-1]
    home.current.write_bytes(whole)
    assert not live.refresh() and live.problems == ()


def test_a_pointer_of_another_base(live: Session, home, first) -> None:
    pointer = json.loads(home.current.read_text())
    home.current.write_text(json.dumps(pointer | {"base": {"source": "another", "sha256": "f" * 64}}))
    assert live.refresh() and live.identity["adapter"] is None and "names another base (another" in live.problems[0]


def test_a_file_swapped_behind_its_back_is_noticed(live: Session, home, first) -> None:
    """The pointer stays as it is, and size and times of the file too: the verified weights in memory answer, and it is named."""
    import os
    before, file = live.generate(FERNS), home.adapter(first) / adapter.WEIGHTS
    whole, times = file.read_bytes(), file.stat()
    flip(home, first)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not live.refresh()
    assert "does not match its sha256" in live.problems[0] and "goes on answering, as it was verified" in live.problems[-1]
    assert live.generate(FERNS).text == before.text
    file.write_bytes(whole)
    assert not live.refresh() and live.problems == ()


def test_a_base_swapped_behind_its_back_is_noticed(home, micro_home, tmp_path: Path, first) -> None:
    own = tmp_path / "own"
    shutil.copytree(micro_home.model, own)
    for file in (home.base, home.current):
        document = json.loads(file.read_text())
        (document if file == home.base else document["base"])["source"] = str(own)
        file.write_text(json.dumps(document))
    settings = config.load(None, [f"companion.model={own}"])
    with load_current(home, settings) as session:
        weights = own / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        assert not session.refresh() and "changed since they were loaded" in session.problems[-1]
        assert session.identity["adapter"] == first
    with pytest.raises(IntegrityError, match="changed since this home began"):
        load_current(home, settings)


def test_a_promotion_while_it_is_followed(live: Session, home, first, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pointer moves on between its reading and the loading of what it named: the newest answers."""
    second, third = grow(home, first, 2.0, promote=False), grow(home, first, -2.0, promote=False)
    verified, moved = Following._verified, []

    def meanwhile(following: Following, name: str, *more):
        found = verified(following, name, *more)
        if not moved:
            moved.append(name)
            become_current(home, third)
        return found

    monkeypatch.setattr(Following, "_verified", meanwhile)
    become_current(home, second)
    assert live.refresh() and moved == [second]
    assert live.identity["adapter"] == third and live.problems == ()


def test_an_adapter_pruned_while_it_is_read(live: Session, home, first, monkeypatch: pytest.MonkeyPatch) -> None:
    second = grow(home, first, 2.0)
    contents = manifest.contents

    def gone(folder: Path):
        shutil.rmtree(folder)
        become_current(home, first)
        return contents(folder)

    monkeypatch.setattr(manifest, "contents", gone)
    assert second != first and not live.refresh()
    assert live.identity["adapter"] == first and live.problems == ()


# ---- talking ---------------------------------------------------------------------------------------------

def test_the_same_answer_in_one_piece_and_in_many(live: Session) -> None:
    answer, pieces = live.generate(FERNS, Options(20)), []
    assert live.generate(FERNS, Options(20), pieces.append).text == "".join(pieces) == "".join(live.stream(FERNS, Options(20)))
    assert len(pieces) > 3 and answer.text == "".join(pieces)
    assert (answer.finish, answer.completion_tokens) == ("length", 20) and 0 < answer.first_seconds < answer.seconds
    from edge_sleep.evaluate.answers import generate
    assert answer.text == generate(live.model, live.tokenizer, [FERNS], live.system_prompt, 20)[0][0], "as the judge hears it"


def test_stop_strings_seeds_and_time(live: Session) -> None:
    whole = live.generate(FERNS, Options(20, temperature=1.5, seed=7))
    assert whole.text == live.generate(FERNS, Options(20, temperature=1.5, seed=7)).text
    assert whole.text != live.generate(FERNS, Options(20, temperature=1.5, seed=8)).text
    stop = whole.text[4:6]
    cut = live.generate(FERNS, Options(20, temperature=1.5, seed=7, stop=(stop,)))
    assert cut.finish == "stop_sequence" and cut.text == whole.text[:whole.text.index(stop)].rstrip()
    assert live.generate(FERNS, Options(20, seconds=0.0)).finish == "time"
    pieces = live.stream(FERNS, Options(400))
    assert next(pieces)
    pieces.close()                                               # leaves no thread behind: the next call is not disturbed
    assert live.generate(FERNS).completion_tokens <= 6


def test_an_end_token_ends_an_answer(live: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    made = live.generate(FERNS, Options(3))
    token = live.tokenizer(made.text, add_special_tokens=False)["input_ids"][0]
    monkeypatch.setattr(type(live.runtime), "ends", property(lambda _: frozenset([token])))
    ended = live.generate(FERNS)
    assert (ended.finish, ended.text, ended.completion_tokens) == ("stop", "", 1)


def test_a_conversation_too_long_for_the_base(live: Session) -> None:
    with pytest.raises(UsageError, match="this base reads at most 512"):
        live.generate([{"role": "user", "content": "fern " * 600}])
    near = live.generate([{"role": "user", "content": "x" * 100}], Options(5000, seconds=2.0))
    assert near.prompt_tokens + near.completion_tokens <= 512


def test_a_system_message_is_stamped_as_what_it_was(live: Session) -> None:
    own = live.generate([{"role": "system", "content": "You are a pirate."}, *FERNS])
    assert own.identity["system_prompt"] == store.text_sha256("You are a pirate.") != live.identity["system_prompt"]


def test_another_system_prompt_than_judged_is_noted(home, micro_home) -> None:
    with load_current(home, config.load(None, [f"companion.model={micro_home.model}", "companion.system_prompt=Sing."])) as session:
        assert session.notes == ("the system prompt is not the one that the current adapter was judged with",)


def test_load_current_of_a_path_has_the_device(home, micro_home) -> None:
    with edge_sleep.load_current(micro_home.root, sets=["serve.max_new_tokens=4"]) as session:
        assert lock.holder(home.session_lock)["what"] == "a conversation (load_current)"
        with pytest.raises(Busy):
            edge_sleep.load_current(micro_home.root)
        answer = session.generate(FERNS)
        assert answer.completion_tokens <= 4
        file = session.transcript().add(FERNS[0]["content"], answer.text, answer.identity, answer.finish)
    assert not lock.is_held(home.session_lock)
    assert json.loads(file.read_text())["edge_sleep"]["adapter"] == micro_home.record["candidate"]
    with pytest.raises(UsageError, match="this session is closed"):
        _ = session.identity
    with lock.hold(home.night_lock, "a night"), pytest.raises(Busy, match="did not give way"):
        edge_sleep.load_current(micro_home.root, wait_seconds=0.1)
    assert not lock.is_held(home.session_lock)
