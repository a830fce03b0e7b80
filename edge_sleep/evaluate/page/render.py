"""The whole page, and writing it where the night lies."""
from __future__ import annotations

from pathlib import Path

from edge_sleep.evaluate.page.account import heat, night, phases, trend
from edge_sleep.evaluate.page.dream import dream
from edge_sleep.evaluate.page.frame import whole
from edge_sleep.evaluate.page.lesson import answers, learned, refused
from edge_sleep.evaluate.page.measures import measures
from edge_sleep.evaluate.page.morning import Morning, of_home
from edge_sleep.evaluate.page.setting import candidates, environment, way_back
from edge_sleep.evaluate.page.verdict import head, sentence
from edge_sleep.system.files import write_bytes
from edge_sleep.system.home import Home

NAME = "report.html"
_PARTS = (learned, refused, answers, dream, measures, night, phases, trend, heat, candidates, environment, way_back)


def as_html(morning: Morning) -> str:
    record = morning.record
    identity = f"Night {record.get('night')}"
    foot = f"{identity} \u00b7 written by edge_sleep from the night\u2019s record \u00b7 this file asks no network"
    return whole(f"{identity}: {record.get('outcome') or 'not ended'}", sentence(record), head(morning),
                 [part(morning) for part in _PARTS], foot=foot)


def write(home: Home, record: dict) -> Path:
    """Make the page of this night anew from what the home holds; returns where it lies."""
    file = home.night(record["night"]) / NAME
    write_bytes(file, as_html(of_home(home, record)).encode())
    return file
