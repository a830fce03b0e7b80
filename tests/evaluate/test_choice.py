"""Choosing among candidates as a table: the configured settings win every tie and every doubt."""
import random

import pytest

from edge_sleep.evaluate.choice import Standing, choose, luck, score


def standing(name, recall, retention=0.98, unknowns=0.95, n=100, vetoes=()):
    return Standing(name, {kind: [1.0] * round(share * n) + [0.0] * (n - round(share * n))
                           for kind, share in (("recall", recall), ("retention", retention), ("unknowns", unknowns))}, vetoes)


BASE = standing("as configured", 0.80)
CASES = [
    ("alone", [BASE], 0, "no other candidate"),
    ("a tie", [BASE, standing("twice", 0.80)], 0, "none of 1 others scored higher"),
    ("worse", [BASE, standing("twice", 0.60)], 0, "none of 1 others"),
    ("a little better is luck", [BASE, standing("twice", 0.82)], 0, "within the noise of 1 tries"),
    ("much better", [BASE, standing("twice", 0.95)], 1, "twice: scored 0.150 higher"),
    ("better, but among many that tried", [BASE, standing("twice", 0.84), *[standing(f"v{n}", 0.80) for n in range(6)]], 0,
     "within the noise of 7 tries"),
    ("the same gain alone", [BASE, standing("twice", 0.84)], 1, "more than 1 tries"),
    ("learns more, forgets more", [BASE, standing("twice", 0.95, retention=0.88)], 0, "none of 1 others"),
    ("of two equal ones the first of the table", [BASE, standing("twice", 0.95), standing("half", 0.95)], 1, "twice"),
    ("the best would be refused", [BASE, standing("twice", 1.0, vetoes=["loops"]), standing("half", 0.95)], 2, "half"),
    ("the configured one would be refused", [standing("as configured", 0.8, vetoes=["forgetting"]), standing("half", 0.7)], 1,
     "as the configured settings would be (forgetting)"),
    ("all would be refused", [standing("as configured", 0.8, vetoes=["forgetting"]), standing("half", 0.9, vetoes=["loops"])], 0,
     "every candidate would be refused (forgetting)"),
]


@pytest.mark.parametrize(("standings", "index", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_choice(standings, index, reason):
    chosen = choose(standings)
    assert chosen.index == index, chosen.reason
    assert reason in chosen.reason


def test_one_lucky_question_is_never_enough():
    """A bootstrap over one question calls it certain; a sign-flip test gives it one chance in two."""
    nothing, something = ({"recall": [value]} for value in (0.0, 1.0))
    assert luck(nothing, something) == pytest.approx(0.5, abs=0.02)
    assert choose([Standing("as configured", nothing), Standing("twice", something)]).index == 0


def test_nothing_asked_is_a_tie():
    empty = {"recall": [], "retention": [], "unknowns": []}
    assert score(empty) == 0 and luck(empty, empty) == 1
    assert choose([Standing("as configured", empty), Standing("twice", empty)]).index == 0


def test_of_equally_good_candidates_the_configured_one_wins_four_times_in_five():
    """The winner's curse, simulated: eight candidates that answer right with the same chance, 200 nights."""
    chance, taken = random.Random(5), 0
    for _ in range(200):
        made = [Standing(f"v{number}", {"recall": [float(chance.random() < 0.8) for _ in range(50)],
                                        "retention": [float(chance.random() < 0.98) for _ in range(100)]}) for number in range(8)]
        taken += choose(made).index > 0
    assert 0 < taken <= 40, f"{taken} of 200: a fifth at most"
