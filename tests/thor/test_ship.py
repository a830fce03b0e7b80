"""Ship or stay, as a table: each thing that speaks for it alone, each that forbids it alone, and what is left where it is forbidden."""
from __future__ import annotations

from dataclasses import replace

import pytest

from edge_sleep.thor.ship import REFUSALS, Cause, Here, There, decide

MIB = 2**20
ABLE = Here(fits=True, peak_bytes=600 * MIB, allowed_bytes=900 * MIB, standing_bytes=500 * MIB, total_bytes=8192 * MIB,
            training_seconds=100.0, time_seconds=2000.0, measured=True, hottest_celsius=50.0, ceiling_celsius=70.0, duty=1.0)
OPEN = There("needed", True, 1)

CAUSES = [
    (ABLE, OPEN, ()),
    (ABLE, replace(OPEN, asked="always"), (Cause.ASKED,)),
    (replace(ABLE, fits=False, peak_bytes=950 * MIB), OPEN, (Cause.MEMORY,)),
    (replace(ABLE, fits=False, peak_bytes=9950 * MIB, standing_bytes=9000 * MIB), OPEN, (Cause.MODEL,)),
    (replace(ABLE, fits=False, standing_bytes=9000 * MIB, total_bytes=None), OPEN, (Cause.MEMORY,)),
    (replace(ABLE, training_seconds=2001.0), OPEN, (Cause.TIME,)),
    (replace(ABLE, training_seconds=2001.0, measured=False), OPEN, ()),              # twice as long may still be right
    (replace(ABLE, training_seconds=4001.0, measured=False), OPEN, (Cause.TIME,)),
    (replace(ABLE, no_backward="no kernel image for sm_87"), OPEN, (Cause.BACKWARD,)),
    (replace(ABLE, hottest_celsius=70.0), OPEN, (Cause.HEAT,)),
    (replace(ABLE, hottest_celsius=None), OPEN, ()),
    (replace(ABLE, training_seconds=1200.0, duty=0.5), OPEN, (Cause.HEAT,)),         # fits as work, not at that pace
    (replace(ABLE, training_seconds=900.0, duty=0.5), OPEN, ()),
    (replace(ABLE, stopped=(Cause.TIME, "3 of 9 steps are done")), OPEN, (Cause.TIME,)),
    (replace(ABLE, stopped=(Cause.HEAT, "paused to the end")), OPEN, (Cause.HEAT,)),
    (replace(ABLE, stopped=(Cause.MEMORY, "out of memory at one example")), OPEN, (Cause.MEMORY,)),
    (replace(ABLE, fits=False, no_backward="no bitsandbytes"), OPEN, (Cause.BACKWARD, Cause.MEMORY)),
]


@pytest.mark.parametrize("here, there, causes", CAUSES)
def test_what_speaks_for_another_machine(here: Here, there: There, causes: tuple[Cause, ...]) -> None:
    decision = decide(here, there)
    assert decision.causes == causes
    assert decision.where == ("remote" if causes else "here")
    named = {reason.name: reason for reason in decision.reasons}
    assert {name for name, reason in named.items() if reason.value == "ship"} == {cause.value for cause in causes}
    assert all(reason.reason in str(decision) for reason in decision.reasons if reason.value == "ship")


FORBIDDEN = [
    (replace(OPEN, asked="never"), "thor.ship is never"), (replace(OPEN, mailbox=False), "thor.mailbox names none"),
    (replace(OPEN, paired=0), "no machine is paired"), (replace(OPEN, unusable="PyNaCl is not installed"), "PyNaCl"), (replace(OPEN, refused=REFUSALS), "were refused"),
    (replace(OPEN, declined="base not here"), "base not here"), (replace(OPEN, overdue=True), "thor.patience"),
    (replace(OPEN, several=True), "several candidates")]


@pytest.mark.parametrize("there, why", FORBIDDEN)
@pytest.mark.parametrize("here, left", [
    (replace(ABLE, fits=False), "none"), (replace(ABLE, no_backward="broken"), "none"), (replace(ABLE, training_seconds=9e9), "here"),
    (replace(ABLE, hottest_celsius=99.0), "here"), (ABLE, "here")])
def test_what_forbids_it(there: There, why: str, here: Here, left: str) -> None:
    decision = decide(here, there)
    assert decision.where == left
    assert any(why in text for text in decision.against)
    assert not decision.causes or why in str(decision)


def test_one_refusal_is_not_the_end() -> None:
    assert decide(replace(ABLE, fits=False), replace(OPEN, refused=REFUSALS - 1)).where == "remote"


@pytest.mark.parametrize("here, there, _", CAUSES)
def test_every_reason_is_a_line_of_the_plan(here: Here, there: There, _: object) -> None:
    lines = [reason.as_choice() for reason in decide(here, there).reasons]
    assert lines and all(line["name"].startswith("ship.") and line["value"] and line["reason"] for line in lines)
    assert len({line["name"] for line in lines}) == len(lines)
