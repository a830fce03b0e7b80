"""Libraries take seconds to import; whoever waits for the device should not wait for them."""
from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

_LOOK_SECONDS = 0.05


class _Looking(MetaPathFinder):
    """Finds nothing; it is asked before every module that is imported."""

    def __init__(self, between: Callable[[], object]):
        self.between, self.thread = between, threading.get_ident()
        self.raised: Exception | None = None
        self.at = 0.0

    def find_spec(self, *_: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        if self.raised is not None:
            raise self.raised
        if time.monotonic() - self.at > _LOOK_SECONDS:
            try:
                self.between()
            except Exception as error:
                self.raised = error
                raise
            self.at = time.monotonic()


@contextmanager
def looking(between: Callable[[], object]) -> Iterator[None]:
    """Call `between` from import to import of what is done inside. What it raises comes out of here, whatever a library that was
    importing made of it; modules that were cut in their middle are for a process that ends."""
    finder = _Looking(between)
    sys.meta_path.insert(0, finder)
    try:
        yield
    except Exception as error:
        if finder.raised is not None and error is not finder.raised:
            raise finder.raised from error
        raise
    finally:
        sys.meta_path.remove(finder)
    if finder.raised is not None:
        raise finder.raised
