"""The whole page, and writing it where the night lies."""
from __future__ import annotations

from pathlib import Path

from edge_sleep.evaluate.page.account import heat, night, phases, trend
from edge_sleep.evaluate.page.dream import dream
from edge_sleep.evaluate.page.lesson import answers, learned, refused
from edge_sleep.evaluate.page.markup import Raw, el
from edge_sleep.evaluate.page.measures import measures
from edge_sleep.evaluate.page.morning import Morning, of_home
from edge_sleep.evaluate.page.setting import candidates, environment, way_back
from edge_sleep.evaluate.page.style import sheet
from edge_sleep.evaluate.page.verdict import head, sentence
from edge_sleep.system.files import write_bytes
from edge_sleep.system.home import Home

NAME = "report.html"
# Should markup ever slip through, it can run nothing and ask nobody.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_PARTS = (learned, refused, answers, dream, measures, night, phases, trend, heat, candidates, environment, way_back)


def as_html(morning: Morning) -> str:
    record = morning.record
    identity = f"Night {record.get('night')}"
    foot = f"{identity} \u00b7 written by edge_sleep from the night\u2019s record \u00b7 this file asks no network"
    return "<!DOCTYPE html>\n" + el(
        "html",
        el("head", el("meta", charset="utf-8"), el("meta", name="viewport", content="width=device-width, initial-scale=1"),
           el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
           el("meta", name="referrer", content="no-referrer"),
           el("meta", name="description", content=sentence(record)),
           el("title", f"{identity}: {record.get('outcome') or 'not ended'}"), el("style", Raw(sheet()))),
        el("body", el("main", head(morning), [part(morning) for part in _PARTS], el("footer", foot))),
        lang="en") + "\n"


def write(home: Home, record: dict) -> Path:
    """Make the page of this night anew from what the home holds; returns where it lies."""
    file = home.night(record["night"]) / NAME
    write_bytes(file, as_html(of_home(home, record)).encode())
    return file
