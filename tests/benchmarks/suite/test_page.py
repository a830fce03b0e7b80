"""The page: self-contained, every figure on it, hostile names only as text; two results beside each other."""
import re

import pytest
from edge_sleep.benchmarks.suite import growth, page, repeat
from edge_sleep.benchmarks.suite.figures import KINDS

from edge_sleep.errors import UsageError
from tests.benchmarks.suite.made import result


def test_the_page_asks_nobody_and_says_everything():
    document = result()
    html = page.as_html([document])
    assert "<script" not in html and not re.search(r"(?:src|href)=", html) and "Content-Security-Policy" in html
    for row in document["figures"]:
        assert KINDS[row["figure"]].words in html
    assert "MISS" in html and "no sensor here" in html and "a night ended rejected" in html and html.count("<svg") >= 4


def test_a_hostile_name_is_text():
    html = page.as_html([result({("step_seconds", "<b onload=x>"): [1.0, 2.0]})])
    assert "<b onload" not in html and "&lt;b onload" in html


def test_two_results_are_told_apart():
    other = result({("step_seconds", "ours"): [3.0, 3.1, 3.2, 3.3, 3.4], ("step_seconds", "hf"): [6.0, 6.2, 6.4, 6.6, 6.8]},
                   started="2026-11-28T02:00:00+00:00")
    rows = {(row["figure"], row["ratio"], row.get("who")): row["same"] for row in repeat.told_apart(result(), other)}
    assert rows == {("step_seconds", False, "ours"): False, ("step_seconds", False, "hf"): False, ("step_seconds", True, None): True}
    html = page.as_html([result(), other])
    assert "The same table twice" in html and "1 of 3 figures" in html
    assert "within their noise: 1 of 1 ratios and 0 of 2 figures" in repeat.as_text(repeat.told_apart(result(), other))


@pytest.mark.parametrize("first, second, state", [
    ([1.0], [1.5], "measured once, 33%"), ([1.0], [1.001], "same"), ([1.0, 1.1, 1.2], [1.5], "measured once, 27%"),
    ([1.0, 1.1, 1.2], [1.5, 1.6, 1.5], "APART, 27%"), ([1.0, 1.1, 1.6], [1.5, 1.6, 1.5], "same")])
def test_of_what_was_measured_once_no_noise_is_known(first, second, state):
    rows = repeat.told_apart(result({("step_seconds", "ours"): first}), result({("step_seconds", "ours"): second}))
    assert [repeat.state(row) for row in rows] == [state]
    assert repeat.counted(rows) == {"s": "1 of 1 figures", "A": "0 of 1 figures", "m": "0 of 0 figures (1 more measured once)"}[state[0]]


@pytest.mark.parametrize("change", [{"shape": "seedling"}, {"batch": "4x64"}, {"dtype": "bfloat16"}, {"sets": ["lora.rank=8"]}])
def test_results_of_two_things_are_not_compared(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        repeat.told_apart(result(), result(**change))


def test_growth_has_its_curves_and_decisions():
    curves = [growth.fitted("select", [(10_000, 0.1), (20_000, 0.2), (40_000, 0.4)])]
    document = result() | {"benchmark": "growth", "curves": curves, "decisions": growth.decided(curves)}
    html = page.as_html([document])
    assert "exponent 1.00" in html and "200,000 experiences" in html and "extrapolated 5 times beyond 40,000" in html
    assert "How cost grows" in html


def test_the_longest_bar_leaves_room_for_its_number():
    """Where it did not, the number stood on the name."""
    html = page.as_html([result()])
    texts = re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="(\w+)" class="t ink">([^<]*)</text>', html)
    beside = {text: (float(x), anchor) for x, anchor, text in texts if text.endswith((" s", " MiB"))}
    assert beside and all(anchor == "start" and x > 68 for text, (x, anchor) in beside.items() if text in ("2 s", "1 s", "100 MiB"))


def test_ours_is_not_compared_with_ours():
    document = result({("load_seconds", "ours"): [1.0, 1.0], ("load_seconds", "ours, first night"): [9.0, 9.0], ("load_seconds", "hf"): [4.0, 4.0]})
    assert [(row["against"], row["median"]) for row in document["ratios"]] == [("hf", 4.0)]
