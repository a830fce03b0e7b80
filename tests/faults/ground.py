"""What a campaign stands on: a micro-model, homes at several points of their life, and what whole nights make of them.

Everything is made once in this process; each trial is a copy of one home, and everything that runs on it is a forked child that calls
the command line.
"""
from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import yaml

from edge_sleep import config
from edge_sleep.cli import main as cli
from edge_sleep.errors import Exit
from edge_sleep.night import Request
from edge_sleep.night import run as night_run
from edge_sleep.serve import proof
from edge_sleep.stages import settle
from edge_sleep.system.home import Home
from edge_sleep.system.record import Recorder
from tests import micro
from tests.killing import ended, forked

MORE = [("What colour is the gate?", "The gate was painted green in the spring."),
        ("Who mends the nets?", "The nets are mended by the two brothers from the pier."),
        ("Where do the bees live?", "The bees live in three white hives behind the barn."),
        ("When does the ferry leave?", "The ferry leaves at seven, before the fog lifts.")]
# The shortest night that has all its phases, and a state on the disk after every step.
SETS = (*micro.SETS, "train.state_every=0s", "train.epochs=2", "gate.recall_probes=2", "gate.retention_probes=2",
        "gate.unknown_probes=2", "gate.character_probes=1")
NOBODY = 65534
STAGES = ("fresh", "one", "stopped", "judged")
_SIGNALS = {128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)}


@dataclass(frozen=True)
class End:
    """How a command ended: its exit code (negative: the signal), what it said, and its last line where that is JSON."""

    code: int
    said: str
    document: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The promised name of this end; what has none is a bug."""
        if self.code < 0:
            return signal.Signals(-self.code).name
        if "Traceback" in self.said or self.code == Exit.BUG:
            return "BUG"
        if self.code in _SIGNALS:
            return f"128+{signal.Signals(self.code - 128).name}"
        return Exit(self.code).name if self.code in set(Exit) else f"exit {self.code}"

    @property
    def named(self) -> bool:
        return self.code >= 0 and self.name != "BUG" and not self.name.startswith("exit ")


@dataclass
class Ground:
    """The homes to copy, and what whole nights make of them. adapters: after night one, after night two."""

    root: Path
    model: Path
    adapters: tuple[str, str]
    logits: dict[str, str]                 # sha256 of the canary's logits under each adapter
    seconds: dict[str, float]              # of each phase of a night
    base: dict[str, str]                   # the model's files, as they must stay
    stored: tuple[tuple[int, int], tuple[int, int]]      # (experiences, those that were taught), after night one and after night two
    made: int = 0

    def trial(self, stage: str) -> Trial:
        """A copy of the home at this point of its life."""
        self.made += 1
        if stage in _LATER and not (self.root / stage).is_dir():
            _LATER[stage](self.root)
        root = self.root / f"trial-{self.made}"
        root.mkdir()
        shutil.copytree(self.root / "talk" / ("first" if stage == "fresh" else "both"), root / "talk")
        if stage == "fresh":
            (root / "home").mkdir()
            shutil.copy(self.root / "one" / "edge-sleep.yaml", root / "home")
        else:
            shutil.copytree(self.root / stage, root / "home", symlinks=True)
        first, second = self.adapters
        return Trial(self, stage, Home(root / "home"), root / "talk", *((None, first) if stage == "fresh" else (first, second)))


@dataclass
class Trial:
    """One home to do something to. incumbent: what is current before; expected: what a whole night makes of it."""

    ground: Ground
    stage: str
    home: Home
    talk: Path
    incumbent: str | None
    expected: str

    root = property(lambda self: self.home.root.parent)

    def begin(self, *command: str, prepare: Callable[[], object] = lambda: None, log: str = "log") -> int:
        """The pid of a child that runs `edge-sleep COMMAND`. prepare: called in it before."""
        return forked(lambda: self._act(command, prepare, log))

    def _act(self, command: tuple[str, ...], prepare: Callable[[], object], log: str) -> int:
        out = os.open(self.root / log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, target in ((null, 0), (out, 1), (out, 2)):
            os.dup2(number, target)
        os.close(null)
        os.close(out)
        warnings.simplefilter("ignore")
        prepare()
        return int(cli.run([*command, "--home", str(self.home.root), "--json"]))

    def end(self, child: int, log: str = "log") -> End:
        return self._told(ended(child), log)

    def _told(self, code: int, log: str) -> End:
        said = (self.root / log).read_text(errors="replace") if (self.root / log).is_file() else ""
        if code == Exit.BUG and "traceback in " in said:
            with suppress(OSError):
                kept = Path(said.partition("traceback in ")[2].split()[0].strip('",}'))
                said += kept.read_text()
                kept.unlink()
        document: dict = {}
        with suppress(ValueError, IndexError):
            document = found if isinstance(found := json.loads(said.strip().splitlines()[-1]), dict) else {}
        return End(code, said, document)

    def run(self, *command: str, prepare: Callable[[], object] = lambda: None) -> End:
        return self.end(self.begin(*command, prepare=prepare))

    def run_all(self, *commands: tuple[str, ...], prepare: Callable[[], object] = lambda: None) -> list[End]:
        """Several commands in one child, one after another; the ends of those that it came to."""
        codes = self.root / "codes"

        def work() -> None:
            into = os.open(codes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            prepare()
            for place, command in enumerate(commands):
                code = self._act(command, lambda: None, f"log-{place}")
                sys.stdout.flush()
                os.write(into, f"{code}\n".encode())

        last = ended(forked(work))
        told = [int(code) for code in codes.read_text().split()]
        told += [last] if len(told) < len(commands) else []
        return [self._told(code, f"log-{place}") for place, code in enumerate(told)]

    def given_away(self) -> None:
        """The home belongs to a user whom permissions bind: root's children become that one by `as_nobody`."""
        if os.geteuid() == 0:
            for path in [self.root, self.home.root, *self.home.root.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    @property
    def night(self) -> tuple[str, ...]:
        return "night", "--sessions", str(self.talk)

    def logits(self, *before: tuple[str, ...], prepare: Callable[[], object] = lambda: None) -> tuple[list[End], str]:
        """`verify`, behind other commands, and the sha256 of the logits with which what is current answered its fixed prompt."""
        file = self.root / "logits"
        file.unlink(missing_ok=True)

        def noting() -> None:
            prepare()
            of_library = proof.canary_logits

            def noted(*given):
                found = of_library(*given)
                file.write_text(sha256(found.numpy().tobytes()).hexdigest())       # the adapter's come last
                return found
            proof.canary_logits = noted

        ends = self.run_all(*before, ("verify",), prepare=noting)
        return ends, file.read_text() if file.is_file() else ""

    def drop(self) -> None:
        for folder in [self.root, *self.root.rglob("*")]:
            if folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o755)
        shutil.rmtree(self.root)


