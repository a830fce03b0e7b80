"""The measures of training: limits of the device, agreement, memory, loading, steps. Each returns its figures."""
from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks import ceilings, step_time
from edge_sleep.benchmarks.suite.case import Case
from edge_sleep.benchmarks.suite.children import Failed, ask, sets, suite_code
from edge_sleep.benchmarks.suite.energy import Energy
from edge_sleep.benchmarks.suite.figures import OURS, Figure, written

from edge_sleep.errors import Exit
from edge_sleep.model.shape import read

Say = Callable[[str], None]
# Each is a whole load of the model. The allocator's count is the same in every round, what a process is resident with is not: the
# same one of Hugging Face's was 1,967 and 3,333 MiB.
MEMORY_ROUNDS, LOAD_ROUNDS = 3, 3


@dataclass
class Found:
    """What a measure found. not_run: parts that could not be measured here, with the reason. checks: of agreement."""

    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    not_run: list[dict[str, str]] = field(default_factory=list)


def limits(case: Case, say: Say) -> Found:
    """What a bare product of the shape's largest layer and a bare copy reach here, in a process of their own."""
    row = ask("suite.measures", case.folder, case.rows * case.tokens, case.dtype, case.rounds)
    products, copies = (Figure(name, "device", row[name]) for name in ("matmul_flops", "copy_bytes_per_second"))
    say(f"bare product {written(products.summary.median, 'flops')}, copy {written(copies.summary.median, 'bytes_per_second')}")
    return Found([products, copies])


def agreement(case: Case, who: tuple[str, ...], say: Say) -> Found:
    """One batch, everybody's loss and gradient beside the reference's. details: {contender: its comparison}."""
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reference.safetensors"
        reference = ask("suite.correctness", case.folder, "reference", case.batch, file)
        asked = [(name, case.dtype) for name in who]
        if case.dtype != "float32":
            asked.insert(0, (OURS, "float32"))         # exactly, before in the type that is timed
        for name, dtype in asked:
            entry = name if dtype == case.dtype else f"{name} in {dtype}"
            told = [f"dtype={dtype}", *case.train_sets[1:]]
            try:
                rows[entry] = ask("suite.correctness", case.folder, name, case.batch, file, "--loss", reference["loss"],
                                  *sets(told))
            except Failed as failed:
                rows[entry] = {"who": name, "dtype": dtype, "reasons": [failed.reason]}
            row = rows[entry]
            say(f"{entry}: " + ("; ".join(row["reasons"]) or f"loss {row['loss']:.6f}, the reference's "
                                f"{row['reference_loss']:.6f}; cosine of the gradients {_near_one(row['cosine'])}"))
    return Found(details=rows)


def _near_one(cosine: float) -> str:
    return f"1 - {max(0.0, 1 - cosine):.0e}" if cosine > 0.999 else f"{cosine:.4f}"


def memory(case: Case, who: tuple[str, ...], say: Say) -> Found:
    figures = {(name, figure): Figure(figure, name) for name in who for figure in ("train_peak_bytes", "train_rss_bytes")}
    for number in range(min(MEMORY_ROUNDS, case.rounds)):
        for name in who:
            row = ask("peak", case.folder, "--only", name, "--shapes", case.batch, *sets(case.train_sets))
            figures[name, "train_peak_bytes"].values.append(row["peak_mebibytes"] * 2**20)
            figures[name, "train_rss_bytes"].values.append(row["rss_mebibytes"] * 2**20)
            say(f"memory round {number + 1}: {name} peak {row['peak_mebibytes']:.1f} MiB, "
                f"resident {row['rss_mebibytes']:.0f} MiB")
    return Found(list(figures.values()))


def load(case: Case, say: Say) -> Found:
    """Ours is the second night's load, from the cache; `ours, first night` quantises."""
    ways = {"first": "ours, first night", "again": OURS} | ({"transformers": "hf"} if "hf" in case.against else {})
    figures = {(name, figure): Figure(figure, name) for name in ways.values()
               for figure in ("load_seconds", "load_processor_seconds", "load_peak_bytes")}
    for number in range(min(LOAD_ROUNDS, case.rounds)):
        with tempfile.TemporaryDirectory(dir=case.work) as cache:
            for way, name in ways.items():
                row = ask("loading", case.folder, "--dtype", case.dtype, "--only", way, cache)
                figures[name, "load_seconds"].values.append(row["seconds"])
                figures[name, "load_processor_seconds"].values.append(row["processor_seconds"])
                figures[name, "load_peak_bytes"].values.append(max(row["peak_mebibytes"], 0.0) * 2**20)
                say(f"load round {number + 1}: {name} {row['seconds']:.3g} s")
    return Found(list(figures.values()))


def step(case: Case, who: tuple[str, ...], say: Say) -> Found:
    """Steps in turns; tokens per second, the share of the bare product, joules where the board tells watts."""
    energy = Energy(case.total_rail)
    try:
        row = step_time.in_turns(str(case.folder), case.batch, who, case.train_sets, case.rounds, case.steps, say,
                                 energy.metered)
    except step_time.ContenderEnded as ended:
        raise Failed(str(ended), suite_code(ended.code)) from None
    finally:
        reason = energy.reason
        energy.close()
    tokens, answers = case.rows * case.tokens, case.rows * (case.tokens - case.tokens // 2)
    figures = []
    for name, seconds in row["seconds"].items():
        figures += [Figure("step_seconds", name, seconds), Figure("step_processor_seconds", name, row["processor"][name]),
                    Figure("tokens_per_second", name, [tokens / taken for taken in seconds]),
                    Figure("answer_tokens_per_second", name, [answers / taken for taken in seconds]),
                    Figure("step_of_matmul", name, [row["gflop"] / taken / rate for taken, rate in
                                                    zip(seconds, row["matmul_gflops"], strict=True)])]
        if joules := energy.joules.get(name):
            figures.append(Figure("step_joules", name, [turn / case.steps for turn in joules]))
    not_run = [] if energy.joules else [{"measure": "step_joules", "reason": reason}]
    return Found(figures, {"gflop": row["gflop"], "first_losses": row["first_losses"]}, not_run)


def failed_check(details: dict[str, Any]) -> Failed | None:
    """What a failed agreement ends the suite with, where ours is not the reference's step."""
    wrong = [f"{name}: {reason}" for name, row in details.items() if row["who"] == OURS for reason in row["reasons"]]
    return Failed("; ".join(wrong), Exit.DEVICE) if wrong else None


def main() -> None:
    parser = argparse.ArgumentParser(description=limits.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tokens", type=int)
    parser.add_argument("dtype")
    parser.add_argument("rounds", type=int)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {"matmul_flops": [], "copy_bytes_per_second": []}
    for _ in range(arguments.rounds):
        product = ceilings.matmul_gflops(read(arguments.folder), arguments.tokens, arguments.dtype)
        found["matmul_flops"].append(product * 1e9)
        found["copy_bytes_per_second"].append(ceilings.copy_bytes_per_second())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
