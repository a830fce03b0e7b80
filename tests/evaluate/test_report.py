from edge_sleep.evaluate.report import as_text
from edge_sleep.system.record import blank


def test_what_was_masked_stands_in_the_report():
    record = blank("n1", "2026-01-17T22:00:00+00:00") | {"outcome": "promoted", "reason": "", "candidate": "a1"}
    assert "Masked" not in as_text(record)
    record["data"] |= {"redacted": {"phone": 2, "email": 1}, "quarantined": {"other_model": 3}}
    text = as_text(record)
    assert "Masked before it was stored: 1 email, 2 phone" in text and "3 other_model" in text
