"""The morning after: what exporting costs, and how soon and how fast a session speaks in each runtime."""
from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from edge_sleep.benchmarks.suite.case import Case
from edge_sleep.benchmarks.suite.children import Failed, ask
from edge_sleep.benchmarks.suite.figures import OURS, Figure, written
from edge_sleep.benchmarks.suite.measures import Found, Say
from edge_sleep.benchmarks.suite.statistics import summary

SESSION_ROUNDS, EXPORT_ROUNDS = 3, 5                  # at most
# base export -> (module that makes it, what brings it)
MAKERS = {"gguf": ("gguf", "edge_sleep[gguf]"), "onnx": ("onnxruntime_genai", "edge_sleep[onnx-build]")}
# form of a session -> (module that speaks it, what brings it, the base that it stands on)
SPEAKERS = {"gguf q8_0": ("llama_cpp", "llama-cpp-python", "gguf"), "onnx int8": ("onnxruntime", "edge_sleep[onnx]", "onnx")}
JUDGED = "4-bit with adapter"
_BLOCK_BYTES = {"gguf q8_0": 34 / 32, "onnx int8": 1 + 4 / 32}        # of a weight, its share of a block's scale included


def home_of(case: Case) -> Path:
    """Where exports are made, and sessions of the same run find them."""
    return case.work / "morning"


def export(case: Case, say: Say) -> Found:
    """Once per base, from nothing; then the adapter that each morning brings (r=8 on all linear layers)."""
    found = Found()
    bases = _able({base: (module, brings) for base, (module, brings) in MAKERS.items()}, "export", found)
    if not bases:
        return found
    shutil.rmtree(home_of(case), ignore_errors=True)
    rows = ask("exports", "time", case.folder, "--bases", *bases, "--rounds", min(EXPORT_ROUNDS, case.rounds),
               "--home", home_of(case))["rows"]
    for row in rows["once"]:
        found.figures.append(Figure("export_base_seconds", f"{OURS}, {row['what']}", [row["seconds"]]))
        say(f"{row['what']}: once per base {row['seconds']:.3g} s, peak {row['peak_mebibytes']:.0f} MiB")
    for row in rows["morning"]:
        if row["kind"] in bases and row["adapter"].startswith("r=8"):
            found.figures.append(Figure("export_adapter_seconds", f"{OURS}, {row['kind']}", row["seconds"]))
            say(f"{row['kind']}: each morning {row['p50']:.3g} s")
    found.details = rows
    return found


def morning(case: Case, say: Say) -> Found:
    """Sessions in turns, each a process: `ours` is the form that speaks fastest, as serve.runtime=auto takes it; beside it the
    form that was judged, and PEFT's adapter unmerged on the base where hf is compared with."""
    found = Found()
    makers = {name: part for name, part in MAKERS.items() if importlib.util.find_spec(part[0]) is not None}
    forms = [form for form in _able({form: part[:2] for form, part in SPEAKERS.items()}, "morning", found)
             if SPEAKERS[form][2] in makers]
    peer = f"PEFT unmerged {case.dtype}"
    names = [*forms, JUDGED, *([peer] if "hf" in case.against and case.dtype != "float16" else [])]
    row = ask("morning", case.folder, "--home", home_of(case), "--forms", ",".join(names),
              "--rounds", min(SESSION_ROUNDS, case.rounds))
    rows = {line["form"]: line for line in row["rows"]}
    ours = [name for name in rows if name != peer]
    if not ours:
        raise Failed("no form of the adapter spoke")
    fastest = max(ours, key=lambda name: rows[name]["tokens_per_second"])
    copy = summary(ask("suite.measures", case.folder, 1, case.dtype, case.rounds)["copy_bytes_per_second"]).median
    for name, line in rows.items():
        who = OURS if name == fastest else "hf" if name == peer else f"{OURS}, {name}"
        turns = line["rounds"]
        found.figures += [Figure("first_token_seconds", who, [turn["first"] for turn in turns]),
                          Figure("decode_tokens_per_second", who, [turn["tokens_per_second"] for turn in turns]),
                          Figure("decode_of_copy", who, [turn["tokens_per_second"] * read_per_token(case, name) / copy
                                                         for turn in turns]),
                          Figure("morning_peak_bytes", who, [turn["peak_mebibytes"] * 2**20 for turn in turns])]
        say(f"{name}: first token after {line['first']:.3g} s, {written(line['tokens_per_second'], 'per_second')}")
    found.details = {"ours": fastest, "verdicts": {name: line["verdict"] for name, line in rows.items()}}
    return found


def read_per_token(case: Case, form: str) -> float:
    """Bytes of weights that one token cannot be spoken without reading: every linear layer and the head."""
    of, wide = case.of, 4 if case.dtype == "float32" else 2
    head = of.vocabulary * of.hidden
    if form in _BLOCK_BYTES:
        return (of.linear_parameters + head) * _BLOCK_BYTES[form]
    if form == JUDGED:
        return of.linear_parameters * (0.5 + 1 / 64) + head * wide
    return (of.linear_parameters + head) * wide


def _able(wanted: dict[str, tuple[str, str]], measure: str, found: Found) -> list[str]:
    """Those whose module is installed; the others are noted with what brings it."""
    able = []
    for name, (module, brings) in wanted.items():
        if importlib.util.find_spec(module) is None:
            found.not_run.append({"measure": f"{measure}, {name}", "reason": f"{module} is not installed: pip install {brings}"})
        else:
            able.append(name)
    return able
