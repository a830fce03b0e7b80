import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.data.migrations import migrate
from edge_sleep.data.sketch import Sketch

MARKS = st.lists(st.integers(0, 2**32 - 1), max_size=40)


def database():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "memory")
    return connection


@settings(max_examples=30, deadline=None)
@given(st.lists(MARKS, max_size=5), MARKS)
def test_counts_are_never_too_low_and_outlive_the_process(answers, asked):
    connection = database()
    sketch, one = Sketch(connection), Sketch(database())
    for marks in answers:
        sketch.add(tuple(marks))
        sketch.flush()
        sketch = Sketch(connection)
        one.add(tuple(marks))
    found = sketch.counts(asked)
    assert found == one.counts(asked)
    assert all(count >= sum(marks.count(value) for marks in answers) for value, count in zip(asked, found, strict=True))


def test_what_was_not_flushed_is_forgotten_on_reset():
    sketch = Sketch(database())
    sketch.add((1 << 20, 5 << 25))
    sketch.reset()
    assert sketch.counts((1 << 20, 5 << 25)) == [0, 0]
