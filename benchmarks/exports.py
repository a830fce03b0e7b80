"""What a night becomes for other runtimes: how faithful each form is, and what it costs to make.

    python -m edge_sleep.benchmarks.exports fidelity HOME             (a home that had a night; makes its exports)
    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.exports time /tmp/shape           (random weights; once per base, then each morning)

`fidelity` compares every form with the judged model and times it as `edge-sleep export` does. `time` makes each
base export in a process of its own, for its peak of memory, then converts adapters: r=4 on q and v, r=8 on all linear layers. The
last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks.loading import status

from edge_sleep import config
from edge_sleep.checkpoint import manifest, store
from edge_sleep.device import detect, environment, profile
from edge_sleep.errors import EdgeSleepError
from edge_sleep.export import artefact
from edge_sleep.export.artefact import Made
from edge_sleep.export.examine import examine
from edge_sleep.export.workshop import GGUF_MERGED, Workshop
from edge_sleep.model import adapter, base
from edge_sleep.model.settings import layered
from edge_sleep.serve.handover import timed
from edge_sleep.system.home import Home

FORMS: tuple[tuple[str, dict[str, str]], ...] = (
    ("merged", {"merged": "float32"}), ("merged", {"merged": "bfloat16"}), ("merged", {"merged": "float16"}),
    ("onnx", {"onnx": "fp32"}), ("onnx", {"onnx": "int8"}), ("onnx", {"onnx": "k_quant_mixed"}),
    ("gguf", {"gguf": "f16"}), ("gguf", {"gguf": "q8_0"}), (GGUF_MERGED, {"gguf": "q8_0"}))
ADAPTERS = {"r=4 q,v": config.Lora(rank=4, alpha=8, targets="q_proj,v_proj"), "r=8 all-linear": config.Lora(rank=8, alpha=16)}
BASES = ("dense", "gguf", "onnx")
CREATED = "2026-01-17T20:00:00+00:00"


def workshop(home: Home) -> Workshop:
    found, place = layered(home, [], profile.detect()[0])
    device = base.settled(home, detect.choose(found.companion.compute_dtype))
    declared = base.declare(home, place, device, CREATED)
    return Workshop(home, declared, device, found.export, found.companion.system_prompt, CREATED)


def fidelity(home: Home) -> list[dict]:
    shop, rows = workshop(home), []
    named = store.incumbent(home)
    if named is None:
        raise SystemExit("the base is current: nothing to export")
    print(f"{'form':26} {'KL':>9} {'allowed':>9} {'top-1':>7} {'dNLL':>9}  faithful  {'MiB':>7}  tok/s")
    for kind, settings in FORMS:
        made, _ = replace(shop, settings=shop.settings.model_copy(update=settings)).adapter_export(kind, named)
        made = timed(shop, examine(shop, artefact.note(made, fidelity=None, speed=None)))
        found, pace = made.document["fidelity"], made.document["speed"] or {}
        size = sum(file["bytes"] for file in made.document["files"].values())
        below = sum(file["bytes"] for file in (made.document["needs"] or {"files": {}})["files"].values())
        rows.append({"kind": kind, **settings, **found, "bytes": size, "base_bytes": below, "runtime": made.document["runtime"],
                     "tokens_per_second": pace.get("tokens_per_second"), "judged_tokens_per_second": pace.get("judged")})
        form = next(iter(settings.values()))
        print(f"{kind + ' ' + form:26} {found['kl']:9.1e} {found['allowed_kl']:9.1e} {found['top1']:7.4f} "
              f"{found['delta_nll']:+9.5f}  {'yes' if found['passed'] else 'NO':8}  {(size + below) / 2**20:7.1f}  "
              f"{rows[-1]['tokens_per_second'] or float('nan'):5.0f}", flush=True)
    return rows


def add_adapter(home: Home, of: base.Base, settings: config.Lora, seed: int = 0) -> str:
    """An adapter of random matrices, as a night leaves it."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model: Any = adapter.attach_new(AutoModelForCausalLM.from_pretrained(of.place.folder, dtype=torch.bfloat16), settings, seed)
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.data = torch.randn(value.shape) * 0.02       # float32, as nights train them
    return settle(home, of, model)


