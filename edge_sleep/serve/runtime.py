"""What a session asks of whatever runs the model; one module beside this for each way to run it.

A runtime knows tokens, an adapter and itself. Template, stop strings, what verifies and what is stamped are the session's,
so that they are the same for all.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from edge_sleep.errors import IntegrityError
from edge_sleep.export.artefact import Made

Finish = Literal["stop", "stop_sequence", "length", "time", "cancelled"]


@dataclass(frozen=True)
class Worn:
    """An adapter that was verified: its id, the sha256 of its weights, and its files as they were hashed.

    exports: what was made of it and compared with what was judged, by kind; what `current.json` names, no other.
    """

    id: str
    sha256: str
    files: Mapping[str, bytes]
    exports: Mapping[str, Made] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How to answer. Greedy unless a temperature is given: that is how the model was judged."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    seconds: float | None = None           # wall clock after which the answer ends as it stands


class NotInThisForm(IntegrityError):
    """This runtime cannot speak under the adapter (or as the base), though the adapter itself may be whole."""


class Runtime(Protocol):
    """A loaded base that speaks under one adapter at a time. Used from one thread at a time."""

    @property
    def name(self) -> str: ...

    @property
    def tokenizer(self) -> Any: ...

    @property
    def active(self) -> str | None:
        """Id of the adapter that takes part in the next forward, read from the live model; None is the base itself."""

    @property
    def artefact_sha256(self) -> str | None:
        """sha256 of the artefact that the active adapter was loaded from; None where the base speaks."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What it was loaded from besides the base's and the adapter's own files."""

    def changed(self) -> list[str]:
        """What is wrong with `files`, where they were touched since they were loaded; what was loaded stays as it is."""

    @property
    def device(self) -> str: ...

    @property
    def context_length(self) -> int | None: ...

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end an answer."""

    def wear(self, adapter: Worn | None) -> None:
        """Speak under this adapter from now on, the base staying where it is.

        Raises IntegrityError, and then nothing changed; NotInThisForm, after which this runtime is of no use any more.
        """

    def generate(self, ids: list[int], options: Options, on_token: Callable[[int], bool]) -> None:
        """Hand each new token to on_token until it says True, an end token came, or there are max_new_tokens."""

    def close(self) -> None:
        """Give the memory back."""
