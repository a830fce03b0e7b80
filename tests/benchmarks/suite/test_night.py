"""Which nights are timed, and under which limit."""
from contextlib import contextmanager

import pytest
from edge_sleep.benchmarks.limits import CannotLimit
from edge_sleep.benchmarks.suite import night
from edge_sleep.benchmarks.suite.case import Case
from edge_sleep.benchmarks.suite.children import Failed

from edge_sleep.errors import Exit


def row(outcome="promoted", code=0, first=5.0, after=1.0, **more):
    return {"outcome": outcome, "exit_code": code, "reason": "why", "kills": 0, "train": {"loss_first": first, "loss_last": after},
            "seconds": 60.0, "peak_bytes": 900 << 20, "rss_peak_bytes": 700 << 20, "measured": {"energy_joules": None},
            "phases": [{"name": "train", "seconds": 20.0}, {"name": "train", "seconds": 10.0}, {"name": "judge", "seconds": 5.0}]} | more


@pytest.mark.parametrize("of", [row(), row("no_effect", 15)])
def test_a_night_that_went_its_whole_way(of):
    night.check(of, "")


@pytest.mark.parametrize("of, said, code", [
    (row("rejected", 11), "ended rejected: why", Exit.REJECTED), (row("does_not_fit", 20, kills=1), "1 killed at the limit", Exit.DOES_NOT_FIT),
    (row(None, -9, reason=None), "without a record: last words", Exit.DOES_NOT_FIT), (row(after=5.1), "nothing was learned", Exit.DEVICE),
    (row(after=float("nan")), "nothing was learned", Exit.DEVICE)])
def test_a_night_that_did_not(of, said, code):
    with pytest.raises(Failed, match=said) as failed:
        night.check(of, "last words")
    assert failed.value.code == code


@contextmanager
def _granted(limit):
    yield None


@contextmanager
def _refused(limit):
    raise CannotLimit("no cgroup can be made here: read-only")
    yield


@pytest.mark.parametrize("memory, cgroups, limit, why", [
    (2 << 30, _granted, 2 << 30, None), (2 << 30, _refused, None, "read-only"), (None, _granted, None, "--memory does")])
def test_the_limit_or_why_there_is_none(monkeypatch, tmp_path, memory, cgroups, limit, why):
    monkeypatch.setattr(night, "limited", cgroups)
    ran = []
    monkeypatch.setattr(night, "_one", lambda case, limit: ran.append(limit) or row())
    found = night.night(Case(tmp_path, "tiny", 1, 64, "float32", 5, 3, tmp_path, memory_bytes=memory), lambda text: None)
    assert ran == [limit] * night.ROUNDS and found.details["limit_bytes"] == limit
    reasons = [entry["reason"] for entry in found.not_run if entry["measure"] == "night under a memory limit"]
    assert reasons == [] if why is None else why in reasons[0]
    values = {figure.name: figure.values for figure in found.figures}
    assert values["night_train_seconds"] == [30.0] * night.ROUNDS and values["night_peak_bytes"] == [900.0 * 2**20] * night.ROUNDS
    assert "night_joules" in [entry["measure"] for entry in found.not_run]
