"""A group of growth's curves as a process of its own: named works with their sizes, and the points they measured."""
from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

Points = list[tuple[float, float]]
Curves = dict[str, tuple[Callable[[Sequence[int]], Points], tuple[int, ...]]]


def main(curves: Curves, description: str | None) -> None:
    """Measure the curve that the command line names; the last line is its points as JSON."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curve", choices=curves)
    parser.add_argument("--sizes", help="numbers with commas, in place of the curve's own")
    arguments = parser.parse_args()
    work, sizes = curves[arguments.curve]
    chosen = [int(size) for size in arguments.sizes.split(",")] if arguments.sizes else sizes
    print(json.dumps({"points": work(chosen)}))
