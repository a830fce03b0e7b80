"""What the suite can say: every figure with its unit, whether less or more is better, and how it is written."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from edge_sleep.benchmarks.suite.statistics import Summary, ratios, summary

OURS = "ours"


class Kind(NamedTuple):
    """unit: seconds, bytes, joules, per_second, share, bytes_per_second, flops."""

    unit: str
    better: Literal["less", "more"]
    words: str


KINDS: dict[str, Kind] = {
    "matmul_flops": Kind("flops", "more", "bare product of the largest layer"),
    "copy_bytes_per_second": Kind("bytes_per_second", "more", "bare copy of memory"),
    "train_peak_bytes": Kind("bytes", "less", "allocator's peak of a training step, model included"),
    "train_rss_bytes": Kind("bytes", "less", "resident peak of training, imports left out"),
    "load_seconds": Kind("seconds", "less", "loading the base in 4-bit"),
    "load_processor_seconds": Kind("seconds", "less", "loading the base in 4-bit, time of the processor"),
    "load_peak_bytes": Kind("bytes", "less", "resident peak of loading"),
    "step_seconds": Kind("seconds", "less", "one optimiser step"),
    "step_processor_seconds": Kind("seconds", "less", "one optimiser step, time of the processor"),
    "tokens_per_second": Kind("per_second", "more", "tokens trained on per second, all of them"),
    "answer_tokens_per_second": Kind("per_second", "more", "tokens of answers per second"),
    "step_of_matmul": Kind("share", "more", "a step's products, of the bare product's speed"),
    "step_joules": Kind("joules", "less", "energy of one step"),
    "night_seconds": Kind("seconds", "less", "a whole night"),
    "night_ingest_seconds": Kind("seconds", "less", "of that: reading transcripts"),
    "night_select_seconds": Kind("seconds", "less", "of that: choosing the lesson"),
    "night_plan_seconds": Kind("seconds", "less", "of that: planning"),
    "night_train_seconds": Kind("seconds", "less", "of that: training, loading included"),
    "night_judge_seconds": Kind("seconds", "less", "of that: judging"),
    "night_promote_seconds": Kind("seconds", "less", "of that: promoting"),
    "night_export_seconds": Kind("seconds", "less", "of that: exporting"),
    "night_peak_bytes": Kind("bytes", "less", "a night's peak, the whole process"),
    "night_joules": Kind("joules", "less", "energy of a night"),
    "export_base_seconds": Kind("seconds", "less", "once per base: exporting it"),
    "export_adapter_seconds": Kind("seconds", "less", "each morning: exporting the adapter"),
    "first_token_seconds": Kind("seconds", "less", "from the start of a session to its first token"),
    "decode_tokens_per_second": Kind("per_second", "more", "tokens spoken per second"),
    "decode_of_copy": Kind("share", "more", "weights read per token, of the bare copy's speed"),
    "morning_peak_bytes": Kind("bytes", "less", "resident peak of a session"),
}


@dataclass
class Figure:
    """One figure of one contender, a value per round."""

    name: str
    who: str
    values: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise KeyError(f"{self.name} is no figure of the suite")

    @property
    def summary(self) -> Summary:
        return summary(self.values)

    def document(self) -> dict[str, Any]:
        return {"figure": self.name, "who": self.who, "unit": KINDS[self.name].unit, **self.summary.document(),
                "values": self.values}


def compared(figures: list[Figure]) -> list[dict[str, Any]]:
    """How many times better ours is than each peer, from rounds that were taken in turns."""
    mine = {figure.name: figure for figure in figures if figure.who == OURS}
    found = []
    for figure in figures:
        own = mine.get(figure.name)
        if own is None or figure.who.startswith(OURS) or len(figure.values) != len(own.values):
            continue
        if 0.0 in (*figure.values, *own.values):
            continue
        less = KINDS[figure.name].better == "less"
        pairs = ratios(figure.values, own.values) if less else ratios(own.values, figure.values)
        found.append({"figure": figure.name, "against": figure.who, **summary(pairs).document(), "values": pairs})
    return found


def written(value: float, unit: str) -> str:
    """A value for people."""
    if unit == "bytes":
        return f"{value / 2**20:,.0f} MiB" if value >= 100 * 2**20 else f"{value / 2**20:.1f} MiB"
    if unit == "seconds":
        return f"{value:.3g} s" if value < 100 else f"{value:,.0f} s"
    if unit == "share":
        return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"
    if unit == "flops":
        return f"{value / 1e9:,.0f} GFLOP/s" if value >= 1e11 else f"{value / 1e9:.3g} GFLOP/s"
    if unit == "bytes_per_second":
        return f"{value / 1e9:.3g} GB/s"
    suffix = {"joules": " J", "per_second": "/s"}[unit]
    return f"{value:,.0f}{suffix}" if value >= 100 else f"{value:.3g}{suffix}"
