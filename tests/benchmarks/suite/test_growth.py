"""Exponents become decisions: measured where a point lies beyond the bound, extrapolated where none does, and said to be."""
import pytest
from edge_sleep.benchmarks.suite import growth, growth_steps, growth_store
from edge_sleep.benchmarks.suite.children import Failed

from edge_sleep.errors import Exit
from tests.benchmarks.suite.made import DEVICE

HEAD = {"started": "2026-11-28T01:00:00+00:00", "commit": "0123abcd", "device": DEVICE}


def decided(**curves):
    rows = growth.decided([growth.fitted(name, points) for name, points in curves.items()])
    return {row["decision"].split()[0] + " " + row["decision"].split()[1]: (row["until"], row["how"]) for row in rows}


def powers(scale, exponent, xs=(10.0, 100.0, 1000.0)):
    return [(x, scale * x ** exponent) for x in xs]


def test_within_what_was_measured_and_beyond_it():
    assert decided(select=powers(0.004, 1.0)) == {"a lesson": ("500 experiences", "within what was measured")}
    assert decided(records=powers(1e-4, 1.0)) == {"status and": ("10,000 nights", "extrapolated 10 times beyond 1,000")}


def test_what_is_the_same_at_every_size_does_not_bend_the_end():
    """Half a second whatever the size, and 1e-5 s an experience: 2 s are reached at 150,000."""
    for largest, how in ((400_000.0, "within"), (100_000.0, "extrapolated")):
        points = [(x, 0.5 + 1e-5 * x) for x in (100.0, 1_000.0, 10_000.0, 50_000.0, 100_000.0, 200_000.0, 400_000.0) if x <= largest]
        until, told = decided(select=points)["a lesson"]
        assert float(until.split()[0].replace(",", "")) == pytest.approx(150_000, rel=0.25) and told.startswith(how)


def test_what_does_not_grow_has_no_end():
    assert decided(mailbox=powers(0.01, 0.0))["a worker"] == ("no end in sight", "measured up to 1,000")
    assert decided(ingest=powers(0.01, 1.0))["an answer"][0] == "no end in sight"


def test_a_unit_that_grows_dearer():
    assert decided(ingest=powers(0.01, 2.0))["an answer"][0] == "2,000 exchanges"


def test_where_two_curves_meet():
    found = decided(tiled_head=powers(10.0, 0.5), dense_head=powers(1.0, 1.0))
    assert found["the loss"] == ("100 tokens", "within what was measured")


def test_a_curve_that_fails_is_named_and_its_decision_left_out(monkeypatch):
    def ask(module, name, *more):
        if name == "select":
            raise Failed("no room", Exit.STORAGE)
        return {"points": powers(1e-4, 1.0)}

    monkeypatch.setattr(growth, "ask", ask)
    document = growth.run(["select", "records"], HEAD, lambda text: None)
    assert document["exit_code"] == Exit.STORAGE and [row["measure"] for row in document["not_run"]] == ["select"]
    assert len(document["decisions"]) == 1 and "no room" in growth.as_text(document)


def test_every_curve_is_measured_somewhere():
    assert set(growth.CURVES) == {*growth_store.CURVES, *growth_steps.CURVES}
    assert {need for one in growth.DECISIONS for need in one.needs} <= set(growth.CURVES)
    for of in (growth_store, growth_steps):
        assert all(len(sizes) >= 3 and list(sizes) == sorted(sizes) for _, sizes in of.CURVES.values())


@pytest.mark.parametrize("name, sizes", [("sketch", (40, 80, 160)), ("select", (400, 800, 1600)), ("retention", (3, 6, 12)),
                                         ("records", (3, 6, 12)), ("mailbox", (3, 6, 12))])
def test_the_store_is_really_measured(name, sizes):
    points = growth_store.CURVES[name][0](sizes)
    assert [x for x, _ in points] == list(map(float, sizes))
    assert all(y >= 0 for _, y in points) and points[-1][1] > 0


def test_a_mailbox_of_companions_is_listed(tmp_path):
    """The curve counts jobs that a worker would see: one for each companion."""
    pytest.importorskip("nacl")
    seen = []
    from edge_sleep.thor.mailbox import Mailbox
    whole = Mailbox.jobs
    try:
        Mailbox.jobs = lambda self: seen.append(len(whole(self))) or []
        growth_store.mailbox((2, 5))
    finally:
        Mailbox.jobs = whole
    assert set(seen) == {2, 5}
