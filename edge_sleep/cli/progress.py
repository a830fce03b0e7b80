"""A night's events as progress on stderr: a live bar on a terminal, plain lines elsewhere."""
from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from edge_sleep.cli.output import size, span
from edge_sleep.system.clock import Clock
from edge_sleep.system.printable import on_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 5.0
_QUIET = {"at", "event", "name"}


class NightProgress:
    """Listener of a night. Use as a context manager, so that the bar leaves the terminal whole."""

    def __init__(self, stream: TextIO | None = None, clock: Clock | None = None):
        self.stream = stream or sys.stderr
        self.clock = clock or Clock()
        self.live = self.stream.isatty()
        self._last_step: float | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> NightProgress:
        if self.live:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
            self._progress = Progress(TextColumn("  {task.description}"), BarColumn(bar_width=28), MofNCompleteColumn(),
                                      TextColumn("{task.fields[facts]}"), console=Console(file=self.stream),
                                      transient=True)
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, event: dict) -> None:
        kind = event.get("event")
        if kind == "step":
            self._step(event)
        elif kind == "phase":
            self._phase(event)
        else:
            self._line("  " + f"{kind}: " + ", ".join(_facts(event)))

    def _phase(self, event: dict) -> None:
        name, state = event.get("name", "?"), event.get("state", "")
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self._last_step = None
        if state in ("begin", "began", "start", "started", "running"):
            self._line(f"{name} ...")
            return
        if state == "end":
            self._line(f"{name}: {event.get('outcome', 'done')} in {span(event.get('seconds'))}")
            return
        self._line(f"{name}: " + ", ".join(_facts(event)))

    def _step(self, event: dict) -> None:
        step, steps = event.get("step", 0), event.get("steps")
        facts = []
        if event.get("loss") is not None:
            facts.append(f"loss {event['loss']:.4f}")
        if event.get("tokens_per_second") is not None:
            facts.append(f"{event['tokens_per_second']:.0f} tokens/s")
        if event.get("remaining_seconds") is not None:
            facts.append(f"{span(event['remaining_seconds'])} left")
        if self._progress is not None:
            if self._task is None:
                self._task = self._progress.add_task("train", total=steps, facts="")
            self._progress.update(self._task, completed=step, total=steps, facts=", ".join(facts))
            return
        now = self.clock.monotonic()
        if self._last_step is None or now - self._last_step >= PLAIN_SECONDS or step == steps:
            self._last_step = now
            self._line(f"  step {step}/{steps if steps is not None else '?'}  " + ", ".join(facts))

    def _line(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(on_terminal(text), markup=False, highlight=False)
        else:
            print(on_terminal(text), file=self.stream, flush=True)


def _facts(event: dict) -> list[str]:
    """What an event says, for people; lists are left to the record."""
    facts = []
    for key, value in event.items():
        if key in _QUIET or value is None or isinstance(value, (list, tuple)):
            continue
        name = key.replace("_", " ")
        if isinstance(value, dict):
            facts += [f"{name} {part}" for part in _facts(value)]
        elif isinstance(value, (int, float)) and key.endswith("seconds"):
            facts.append(f"{name[:-len('seconds')].strip() or 'time'} {span(value)}")
        elif isinstance(value, (int, float)) and key.endswith("bytes"):
            facts.append(f"{name[:-len('bytes')].strip() or 'memory'} {size(value)}")
        else:
            facts.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
    return facts
