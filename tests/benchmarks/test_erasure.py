"""What is forgotten is asked at base level again, and the rest of its night is learned anew: measured on the seedling."""
import pytest
from edge_sleep.benchmarks import erasure


@pytest.mark.long
def test_a_forgotten_conversation_is_gone_and_the_rest_comes_back(tmp_path):
    row = erasure.course(tmp_path / "home", 0, ["gate.retention_probes=160", "gate.unknown_probes=120", "gate.rival=false"])
    assert erasure.passed(row), row
    assert row["outcomes"] == ["promoted"] * 3
    assert row["facts_forgotten"] == 4 and row["back_at"] is not None


def test_what_counts_as_passed():
    def shares(base, learned, forgotten, later):
        return {"base": base, "learned": learned, "forgotten": forgotten, "later": later}

    good = {"found": [], "texts": 9, "above_base": {"learned": (0.5, 0.9), "forgotten": (-0.1, 0.1), "later": (0.0, 0.2)},
            "recall": {"forgotten": shares(0, 0.9, 0, 0), "same night": shares(0, 0.9, 0, 0.8), "night before": shares(0, 0.9, 0.9, 0.9)}}
    assert erasure.passed(good)
    for broken in ({"found": ["experience.db"]}, {"texts": 0},
                   {"above_base": {**good["above_base"], "learned": (0.0, 0.1)}},       # nothing was learned: nothing was shown
                   {"above_base": {**good["above_base"], "forgotten": (0.1, 0.3)}},
                   {"above_base": {**good["above_base"], "later": (0.1, 0.3)}},
                   {"recall": {**good["recall"], "night before": shares(0, 0.9, 0.2, 0.2)}},
                   {"recall": {**good["recall"], "same night": shares(0, 0.9, 0, 0)}}):
        assert not erasure.passed({**good, **broken}), broken
