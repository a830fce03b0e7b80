"""A session in each runtime that is made from an export: the same words as the judged form, the same care with what it loads."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.checkpoint import store
from edge_sleep.config import Config
from edge_sleep.export.workshop import Workshop
from edge_sleep.serve import exported
from edge_sleep.serve.handover import hand_over
from edge_sleep.serve.runtime import Options
from edge_sleep.serve.session import Session, load_current
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from tests.export import tiny as tinies

pytestmark = pytest.mark.night
TALK = [{"role": "user", "content": "Who waters the ferns?"}]
EXACT = ("export.merged=float32", "export.onnx=fp32", "export.gguf=f32", "export.passages=4")
NEEDS = {"merged": (), "onnx": ("onnxruntime", "onnxruntime_genai"), "gguf": ("gguf", "llama_cpp"),
         "gguf-merged": ("gguf", "llama_cpp")}


@pytest.fixture(scope="module")
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> tinies.Tiny:
    """A home with two adapters, the first of them current, and what takes longest made once."""
    made = tinies.make(tmp_path_factory.mktemp("tiny"), adapters={"first": tinies.ADAPTERS["r8 all-linear"],
                                                                  "second": tinies.ADAPTERS["r4 q,v"]})
    become_current(made, "first")
    if find_spec("gguf"):
        shop(made).base_export("gguf")
    if all(map(find_spec, NEEDS["onnx"])):
        hand_over(shop(made), "onnx", made.adapters["first"])
    return made


@pytest.fixture
def tiny(_tiny: tinies.Tiny, tmp_path: Path) -> tinies.Tiny:
    home = Home(tmp_path / "home")
    shutil.copytree(_tiny.home.root, home.root)
    return replace(_tiny, home=home, base=replace(_tiny.base, cache=home.cache))


def become_current(tiny: tinies.Tiny, name: str | None) -> None:
    adapter_id = tiny.adapters[name] if name else None
    store.promote(tiny.home, adapter_id, base=tiny.base.entry(), chat_template="t", system_prompt="s", night="20260117-030000",
                  clock=Clock()) if adapter_id else store.rollback(tiny.home, "base", Clock())


def settings(tiny: tinies.Tiny, runtime: str) -> Config:
    return config.load(None, [f"companion.model={tiny.base.place.folder}", "companion.compute_dtype=float32",
                              f"serve.runtime={runtime}", *EXACT])


def shop(tiny: tinies.Tiny) -> Workshop:
    found = settings(tiny, "auto")
    return Workshop(tiny.home, tiny.base, tiny.device, found.export, found.companion.system_prompt, tinies.CREATED)


def said(tiny: tinies.Tiny, runtime: str) -> str:
    with load_current(tiny.home, settings(tiny, runtime)) as session:
        return session.generate(TALK, Options(24)).text


@pytest.fixture(params=NEEDS)
def kind(request: pytest.FixtureRequest) -> str:
    for package in NEEDS[request.param]:
        pytest.importorskip(package)
    return request.param


def test_it_says_what_was_judged_and_follows(tiny: tinies.Tiny, kind: str) -> None:
    first, second = tiny.adapters.values()
    expected = said(tiny, "transformers")
    handed = hand_over(shop(tiny), kind, first)
    assert handed.current and handed.made.document["speed"]["tokens_per_second"] > 0
    with load_current(tiny.home, settings(tiny, kind)) as session:
        answer = session.generate(TALK, Options(24))
        assert answer.text == expected and session.problems == ()
        assert (answer.identity["runtime"], answer.identity["adapter"]) == (kind, first)
        weights = handed.made.folder / exported.KINDS[kind].weights
        assert answer.identity["artefact_sha256"] == handed.made.document["files"][weights.name]["sha256"]
        drawn = [session.generate(TALK, Options(24, temperature=1.5, top_p=0.9, seed=seed)).text for seed in (7, 7, 8)]
        assert drawn[0] == drawn[1] != drawn[2]

        # A morning without this form: the judged one answers, and it comes back with the form.
        become_current(tiny, "second")
        assert session.refresh() and session.identity["runtime"] == "transformers" and session.problems == ()
        assert f"no {kind} export is current" in session.runtime_reason
        other = session.generate(TALK, Options(24)).text
        hand_over(shop(tiny), kind, second)
        assert not session.refresh(), "the same weights in another form"
        assert session.identity["runtime"] == kind and session.generate(TALK, Options(24)).text == other
        become_current(tiny, None)
        assert session.refresh() and (session.identity["adapter"], session.identity["runtime"]) == (None, "transformers")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def damage_adapter(made: Path, below: Path, home: Home, kind: str) -> None:
    flip(made / exported.KINDS[kind].weights)


def damage_base(made: Path, below: Path, home: Home, kind: str) -> None:
    flip(max(below.iterdir(), key=lambda file: file.stat().st_size))


def lose_manifest(made: Path, below: Path, home: Home, kind: str) -> None:
    (made / "manifest.json").unlink()


def another_manifest(made: Path, below: Path, home: Home, kind: str) -> None:
    pointer = json.loads(home.current.read_text())
    pointer["exports"][kind]["sha256"] = "f" * 64
    home.current.write_text(json.dumps(pointer))


@pytest.mark.parametrize("damage, named", [
    (damage_adapter, "does not match its sha256"), (damage_base, "does not match its sha256"),
    (lose_manifest, "has no manifest.json"), (another_manifest, "current.json names another content for export onnx")])
def test_a_damaged_export_is_named(tiny: tinies.Tiny, damage: Callable, named: str) -> None:
    """What is loaded goes on, as it was verified; a session that begins speaks in the form that was judged."""
    pytest.importorskip("onnxruntime_genai")
    first = tiny.adapters["first"]
    made = hand_over(shop(tiny), "onnx", first).made
    expected = said(tiny, "transformers")
    with load_current(tiny.home, settings(tiny, "onnx")) as session:
        assert session.identity["runtime"] == "onnx"
        damage(made.folder, tiny.home.exports / "onnx" / made.document["needs"]["id"], tiny.home, "onnx")
        session.refresh()
        assert any(named in problem for problem in session.problems), session.problems
        assert session.identity["adapter"] == first and session.generate(TALK, Options(24)).text == expected
    with load_current(tiny.home, settings(tiny, "onnx")) as fresh:
        assert (fresh.identity["adapter"], fresh.identity["runtime"]) == (first, "transformers")
        assert any(named in problem for problem in fresh.problems), fresh.problems
        assert fresh.generate(TALK, Options(24)).text == expected


def test_a_runtime_that_leaves_the_adapter_out_does_not_answer(tiny: tinies.Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ONNX Runtime's IO binding does without a word: the canary hears it."""
    pytest.importorskip("onnxruntime_genai")
    from edge_sleep.model import ort

    hand_over(shop(tiny), "onnx", tiny.adapters["first"])
    monkeypatch.setattr(ort.OrtModel, "use", lambda self, adapter: None)
    with load_current(tiny.home, settings(tiny, "onnx")) as session:
        assert session.identity["runtime"] == "transformers" and "the adapter does not speak in it" in session.problems[0]


def test_auto_takes_what_was_measured_fastest(tiny: tinies.Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_sleep.serve import speed

    measured = iter((5e6, 1e6))              # faster than any tiny model is
    monkeypatch.setattr(speed, "decoding", lambda live, prompt: next(measured))
    hand_over(shop(tiny), "merged", tiny.adapters["first"])
    with load_current(tiny.home, settings(tiny, "auto")) as session:
        assert session.identity["runtime"] == "merged" and "5000000 tokens a second" in session.runtime_reason
    monkeypatch.setattr(speed, "where", lambda device: "another machine")
    with load_current(tiny.home, settings(tiny, "auto")) as session:
        assert session.identity["runtime"] == "transformers"


def test_closed_it_holds_nothing(tiny: tinies.Tiny, kind: str) -> None:
    hand_over(shop(tiny), kind, tiny.adapters["first"])
    session: Session = load_current(tiny.home, settings(tiny, kind))
    live = session.runtime
    session.close()
    assert live.active is None and live._model is None
