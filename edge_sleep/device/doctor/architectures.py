"""Whether code that was built for some GPUs runs on this one."""
from __future__ import annotations

import re
from collections.abc import Sequence

from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.check import Check

_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")
# CUDA's major version from which code for Arm servers (SBSA) is also meant for a Jetson, given its release is.
_SBSA_CUDA = 13


def runs_on(built: Sequence[str], capability: tuple[int, int], cuda: str | None, jetson: bool,
            unified: bool | None) -> tuple[bool | None, str]:
    """(whether it runs, why); None where that depends on a release that is not known.

    built: as torch names architectures, sm_* machine code and compute_* for the driver to translate. cuda: that it was built
    with. unified: whether the board has JetPack 7.2 or newer. Machine code runs on the same major and a higher minor number,
    but a Jetson before JetPack 7.2 takes only its very own: sm_80 ends there with "no kernel image".
    """
    sm = "sm_{}{}".format(*capability)
    parsed = [(match[1], (int(match[2]), int(match[3])), match[4]) for match in map(_ARCHITECTURE.fullmatch, built) if match]
    machine = [(architecture, suffix) for kind, architecture, suffix in parsed if kind == "sm"]
    if capability in (architecture for architecture, _ in machine):
        return True, f"it has code for {sm}"
    if any(kind == "compute" and not suffix and architecture <= capability for kind, architecture, suffix in parsed):
        return True, f"the driver translates its code for {sm} when it is first loaded, which takes minutes"
    # Code with an `a` is for that one architecture.
    near = max((architecture for architecture, suffix in machine
                if suffix != "a" and architecture[0] == capability[0] and architecture < capability), default=None)
    if near is None:
        return False, f"it has no code for {sm}, only {', '.join(built) or 'none at all'}"
    code = "sm_{}{} code".format(*near)
    if not jetson:
        return True, f"{code} runs on {sm}"
    if unified is None:
        return None, f"{code} runs on a Jetson's {sm} from JetPack 7.2 on, and this release is not known"
    if not unified:
        return False, f"{code} does not run on a Jetson's {sm} before JetPack 7.2"
    if cuda is None or int(cuda.partition(".")[0]) < _SBSA_CUDA:
        return False, f"{code} runs on a Jetson's {sm} only where it was built with CUDA {_SBSA_CUDA}, not {cuda}"
    return True, f"{code} runs on {sm} with JetPack 7.2"


def check_architectures(facts: dict, board: Board) -> Check | None:
    """torch's code against the GPU, by the rule; the line `gpu` has tried it. None without a GPU."""
    if not facts.get("gpu"):
        return None
    runs, why = runs_on(facts["architectures"], (facts["capability"][0], facts["capability"][1]), facts["cuda"],
                        board.jetson, board.unified)
    if runs:
        return Check("architectures", "ok", f"torch: {why}")
    do = "install a torch built for this GPU: JetPack 6 has its own, from JetPack 7.2 on the common one with CUDA 13 serves"
    return Check("architectures", "warn", f"torch: {why}", do)
