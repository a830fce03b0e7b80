"""What a night borrows: changed one by one, read again, and put back in reverse order.

Before each change the intent is on the disk. Whatever ends the night, a signal or a power cut, what it changed is put back: by
the context manager, else by the next start (`put_back`).
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from edge_sleep.errors import EdgeSleepError, StorageError
from edge_sleep.system import intent
from edge_sleep.system.commands import last_line
from edge_sleep.system.intent import Change

Report = Callable[..., None]                           # (event, setting=, state=, …), as an EventLog takes it


class Gone(EdgeSleepError):
    """What was borrowed is no more: nothing is left to put back."""


class Item(ABC):
    """One thing and one way to change it. setting, by: what the intent calls them."""

    setting: str
    by: str

    def impossible(self) -> str | None:
        """Why this way is closed here; None where it is open."""
        return None

    @abstractmethod
    def read(self) -> Any:
        """How it is now, as JSON can hold it. Raises EdgeSleepError."""

    @abstractmethod
    def set(self, value: Any) -> str:
        """Try to; returns what was said about it. Only reading again tells whether it took. Raises EdgeSleepError."""

    def took(self, now: Any, wanted: Any) -> bool:
        return now == wanted

    def ours(self, now: Any, during: Any) -> bool:
        """Whether `now` is what we left, so that putting it back overrules nobody."""
        return self.took(now, during)


Find = Callable[[Change], Item]                        # what an intent names; raises where there is no such thing


class Refused(NamedTuple):
    """A change that did not take: how it is instead, and what was said about it."""

    now: str
    said: str


class Loan(ABC):
    """Context manager; `changes` is what it did, for the record."""

    event: str                                         # what its reports are called

    def __init__(self, path: Path, find: Find, report: Report):
        """path: of the intent."""
        self.path, self.find, self.report = path, find, report
        self.changes: list[dict[str, Any]] = []
        self._lent: list[Change] = []
        self._doubtful: Change | None = None           # being made: whatever is read then is our own doing

    @abstractmethod
    def take(self) -> None:
        """Borrow all that was asked for, by `lend`. What it raises, after what was changed has been put back, ends the night."""

    def __enter__(self) -> Loan:
        try:
            self.take()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = self._give_back()
        if interrupted is not None and kind is None:
            raise interrupted

    def lend(self, item: Item, wanted: Any, reason: str, before: Any = None) -> Refused | None:
        """before: how it is, where that has just been read. Returns how it is instead where the change did not take."""
        before = item.read() if before is None else before
        if before == wanted:
            self.note(item.setting, "already", before=before, now=before, reason="nothing to change")
            return None
        self._doubtful = change = Change(item.setting, item.by, before, wanted)
        self._lent.append(change)
        intent.write(self.path, self._lent)
        said = item.set(wanted)
        now = item.read()
        if not item.took(now, wanted):
            return Refused(text(now), last_line(said))
        self._doubtful = None
        self.note(item.setting, "set", before=before, now=now, reason=reason)
        return None

    def note(self, setting: str, state: str, **facts: Any) -> None:
        self.changes.append({"setting": setting, "state": state, **facts})
        self.report(self.event, setting=setting, state=state, **facts)

    def _give_back(self) -> KeyboardInterrupt | None:
        return _give_back(self.path, self._lent, self.find, self.note, self._doubtful)


def put_back(path: Path, find: Find, known: Callable[[Change], bool], damage: str) -> list[dict[str, Any]]:
    """Put back what a night changed that was killed, or whose board lost power. Returns what was done, for the next log.

    damage: what to say of an intent that cannot be understood. Raises nothing: a night begins whether or not it can be put
    back; what cannot is named, and tried again at the next start.
    """
    told: list[dict[str, Any]] = []
    try:
        changes = intent.read(path, known)
    except ValueError as error:
        said = f"{path} is damaged ({error}): {damage}"
        try:
            return [{"state": "damaged", "reason": f"{said}; kept as {intent.set_aside(path).name}"}]
        except (OSError, StorageError) as stuck:
            return [{"state": "damaged", "reason": f"{said}; it cannot be renamed: {stuck}"}]
    except OSError as error:
        return [{"state": "not restored", "reason": f"{path} cannot be read: {error.strerror}; tried again at the next start"}]

    def note(setting: str, state: str, **facts: Any) -> None:
        told.append({"setting": setting, "state": state, **facts})

    if changes and (interrupted := _give_back(path, changes, find, note)) is not None:
        raise interrupted
    return told


def _give_back(path: Path, changes: list[Change], find: Find, note: Callable[..., None],
               doubtful: Change | None = None) -> KeyboardInterrupt | None:
    """Take each change back, the last first; what cannot be stays in `changes` and in the intent. Returns a Ctrl-C that came
    meanwhile: it must not leave the board as it is."""
    interrupted = None
    for change in reversed(list(changes)):
        for _ in range(2):
            try:
                done, state, facts = _restore(change, find, change is doubtful)
                if done:
                    changes.remove(change)
                with suppress(OSError, StorageError):  # a full disk keeps nothing from being put back
                    intent.write(path, changes)
                with suppress(OSError, StorageError):
                    note(change.setting, state, **facts)
                break
            except KeyboardInterrupt as error:
                interrupted = error
                if change not in changes:              # it is put back; the file says so with the next
                    break
    if interrupted is not None:
        with suppress(OSError, StorageError):
            intent.write(path, changes)
    return interrupted


def _restore(change: Change, find: Find, sure: bool) -> tuple[bool, str, dict[str, Any]]:
    """(whether it is settled, how, facts). sure: what is set now is our own doing, whatever it is."""
    try:
        item = find(change)
        if (why := item.impossible()) is not None:
            return False, *_failed(change, why)
        now = item.read()
        if now == change.before:
            return True, "restored", {"before": change.during, "now": now, "reason": "it was as before already"}
        if not sure and not item.ours(now, change.during):
            return True, "left", {"before": change.before, "now": now, "reason": "neither as before nor as the night set it "
                                  f"({text(change.during)}): somebody else did"}
        said = item.set(change.before)
        after = item.read()
        if item.took(after, change.before):
            return True, "restored", {"before": now, "now": after, "reason": "as it was before the night"}
        return False, *_failed(change, f"it is still {text(after)} ({last_line(said)})")
    except Gone as error:
        return True, "left", {"before": change.before, "reason": error.message}
    except EdgeSleepError as error:
        return False, *_failed(change, error.message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are still put back
        return False, *_failed(change, f"{type(error).__name__}: {error}")


def _failed(change: Change, why: str) -> tuple[str, dict[str, Any]]:
    return "not restored", {"before": change.before, "reason": f"{why}; tried again at the next start"}


def text(value: Any) -> str:
    return ", ".join(f"{name} {one}" for name, one in value.items()) if isinstance(value, dict) else str(value)
