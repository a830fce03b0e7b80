"""Elements from plain values. What is not `Raw` is text and is escaped: a transcript is hostile input."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from edge_sleep.system.printable import printable

VOID = frozenset({"meta", "link", "br"})

class Raw(str):
    """Markup that is made already."""


def text(value: Any) -> Raw:
    return Raw(escape(printable(value), quote=False))


def el(tag: str, *children: Any, **attributes: Any) -> Raw:
    """An element. Children: text, `Raw`, lists of both, None for nothing. `class_` is class, `aria_label` aria-label."""
    written = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(printable(value))}"'
                      for name, value in attributes.items() if value is not None)
    return Raw(f"<{tag}{written}>" if tag in VOID else f"<{tag}{written}>{''.join(_flat(children))}</{tag}>")


def join(*children: Any) -> Raw:
    return Raw("".join(_flat(children)))


def _flat(children: Iterable[Any]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Raw):
            yield child
        elif isinstance(child, (list, tuple)):
            yield from _flat(child)
        else:
            yield text(child)


def section(title: str, *children: Any) -> Raw:
    return el("section", el("h2", title), *children)


def fold(summary: Any, *children: Any) -> Raw:
    return el("details", el("summary", summary), el("div", *children, class_="folded"))


def table(name: str, heads: Iterable[str], rows: Iterable[Sequence[Any]], prose: bool = False) -> Raw:
    """A table whose first column names its rows; on a phone it scrolls by itself. prose: the last column holds sentences."""
    return el("div", el("table", el("thead", el("tr", [el("th", head, scope="col") for head in heads])),
                        el("tbody", [el("tr", el("th", row[0], scope="row", dir="auto"),
                                        [el("td", cell, dir="auto") for cell in row[1:]]) for row in rows])),
              class_="scroll prose" if prose else "scroll", tabindex="0", role="region", aria_label=name)
