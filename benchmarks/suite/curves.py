"""Growth on the page: each curve with its exponent, on axes of logarithms."""
from __future__ import annotations

import math
from typing import Any

from edge_sleep.evaluate.page.account import figure
from edge_sleep.evaluate.page.markup import Raw, el, section, table
from edge_sleep.evaluate.page.plots import Series, chart


def section_of(document: dict[str, Any]) -> Raw:
    """Every curve of a growth result, and where each decision stops holding."""
    drawn = []
    for curve in document["curves"]:
        points = [(math.log10(x), math.log10(y)) for x, y in curve["points"] if x > 0 and y > 0]
        told = f"exponent {curve['exponent']:.2f} ({curve['low']:.2f} to {curve['high']:.2f}), {curve['points'][-1][1]:.3g} " \
               f"{curve['unit']} at {curve['points'][-1][0]:,.0f} {curve['of']}"
        drawn.append(figure(curve["name"], f"log10 of {curve['unit']}, over log10 of {curve['of']}",
                            chart([Series(points, "line", "thread"), Series(points, "dots")], words=told), f"{told}."))
    rows = [(row["decision"], row["holds"], row["until"], row["how"]) for row in document["decisions"]]
    return section("How cost grows", el("div", drawn, class_="plots"),
                   table("decisions", ("Decision", "Holds while", "Until", "How it is known"), rows, prose=True))