def as_nobody() -> None:
    """This process, root's child, is nobody from now on."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os.environ["HOME"] = "/nonexistent"


def telling(tell: Callable[[str], object]) -> None:
    """From now on this process calls `tell` with each phase's name as it begins, and with "" as it ends: for a forked child."""
    from contextlib import contextmanager

    of_product = Recorder.phase

    @contextmanager
    def phase(self, name):
        tell(name)
        with of_product(self, name) as entry:
            yield entry
        tell("")

    Recorder.phase = phase  # type: ignore[method-assign]


def fingerprint(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest() for file in sorted(folder.rglob("*")) if file.is_file()}


def night(root: Path, stage: str, talk: str, listener: Callable[[dict], None] | None = None) -> dict:
    """One night of a home of the ground, in this process."""
    home = Home(root / stage)
    return night_run(home, config.load(home.config), Request(sessions=(root / "talk" / talk,)), listener=listener)


def stop(root: Path) -> None:
    """A second night that a signal stops at its third step: `stopped`."""
    def at_step_three(event: dict) -> None:
        if event["event"] == "step" and event["step"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)
    shutil.copytree(root / "one", root / "stopped")
    assert ended(forked(lambda: int(night(root, "stopped", "both", at_step_three)["exit_code"]))) == 128 + signal.SIGTERM


def cut(root: Path) -> None:
    """A second night that is killed when it has been judged: `judged`."""
    def judged() -> None:
        settle.settle = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        night(root, "judged", "both")
    shutil.copytree(root / "one", root / "judged")
    assert ended(forked(judged)) == -signal.SIGKILL


_LATER = {"stopped": stop, "judged": cut}


def make(root: Path, say: Callable[[str], object] = print) -> Ground:
    """Raises AssertionError where a whole night is not what it must be: a campaign on such ground would say nothing."""
    began = time.monotonic()
    root.mkdir(parents=True, exist_ok=True)
    model = micro.make_model(root / "model")
    micro.write_talk(root / "talk" / "first")
    shutil.copytree(root / "talk" / "first", root / "talk" / "both")
    micro.write_talk(root / "talk" / "both", MORE, number=2)
    Home(root / "one").make().config.write_text(yaml.safe_dump(config.parse_sets((*SETS, f"companion.model={model}"))))
    first = night(root, "one", "first")                        # in this process: what it imports the children have
    shutil.copytree(root / "one", root / "two")
    second = night(root, "two", "both")
    assert first["outcome"] == second["outcome"] == "promoted", (first["reason"], second["reason"])
    gc.collect()
    gc.freeze()                            # what is here now the children share: their collector would copy it, page by page
    ground = surveyed(root, model, first, second, say)
    say(f"ground made in {time.monotonic() - began:.0f} s, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB, "
        f"Python {sys.version.split()[0]}")
    return ground


def surveyed(root: Path, model: Path, first: dict, second: dict, say: Callable[[str], object] = print) -> Ground:
    """What the homes `one` and `two` are, made by these two nights: how they answer, what they store, how long a night takes."""
    ground = Ground(root, model, (first["candidate"], second["candidate"]), {},
                    {one["name"]: one["seconds"] for one in second["phases"]} | {"start": 0.5, "end": 0.1}, fingerprint(model),
                    (stored(Home(root / "one")), stored(Home(root / "two"))))
    for path in [root, *root.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o644))
    for stage, adapter in (("one", first["candidate"]), ("two", second["candidate"])):
        trial = ground.trial(stage)
        (end,), ground.logits[adapter] = trial.logits()
        assert end.code == 0 and ground.logits[adapter], end.said
        trial.drop()
    say(f"a night takes {sum(ground.seconds.values()):.1f} s and stores {ground.stored[1][0]} experiences, {ground.stored[1][1]} of them taught")
    return ground


def stored(home: Home) -> tuple[int, int]:
    """(experiences of a home, those of them that are marked as taught)."""
    with closing(sqlite3.connect(f"file:{home.experiences}?mode=ro", uri=True)) as connection:
        count, taught = connection.execute(
            "SELECT COUNT(*), COUNT(DISTINCT trained.experience) FROM experiences LEFT JOIN trained ON trained.experience = experiences.id"
        ).fetchone()
    return count, taught
