"""Which runtime a session has, and loading it: the one place that knows them all."""
from __future__ import annotations

from collections.abc import Mapping

from edge_sleep.device.detect import Device
from edge_sleep.errors import UsageError
from edge_sleep.export.artefact import Made
from edge_sleep.model.base import Base
from edge_sleep.serve import speed
from edge_sleep.serve.runtime import Runtime
from edge_sleep.system.home import Home

JUDGED = "transformers"
_AS_JUDGED = "the 4-bit base with its adapter, which is what was judged"


def choose(asked: str, exports: Mapping[str, Made], where: str) -> tuple[str, str]:
    """(name of the runtime, why this one) for an adapter of which these faithful exports are current.

    asked: auto, transformers or a kind of export. where: this machine, as `speed.where` names it: what was measured on another
    says nothing here. Between equals the judged form wins.
    """
    if asked == JUDGED:
        return JUDGED, "as configured (serve.runtime)"
    if asked != "auto":
        if asked in exports:
            return asked, "as configured (serve.runtime)"
        return JUDGED, f"{_AS_JUDGED}; serve.runtime asks for {asked}, and no {asked} export is current"
    measured = {kind: found for kind, made in exports.items() if (found := speed.of(made, where)) is not None}
    if not measured:
        return JUDGED, f"{_AS_JUDGED}; no faithful export was measured on this machine"
    kind = max(measured, key=lambda name: measured[name].tokens_per_second)
    fastest = measured[kind]
    if fastest.tokens_per_second <= fastest.judged:
        return JUDGED, (f"{_AS_JUDGED}, and the fastest: {fastest.judged:.0f} tokens a second, "
                        f"{kind} {fastest.tokens_per_second:.0f}")
    return kind, (f"the fastest of what is faithful here: {fastest.tokens_per_second:.0f} tokens a second with "
                  f"{fastest.runtime}, {fastest.judged:.0f} as judged")


def load(name: str, home: Home, base: Base, device: Device) -> Runtime:
    """The base in this runtime, without an adapter. Raises UsageError for a name that is none."""
    if name == JUDGED:
        from edge_sleep.serve.transformers import Transformers

        return Transformers(base, device)
    from edge_sleep.serve.exported import KINDS

    if name not in KINDS:
        raise UsageError(f"no runtime is called {name}", "`--set serve.runtime=auto`")
    return KINDS[name](home, base, device)
