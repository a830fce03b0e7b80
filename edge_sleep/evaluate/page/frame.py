"""What every page stands in: one file, one style sheet, nothing that runs and nobody who is asked."""
from __future__ import annotations

from typing import Any

from edge_sleep.evaluate.page.markup import Raw, el
from edge_sleep.evaluate.page.style import sheet

# Should markup ever slip through, it can run nothing and ask nobody.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def whole(title: str, description: str, *parts: Any, foot: str) -> str:
    """The HTML of a page whose body is `parts`."""
    return "<!DOCTYPE html>\n" + el(
        "html",
        el("head", el("meta", charset="utf-8"), el("meta", name="viewport", content="width=device-width, initial-scale=1"),
           el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
           el("meta", name="referrer", content="no-referrer"),
           el("meta", name="description", content=description),
           el("title", title), el("style", Raw(sheet()))),
        el("body", el("main", *parts, el("footer", foot))),
        lang="en") + "\n"
