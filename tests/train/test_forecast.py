"""What earlier nights say of the next one."""
from __future__ import annotations

import pytest

from edge_sleep.data.experience import Example
from edge_sleep.train.forecast import TEMPLATE_TOKENS, tokens, worked_share


@pytest.mark.parametrize(("rests", "trained", "share"), [
    (None, 100.0, 1.0), ({}, 100.0, 1.0), ({"heat": 25.0}, 100.0, 0.75), ({"heat": 25.0, "power": 25.0}, 100.0, 0.5),
    ({"telemetry_lost": 50.0}, 100.0, 1.0), ({"heat": 99.0}, 100.0, 0.1), ({"heat": 5.0}, None, 1.0)])
def test_rests_for_heat_will_come_again_a_lost_sensor_hardly(rests, trained, share):
    record = {"measured": {"rests": rests}, "phases": [{"name": "train", "seconds": trained}, {"name": "judge", "seconds": 9.0}]}
    assert worked_share(record) == pytest.approx(share)


def test_tokens_are_guessed_from_characters():
    said = [Example(({"role": "user", "content": "a" * 40}, {"role": "assistant", "content": "b" * n}), 1.0, "new", str(n)) for n in (40, 120)]
    assert tokens([]) == (0.0, 0)
    assert tokens(said) == (30 + TEMPLATE_TOKENS, 40 + TEMPLATE_TOKENS)
