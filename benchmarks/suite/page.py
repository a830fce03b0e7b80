"""The page of one or more results: what was measured beside other trainers, against budgets, and whether two runs agree."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks.suite import budgets, curves
from edge_sleep.benchmarks.suite.figures import KINDS, OURS, written
from edge_sleep.benchmarks.suite.repeat import counted, state, told_apart
from edge_sleep.benchmarks.suite.run import AGREEMENT

from edge_sleep.evaluate.page.account import facts, figure
from edge_sleep.evaluate.page.frame import whole
from edge_sleep.evaluate.page.markup import Raw, el, fold, section, table
from edge_sleep.evaluate.page.plots import Series, bars, chart
from edge_sleep.system.files import write_bytes

_NAMES = {"first night": "first", "4-bit with adapter": "as judged", "gguf q8_0": "gguf", "onnx int8": "onnx"}
_SCALES = {"bytes": (2**20, "MiB"), "seconds": (1.0, "seconds"), "per_second": (1.0, "per second"), "share": (0.01, "%"),
           "joules": (1.0, "J"), "flops": (1e9, "GFLOP/s"), "bytes_per_second": (1e9, "GB/s")}


def as_html(documents: Sequence[dict[str, Any]]) -> str:
    """The newest result in full; where there are several of the suite, how they repeat. Growth has its curves."""
    suites = [document for document in documents if document["benchmark"] == "suite"]
    growths = [document for document in documents if document["benchmark"] == "growth"]
    parts: list[Any] = []
    if suites:
        newest = max(suites, key=lambda document: document["started"])
        parts += [_head(newest), _against(newest), _rounds(newest), _night(newest), _budgets(newest), _agreement(newest),
                  _every(newest), _not_run(newest)]
        if len(suites) > 1:
            parts.append(_again(sorted(suites, key=lambda document: document["started"])[-2:]))
    parts += [curves.section_of(document) for document in growths]
    parts.append(_machine((suites or growths)[-1]))
    title = "What a night costs" if suites else "How cost grows"
    return whole(title, title, parts, foot="written by `edge-sleep bench` from its results \u00b7 this file asks no network")


def write(documents: Sequence[dict[str, Any]], file: Path) -> Path:
    write_bytes(file, as_html(documents).encode())
    return file


def _head(document: dict[str, Any]) -> Raw:
    missed = [verdict for verdict in document["budgets"] if verdict["passed"] is False]
    held = [verdict for verdict in document["budgets"] if verdict["passed"]]
    bad = [row for row in document["measures"] if row["outcome"] != "done"]
    good = not missed and not bad
    mark = "every budget holds" if good and held else "measured" if good else "not in order"
    said = f"{document['shape']}, steps of {document['batch']} tokens in {document['dtype']}, on {document['device']['name']}"
    lead = f"{len(held)} of {len(held) + len(missed)} budgets hold; {document['rounds']} rounds in turns, medians with the " \
           "interval that holds the true median, and ratios of rounds that were taken side by side."
    return el("header", el("p", el("span", mark, class_="mark good" if good else "mark"),
                           el("span", document["started"], class_="quiet"), class_="eyebrow"),
              el("h1", said), el("p", lead, class_="lead"))


def _of(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [row for row in document["figures"] if row["figure"] == name]


def _short(who: str) -> str:
    bare = who.removeprefix(f"{OURS}, ")
    return _NAMES.get(bare, bare)[:11]


def _bars(document: dict[str, Any], name: str) -> Raw | None:
    rows = _of(document, name)
    if not rows:
        return None
    scale, unit = _SCALES[KINDS[name].unit]
    drawn = [(_short(row["who"]), 0.0, row["median"] / scale, written(row["median"], row["unit"])) for row in rows]
    ratios = [f"{row['median']:.2f} times better than {row['against']} ({row['low']:.2f} to {row['high']:.2f})"
              for row in document["ratios"] if row["figure"] == name]
    told = f"ours is {'; '.join(ratios)}" if ratios else \
        "; ".join(f"{row['who']} {written(row['median'], row['unit'])}" for row in rows)
    words = KINDS[name].words
    return figure(words[:1].upper() + words[1:], unit,
                  bars(drawn, None, f"{words}: {told}", 1.4 * max(row["median"] for row in rows) / scale), f"{told}.")


def _against(document: dict[str, Any]) -> Raw | None:
    shown = ("train_peak_bytes", "train_rss_bytes", "load_seconds", "step_seconds", "step_processor_seconds",
             "answer_tokens_per_second", "step_of_matmul", "step_joules",
             "first_token_seconds", "decode_tokens_per_second", "decode_of_copy")
    drawn = [one for name in shown if (one := _bars(document, name)) is not None]
    return section("Beside other trainers", el("div", drawn, class_="plots")) if drawn else None


def _rounds(document: dict[str, Any]) -> Raw | None:
    """Every round of the steps: what drifts is the machine."""
    rows = _of(document, "step_seconds")
    if not rows or rows[0]["n"] < 2:
        return None
    drawn = []
    for row in rows:
        points = [(number + 1.0, value) for number, value in enumerate(row["values"])]
        told = f"{row['who']}: {written(min(row['values']), 'seconds')} to {written(max(row['values']), 'seconds')}"
        css = "main" if row["who"] == OURS else "hollow"
        drawn.append(figure(f"A step of {row['who']}", "seconds, by round", chart(
            [Series(points, "line", "thread"), Series(points, "dots", css)], words=told, integers=True, include=[0.0]),
            f"{told}."))
    return section("Round by round", el("div", drawn, class_="plots"))


def _night(document: dict[str, Any]) -> Raw | None:
    rows = [(name.removeprefix("night_").removesuffix("_seconds"), row["median"]) for name in KINDS
            if name.startswith("night_") and name.endswith("_seconds") and name != "night_seconds" for row in _of(document, name)]
    whole_night = _of(document, "night_seconds")
    if not rows or not whole_night:
        return None
    drawn, passed = [], 0.0
    for name, seconds in rows:
        drawn.append((name, passed, passed + seconds, written(seconds, "seconds")))
        passed += seconds
    told = f"{written(whole_night[0]['median'], 'seconds')} from the command to its end, process and imports included"
    peak = _of(document, "night_peak_bytes")
    limit = next((row["details"].get("limit_bytes") for row in document["measures"] if row["measure"] == "night"
                  and row["outcome"] == "done"), None)
    if peak:
        told += f"; peak {written(peak[0]['median'], 'bytes')}" + (
            f", under a limit of {written(limit, 'bytes')}" if limit else ", no limit")
    plot = figure("By phase", "seconds", bars(drawn, None, told), f"{told}.")
    return section("A whole night", el("div", plot, class_="plots wide"))


def _budgets(document: dict[str, Any]) -> Raw | None:
    if not document["budgets"]:
        return None
    state = {True: "pass", False: "MISS", None: "not measured"}
    return section("Budgets", table("budgets", ("Budget", "", "Why"), [
        (budgets.told(verdict).split("  ", 1)[1], state[verdict["passed"]], verdict["why"]) for verdict in document["budgets"]]))


def _agreement(document: dict[str, Any]) -> Raw | None:
    found = next((row for row in document["measures"] if row["measure"] == AGREEMENT), None)
    rows = [] if found is None else [
        (name, f"{row['loss']:.6f}" if row.get("loss") is not None else "", f"{row['cosine']:.7f}" if row.get("cosine") else "",
         "; ".join(row["reasons"]) or "the same step") for name, row in (found.get("details") or {}).items()]
    lead = "One batch, the same adapter: loss and gradient beside PEFT\u2019s and bitsandbytes\u2019 own layers in float32."
    return section("Correctness, before anything was timed", el("p", lead, class_="quiet"), table(
        "agreement", ("Trainer", "Loss", "Cosine of the gradient", "Verdict"), rows)) if rows else None


def _every(document: dict[str, Any]) -> Raw:
    def span(row: dict[str, Any], low: str, high: str) -> str:
        return f"{written(row[low], row['unit'])} to {written(row[high], row['unit'])}" if row["n"] > 1 else ""

    rows = [(KINDS[row["figure"]].words, row["who"], written(row["median"], row["unit"]), span(row, "q1", "q3"),
             span(row, "low", "high") + (f" ({row['coverage']:.0%})" if row["n"] > 1 else ""), row["n"])
            for row in document["figures"]]
    return section("Every figure", fold("As a table", table(
        "figures", ("Figure", "Who", "Median", "Quartiles", "Holds the true median", "Rounds"), rows)))


def _not_run(document: dict[str, Any]) -> Raw | None:
    rows = [(row["measure"], f"{row['outcome']}: {row['reason']}") for row in document["measures"] if row["outcome"] != "done"]
    rows += [(row.get("who") or row.get("measure") or "", row["reason"]) for row in document["not_run"]]
    return section("Not measured", table("not measured", ("What", "Why"), rows, prose=True)) if rows else None


def _again(two: Sequence[dict[str, Any]]) -> Raw:
    rows = told_apart(*two)
    lead = f"{two[0]['started']} and {two[1]['started']}: {counted(rows)} lie within their noise."
    return section("The same table twice", el("p", lead, class_="quiet"), table(
        "two runs", ("Figure", "First", "Second", ""), [
            (row["words"], row["first"], row["second"], state(row)) for row in rows]))


def _machine(document: dict[str, Any]) -> Raw:
    device = document["device"]
    rows = [("Device", device["gpu"] or device["name"]), ("Profile", f"{device['profile']}: {device['profile_reason']}"),
            ("Cores", device["cores"]), ("Load when it began", ", ".join(f"{value:.1f}" for value in device["load_average"])),
            ("Commit", document["commit"])]
    rows += [(name, value) for name, value in document["environment"].items() if value is not None and name != "cores"]
    return section("What ran", facts(rows))
