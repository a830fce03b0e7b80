"""What is tried after an unclean end: less where memory was the cause, the same where it cannot have been."""
import pytest

from edge_sleep.device import memory
from edge_sleep.errors import DoesNotFit
from edge_sleep.train.attempt import Attempt


@pytest.fixture(autouse=True)
def _a_kernel_that_does_not_count(monkeypatch):
    monkeypatch.setattr(memory, "kills_by_limit", lambda: None)


def killed(file, kills, size=8, step=0):
    """A try that ends without a word; what it was allowed to take at once."""
    return Attempt(file, size, step, kills)


@pytest.mark.parametrize(("kills", "sizes"), [
    ([0, 1, 2, 2], [8, 4, 2, 2]),             # each was killed at the limit, but for the last
    ([0, 0, 0, 0], [8, 8, 8, 8]),             # the kernel counts, and saw none: the power failed
    ([None, None, None, None], [8, 8, 4, 4]), # nobody counts: twice at the same step is believed
    ([None, 3, 3, 4], [8, 8, 8, 4])])
def test_tries_at_the_same_step(tmp_path, kills, sizes):
    assert [killed(tmp_path / "note", count).size for count in kills] == sizes


def test_where_nobody_counts_a_step_further_is_no_sign(tmp_path):
    assert [killed(tmp_path / "note", None, step=step).size for step in range(5)] == [8] * 5


def test_a_clean_end_leaves_no_note(tmp_path):
    with Attempt(tmp_path / "note", 8, 0, 0):
        pass
    assert not list(tmp_path.iterdir()) and killed(tmp_path / "note", 5).size == 8


def test_one_at_a_time_killed_at_the_limit_is_said(tmp_path):
    killed(tmp_path / "note", 0, size=1)
    with pytest.raises(DoesNotFit, match="one example at a time"):
        killed(tmp_path / "note", 1, size=1)
