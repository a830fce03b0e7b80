"""Which runtime a session has, and loading it: the one place that knows them all."""
from __future__ import annotations

from edge_sleep.device.detect import Device
from edge_sleep.errors import UsageError
from edge_sleep.model.base import Base
from edge_sleep.serve.runtime import Runtime


def choose(asked: str) -> tuple[str, str]:
    """(name of the runtime, why this one)."""
    if asked == "auto":
        return "transformers", "the 4-bit base with its adapter, which is what was judged; no other was measured here"
    return asked, "as configured (serve.runtime)"


def load(name: str, base: Base, device: Device) -> Runtime:
    """The base in this runtime, without an adapter. Raises UsageError for a name that is none."""
    if name == "transformers":
        from edge_sleep.serve.transformers import Transformers

        return Transformers(base, device)
    raise UsageError(f"no runtime is called {name}", "`--set serve.runtime=auto`")
