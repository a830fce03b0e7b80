"""The models a machine may train on for others, found by the sha256 of their weights."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_sleep.errors import EdgeSleepError
from edge_sleep.model.base import BaseSource, fingerprint, resolve


class Bases:
    """thor.bases of this machine; hashed once, when the first is asked for."""

    def __init__(self, models: Sequence[str], allow_download: bool, tell: Callable[[str], None]):
        self.models, self.allow_download, self.tell = tuple(models), allow_download, tell
        self._found: dict[str, BaseSource] | None = None

    def of(self, sha256: str) -> BaseSource | None:
        """This machine's copy of a base, None where it has none."""
        if self._found is None:
            self._found = {}
            for model in self.models:
                try:
                    place = resolve(model, self.allow_download)
                    self._found[fingerprint(place)[0]] = place
                except EdgeSleepError as error:
                    self.tell(f"thor.bases: {model} is left out: {error.message}")
        return self._found.get(sha256)

    def __len__(self) -> int:
        return len(self._found or self.models)
