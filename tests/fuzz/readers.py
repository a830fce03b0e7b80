"""What is fuzzed: each reader takes the bytes of one file, says EdgeSleepError or reads it, in bounded time and memory.

`seeds` are good inputs to alter. `python -m tests.fuzz.readers` lists the readers; corpus/READER/ holds what once failed.
"""
from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
import tracemalloc
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sleep import config
from edge_sleep.checkpoint import integrity, manifest, store
from edge_sleep.cli import status
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.ingest import ingest
from edge_sleep.device import profile
from edge_sleep.errors import EdgeSleepError, IntegrityError
from edge_sleep.evaluate import probes
from edge_sleep.system import intent, lock
from edge_sleep.system import state as metabolic
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.events import read_events
from edge_sleep.system.files import write_json, write_sealed
from edge_sleep.system.home import Home
from edge_sleep.system.record import blank, read_records
from edge_sleep.train import state as training_state

CORPUS = Path(__file__).with_name("corpus")
MOST_SECONDS, MOST_BYTES = 10.0, 256 << 20
BASE = {"source": "seedling", "sha256": hashlib.sha256(b'{"model.safetensors":"0"}').hexdigest()}
TALK = {"session": 3, "phase": "relating", "start": "2026-01-17T20:00:00", "model": "seedling", "conversation": [
    {"speaker": "Claude", "text": "What is the name of the boat?"}, {"speaker": "SAGE", "text": "The boat is called Heron, and it lies still."},
    {"speaker": "Claude", "text": "Who waters the ferns?"}, {"speaker": "SAGE", "text": "Grandfather waters the ferns every Sunday."}]}
TALKS = (TALK, [{"role": "user", "content": "Hello there"}, {"role": "assistant", "content": [{"type": "text", "text": "Good evening."}]}],
         {"exercises": [{"exercise": {"type": "remember", "prompt": "Say red."}, "response": "Red.", "evaluation": {"success": True}}]},
         [{"prompt": "What is two and two?", "response": "It is four.", "salience": {"total": 0.5}, "timestamp": "2026-01-01"}])


@dataclass(frozen=True)
class Reader:
    """seeds: good files. read: reads one, in a folder that is its own; raises EdgeSleepError alone."""

    seeds: tuple[bytes, ...]
    read: Callable[[bytes, Path], object]
    suffix: str = ".json"


def _home(folder: Path) -> Home:
    """A home with two adapters of a few bytes, the second current, and one night."""
    home = Home(folder / "home").make()
    clock = ManualClock()
    write_json(home.base, {"format": 1, **BASE, "files": {"model.safetensors": "0"}, "quantisation": "nf4-double-quant",
                           "compute_dtype": "float32", "created": clock.stamp()})
    for name, parent in (("a" * 16, None), ("b" * 16, "a" * 16)):
        adapter = home.adapter(name)
        adapter.mkdir()
        (adapter / manifest.WEIGHTS).write_bytes(f"weights of {name}".encode())
        (adapter / "adapter_config.json").write_text("{}")
        manifest.write(adapter, adapter_id=name, base=BASE, parent=parent, night="20260117-230000", created=clock.stamp(),
                       data={"sha256": "d" * 64, "experiences": ["e" * 16]}, effect={"canary_mean_abs_logit_difference": 0.1})
        store.promote(home, name, base=BASE, chat_template="t", system_prompt="s", night="20260117-230000", clock=clock)
    write_json(home.night("20260117-230000") / "record.json", blank("20260117-230000", clock.stamp()) | {
        "outcome": "promoted", "exit_code": 0, "reason": "it learned", "base": BASE, "parent": "a" * 16, "candidate": "b" * 16})
    return home


def _looks(home: Home) -> None:
    """Everything that commands read of a home without a model; each may refuse by name, and the others go on."""
    for look in (lambda: store.current(home), lambda: store.last_good(home), lambda: store.rebuild(home), lambda: store.history(home),
                 lambda: integrity.scan(home), lambda: read_records(home.nights), lambda: status.examine(home),
                 lambda: store.rollback(home, "a" * 16, ManualClock()), lambda: _report(home)):
        try:
            look()
        except EdgeSleepError as error:
            assert error.message, "an error says what it found"


def _report(home: Home) -> None:
    from edge_sleep.cli import report
    with redirect_stdout(io.StringIO()):
        report.command(home=home.root)


def _of_home(name: str) -> Reader:
    """One file of a home replaced."""
    def read(content: bytes, folder: Path) -> None:
        home = _home(folder)
        (home.root / name).write_bytes(content)
        _looks(home)

    import tempfile
    with tempfile.TemporaryDirectory() as made:
        return Reader(((_home(Path(made)).root / name).read_bytes(),), read)


def _transcript(content: bytes, folder: Path, suffix: str = ".json") -> None:
    file = folder / f"talk{suffix}"
    file.write_bytes(content)
    with Buffer(folder / "experience.db") as buffer:
        settings = config.Config()
        ingest([file], buffer, companion=settings.companion, quality=settings.quality, salience=settings.salience, data=settings.data)
        assert all(item.response is not None for item in buffer.items())


def _configuration(content: bytes, folder: Path) -> None:
    file = folder / "edge-sleep.yaml"
    file.write_bytes(content)
    try:
        config.load(file)
    except EdgeSleepError as error:
        assert len(str(error)) < 200_000
        raise


def _sets(content: bytes, _: Path) -> None:
    config.load(None, content.decode("utf-8", "replace").split("\n"))


