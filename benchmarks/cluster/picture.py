"""A simulated fleet as a picture: nights missed and waits by nodes, and how full the cluster is over its days."""
from __future__ import annotations

from pathlib import Path


def picture(document: dict, file: Path) -> None:
    """Write a PNG of what `fleet simulate` found (matplotlib, extra [bench])."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, middle, below) = pyplot.subplots(3, 1, figsize=(9, 9))
    rows, found = document["sweep"], document["figures"]
    nodes = [row["nodes"] for row in rows]
    above.plot(nodes, [100 * row["missed_share"] for row in rows], "o-", color="crimson", label="nights missed")
    above.axvline(found["nodes"], color="tab:gray", linestyle=":", label=f"{found['nodes']} nodes")
    above.set_ylabel("missed, %")
    above.set_ylim(bottom=0)
    above.legend()
    for name, label in (("wait_p50_seconds", "half of the jobs"), ("wait_p95_seconds", "95 % of them")):
        middle.plot(nodes, [row[name] / 60 for row in rows], "o-", label=f"{label} wait at most")
    middle.axvline(found["nodes"], color="tab:gray", linestyle=":")
    middle.set_ylabel("wait, minutes")
    middle.set_xlabel(f"nodes of {found['gpus'] // found['nodes']} GPU, {found['companions']} companions")
    middle.legend()
    hours = document["hourly"]
    below.fill_between([hour / 24 for hour in range(len(hours))], [100 * share for share in hours], step="post")
    below.set_ylim(0, 100)
    below.set_ylabel(f"GPUs taken, % of {found['gpus']}")
    below.set_xlabel("days")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
