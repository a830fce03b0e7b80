"""One governed night as a picture: temperature, power, duty and tokens per second over time."""
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_sleep.train.governor import Limits

_WINDOW_SECONDS = 10.0


def _means(times: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """(middles, means) of windows of ten seconds."""
    parts: dict[int, list[float]] = {}
    for at, value in zip(times, values, strict=True):
        parts.setdefault(int(at / _WINDOW_SECONDS), []).append(value)
    return [(number + 0.5) * _WINDOW_SECONDS for number in parts], [sum(part) / len(part) for part in parts.values()]


def picture(file: Path, samples: Sequence[Any], events: Sequence[dict], record: dict[str, Any], limits: Limits, times: float,
            row: dict[str, Any]) -> None:
    """Write a PNG. samples: as benchmarks/fake_board/live.py takes them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    start = samples[0].at
    at = [one.at - start for one in samples]
    steps = [datetime.fromisoformat(event["at"]).timestamp() - start for event in events if event["event"] == "step"]
    tokens = record["data"]["tokens"] / max(1, record["train"]["steps"])
    figure, panes = pyplot.subplots(4, 1, sharex=True, figsize=(10, 10))
    panes[0].plot(at, [one.die for one in samples], label="die", linewidth=0.8)
    panes[0].plot(at, [one.sink for one in samples], label="heatsink")
    panes[0].axhline(limits.ceiling, color="tab:red", linestyle="--", label="ceiling")
    panes[0].axhline(limits.released, color="tab:gray", linestyle=":", label="release")
    panes[0].set_ylabel("Celsius")
    panes[0].legend(loc="lower right", ncols=4)
    panes[1].plot(*_means(at, [one.watts for one in samples]))
    panes[1].set_ylabel("watts, 10 s means")
    panes[2].plot(*_means(at, [one.busy for one in samples]))
    panes[2].axhline(row["best_duty"], color="tab:green", linestyle="--", label="best constant duty")
    panes[2].set_ylabel("share worked")
    panes[2].set_ylim(0, 1.05)
    panes[2].legend(loc="lower right")
    windows: dict[int, int] = {}
    for second in steps:
        windows[int(second / _WINDOW_SECONDS)] = windows.get(int(second / _WINDOW_SECONDS), 0) + 1
    panes[3].plot([(number + 0.5) * _WINDOW_SECONDS for number in windows],
                  [count * tokens / _WINDOW_SECONDS for count in windows.values()])
    panes[3].set_ylabel("tokens per second")
    panes[3].set_xlabel(f"seconds; the board warms {times:g} times as fast as a real one")
    board = row["board"]
    panes[0].set_title(f"{board['ambient']:.0f} degrees around, {board['resistance'] * board['dust']:.2f} K/W, sink "
                       f"{board['sink_seconds']:.0f} s, {board['work_watts']:.0f} W of work: "
                       f"{row['throughput']:.1%} of the best constant duty, {row['over_ceiling']:+.2f} K at most")
    for pane in panes:
        pane.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