def _profile(content: bytes, folder: Path) -> None:
    file = folder / "board.yaml"
    file.write_bytes(content)
    profile.load(file, folder)


def _probes(content: bytes, folder: Path) -> None:
    file = folder / "probes.yaml"
    file.write_bytes(content)
    probes.of_user((file,))


def _state(content: bytes, folder: Path) -> None:
    """The plan of an interrupted night: it is gone on with as it was written, or not at all."""
    data = training_state.write_examples(folder, [])
    plan = {"format": 1, "key": "k", "data_sha256": data, "parent": None, "candidates": 1, "experiences": ["e" * 16]}
    write_sealed(folder / "plan.json", plan)
    good = (folder / "plan.json").read_bytes()
    (folder / "plan.json").write_bytes(content)
    if training_state.damaged(folder) is None:
        assert json.loads(content) == json.loads(good) or "sha256" not in json.loads(content)


def _plan() -> bytes:
    import tempfile
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_sealed(folder / "plan.json", {"format": 1, "key": "k", "data_sha256": training_state.write_examples(folder, []), "parent": None,
                                            "candidates": 1, "experiences": ["e" * 16]})
        return (folder / "plan.json").read_bytes()


def _events(content: bytes, folder: Path) -> None:
    file = folder / "events.jsonl"
    file.write_bytes(content)
    read_events(file)


def _metabolic(content: bytes, folder: Path) -> None:
    home = Home(folder / "home").make()
    home.metabolic.write_bytes(content)
    metabolic.published(home)


def _intent(content: bytes, folder: Path) -> None:
    file = folder / "intent.json"
    file.write_bytes(content)
    try:
        intent.read(file, lambda change: True)
    except ValueError as error:            # what the lenders expect of it
        raise IntegrityError(str(error)) from error


def _intents() -> bytes:
    import tempfile
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "intent.json"
        intent.write(file, [intent.Change("mode", "nvpmodel", "15W", "25W")])
        return file.read_bytes()


def _lock(content: bytes, folder: Path) -> None:
    file = folder / "night.lock"
    with lock.hold(file, "a night"):
        file.write_bytes(content)
        held = lock.holder(file)
        assert isinstance(held, dict)
        with_lock = lock.is_held(file)
        assert with_lock
        try:
            with lock.hold(file, "another"):
                raise AssertionError("it was held")
        except EdgeSleepError:
            pass


def readers() -> dict[str, Reader]:
    talks = tuple(json.dumps(talk).encode() for talk in TALKS)
    lines = b"".join(json.dumps(one).encode() + b"\n" for one in TALKS[3] * 3)
    shipped = tuple(file.read_bytes() for file in sorted(profile._folder().glob("*.yaml"))[:4])
    settings = (b"train:\n  epochs: 6\n  learning_rate: 1e-4\nbudget:\n  time: 55m\nlora: {rank: 16, targets: all-linear}\n"
                b"schedule:\n  night: 22:00\ndata:\n  sessions: [talks, ~/more]\n",)
    return {
        "transcript": Reader(talks, _transcript), "transcript-lines": Reader((lines,), lambda content, folder: _transcript(content, folder, ".jsonl")),
        "configuration": Reader(settings, _configuration, ".yaml"),
        "sets": Reader((b"train.epochs=6\nbudget.time=55m\nlora.targets=q_proj,v_proj\ndata.sessions=[a, b]",), _sets, ".txt"),
        "profile": Reader(shipped, _profile, ".yaml"),
        "probes": Reader((b"probes:\n- question: What is the boat called?\n  expect: Heron\n- question: Who?\n  expect: [a, b]\n",), _probes, ".yaml"),
        "manifest": _of_home(f"adapters/{'b' * 16}/manifest.json"), "pointer": _of_home("current.json"), "mark": _of_home("latest.json"),
        "base": _of_home("base.json"), "record": _of_home("nights/20260117-230000/record.json"),
        "plan": Reader((_plan(),), _state), "events": Reader((b'{"at": "x", "event": "step", "step": 1}\n{"at": "y", "event": "phase"}\n',), _events),
        "metabolic": Reader((b'{"format": 1, "state": "rest", "since": "2026-01-17T20:00:00+00:00", "pid": 1}',), _metabolic),
        "intent": Reader((_intents(),), _intent),
        "lock": Reader((b'{"what": "a night", "pid": 12}',), _lock),
    }


def tried(reader: Reader, content: bytes, folder: Path) -> str:
    """`read` or `refused`. Raises what is neither, and AssertionError where it took too long or too much."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.process_time()
    try:
        reader.read(content, folder)
        came = "read"
    except EdgeSleepError as error:
        assert str(error)
        came = "refused"
    took = time.process_time() - began
    assert took < MOST_SECONDS, f"{took:.0f} s for {len(content)} bytes"
    return came


def peak_bytes(reader: Reader, content: bytes, folder: Path) -> int:
    """Of Python's own memory while it reads."""
    tracemalloc.start()
    try:
        tried(reader, content, folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def keep(name: str, content: bytes, suffix: str) -> Path:
    """Put an input that failed into the corpus."""
    file = CORPUS / name / f"{hashlib.sha256(content).hexdigest()[:12]}{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def kept() -> list[tuple[str, Path]]:
    return [(file.parent.name, file) for file in sorted(CORPUS.glob("*/*"))]


def _list(_: Any = None) -> None:
    for name, reader in readers().items():
        print(f"{name}: {len(reader.seeds)} seeds, {len(list((CORPUS / name).glob('*')))} kept")


if __name__ == "__main__":
    _list()
