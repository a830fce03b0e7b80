from edge_sleep.evaluate import report
from edge_sleep.evaluate.report import as_text
from edge_sleep.system.record import blank


def test_what_was_masked_stands_in_the_report():
    record = blank("n1", "2026-01-17T22:00:00+00:00") | {"outcome": "promoted", "reason": "", "candidate": "a1"}
    assert "Masked" not in as_text(record)
    record["data"] |= {"redacted": {"phone": 2, "email": 1}, "quarantined": {"other_model": 3}}
    text = as_text(record)
    assert "Masked before it was stored: 1 email, 2 phone" in text and "3 other_model" in text


def test_every_candidate_is_named_with_how_it_ended():
    marks = {"score": 4.71, "recall": {"before": 0.0, "after": 0.9, "n": 31}}
    nothing = {"score": 0.0, "recall": {"before": None, "after": None, "n": 0}}
    record = blank("20260117-230000", "2026-01-17T23:00:00+00:00") | {"outcome": "promoted", "train": {
        "why_chosen": "as configured: none of 1 others scored higher", "candidates": [
            {"name": "as configured", "outcome": "chosen", "select": marks},
            {"name": "half the rate", "outcome": "not chosen", "select": nothing},
            {"name": "longer", "outcome": "left out", "why": "needs about 90 s, 40 s are left before the gate's time"}]}}
    page = as_text(record)
    assert "Candidates: as configured: none of 1 others scored higher" in page
    assert "chosen: score 4.710, recall 0.90 on 31 questions" in page
    assert "recall - on 0 questions" in page
    assert "left out: needs about 90 s, 40 s are left" in page


def test_heat_is_told_where_it_was_read_and_only_there():
    record = blank("20261101-230000", "then") | {"outcome": "promoted"}
    assert "Heat:" not in report.as_text(record)
    record["measured"] |= {"max_celsius": 83.25, "rests": {"heat": 312.4, "telemetry_lost": 2.2, "power": 0.1}, "energy_joules": 31_250.0}
    assert "Heat: 83.2 degrees at most, rests for heat 312 s, telemetry lost 2 s; 31.2 kJ" in report.as_text(record)
    record["measured"] |= {"rests": {}, "energy_joules": None}
    assert "Heat: 83.2 degrees at most, no rests\n" in report.as_text(record)