def settle(home: Home, of: base.Base, model: Any) -> str:
    """Put the adapter on `model` into the home, its manifest beside it, as a night leaves it; its id."""
    staged = home.adapters / "staged"
    adapter.save(model, staged, of.place.source)
    made = adapter.content_id(staged, of.sha256)
    manifest.write(staged, adapter_id=made, base=of.entry(), parent=None, night="20260117-030000", created=CREATED,
                   data={"sha256": "0" * 64, "experiences": []}, effect={})
    staged.rename(home.adapter(made))
    return made


def once(home: Home, what: str) -> dict:
    """One base export in this process: seconds, and the peak of this process and of the builder it starts."""
    shop = workshop(home)
    began = time.monotonic()
    folder = shop.dense if what == "dense" else shop.base_export(what)[0].folder
    peak = max(status("VmHWM"), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    return {"what": what, "seconds": time.monotonic() - began, "peak_mebibytes": peak,
            "bytes": sum(file.stat().st_size for file in folder.iterdir())}


def clocked(work: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of calls, shortest first."""
    found = []
    for _ in range(rounds):
        began = time.monotonic()
        work()
        found.append(time.monotonic() - began)
    return sorted(found)


def times(folder: Path, bases: tuple[str, ...], rounds: int, kept: Path | None = None) -> dict:
    """kept: the home, which stays there with its exports; None: one that goes again."""
    rows: dict[str, list[dict]] = {"once": [], "morning": []}
    with tempfile.TemporaryDirectory() as scratch:
        home = Home(kept or Path(scratch) / "home").make()
        (home.config).write_text(f"companion: {{model: {folder}}}\n")
        shop = workshop(home)
        for what in bases:
            command = [sys.executable, "-m", "edge_sleep.benchmarks.exports", "time", str(folder), "--only", what, str(home.root)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows["once"].append(json.loads(done.stdout.splitlines()[-1]))
            print("once: {what:6} {seconds:7.1f} s, peak {peak_mebibytes:6.0f} MiB, {0:.0f} MiB on disk".format(
                rows["once"][-1]["bytes"] / 2**20, **rows["once"][-1]), flush=True)
        kinds = [kind for kind, below in (("onnx", "onnx"), ("gguf", "gguf"), ("merged", "dense"), (GGUF_MERGED, "gguf"))
                 if below in bases]
        for name, settings in ADAPTERS.items():
            made = add_adapter(home, shop.base, settings)
            own = (home.adapter(made) / adapter.WEIGHTS).stat().st_size
            for kind in kinds:
                def work(kind: str = kind, made: str = made) -> Made:
                    for there in (home.exports / kind).glob(made):
                        shutil.rmtree(there)
                    return replace(shop).adapter_export(kind, made)[0]

                found = clocked(work, rounds if kind in ("onnx", "gguf") else 1)
                p20, p50, p80 = found[len(found) // 5], statistics.median(found), found[-1 - len(found) // 5]
                size = sum(file["bytes"] for file in work().document["files"].values()) if kind in ("onnx", "gguf") else None
                rows["morning"].append({"adapter": name, "kind": kind, "p20": p20, "p50": p50, "p80": p80, "seconds": found,
                                        "bytes": size, "adapter_bytes": own})
                print(f"each morning: {name:15} {kind:12} {p50:7.3f} s ({p20:.3f} to {p80:.3f})"
                      + (f", {size / 2**20:.2f} MiB, {size / own:.2f} of the adapter's" if size else ""), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fidelity", "time"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bases", nargs="+", choices=BASES, default=list(BASES))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--home", type=Path, help="of `time`: keep the home here, with its exports")
    parser.add_argument("--only", nargs=2, metavar=("WHAT", "HOME"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(once(Home(Path(arguments.only[1])), arguments.only[0])))
        return
    try:
        rows = fidelity(Home(arguments.folder.absolute())) if arguments.what == "fidelity" else \
            times(arguments.folder.absolute(), tuple(arguments.bases), arguments.rounds,
                  arguments.home and arguments.home.absolute())
    except EdgeSleepError as error:
        raise SystemExit(str(error)) from error
    print(json.dumps({"benchmark": f"exports {arguments.what}", "rows": rows, "versions": artefact.versions("torch"),
                      "environment": environment.describe()}))


if __name__ == "__main__":
    main()
