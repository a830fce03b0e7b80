"""The first minute of a day, by runtime: from `load_current` to the first token, tokens a second, peak memory.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.morning /tmp/shape --home /tmp/morning       (the home is kept, and what it holds used again)

Each row is a process of its own, in turns over the rounds: `edge_sleep.load_current` in one runtime, as a person's session loads
it (every byte hashed, the canary heard), one answer; beside them what users of PEFT do, its adapter unmerged on the base in
bfloat16 and float32 through `generate`. The 4-bit row is the judged form. On random weights fidelity says little, so a form is
timed whatever the comparison says, and the verdict is printed; `benchmarks/exports fidelity` asks it of a trained model. Seconds
include the import of libraries. The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks.exports import ADAPTERS, add_adapter, workshop
from edge_sleep.benchmarks.loading import status

from edge_sleep.checkpoint import store
from edge_sleep.device import environment
from edge_sleep.errors import EdgeSleepError
from edge_sleep.evaluate.answers import canary_ids
from edge_sleep.export import artefact
from edge_sleep.export.examine import examine
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

# name -> (serve.runtime, setting of `export` that it was made with)
FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "onnx k_quant_mixed": ("onnx", {"onnx": "k_quant_mixed"}), "onnx int8": ("onnx", {"onnx": "int8"}),
    "gguf q8_0": ("gguf", {"gguf": "q8_0"}), "gguf-merged q8_0": ("gguf-merged", {"gguf": "q8_0"}),
    "merged bfloat16": ("merged", {"merged": "bfloat16"}), "merged float32": ("merged", {"merged": "float32"}),
    "4-bit with adapter": ("transformers", {})}
PEFT = {"PEFT unmerged bfloat16": "bfloat16", "PEFT unmerged float32": "float32"}
ADAPTER = "r=8 all-linear"
_TOKENS = 64
_QUESTION = [{"role": "user", "content": "Who waters the ferns when nobody is at home for a whole week in summer?"}]


def prepare(shape: Path, home: Home, names: list[str]) -> dict[str, str]:
    """The home, and for each form an adapter of its own with its export; {form: its verdict}. What is there is used again."""
    home.make()
    home.config.write_text(f"companion: {{model: {shape}}}\n")
    shop, file = workshop(home), home.root / "forms.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    verdicts = {}
    for name in names:
        kind, settings = FORMS[name]
        if name not in known:
            known[name] = add_adapter(home, shop.base, ADAPTERS[ADAPTER], list(FORMS).index(name))
            file.write_text(json.dumps(known))
        if kind == "transformers":
            continue
        own = replace(shop, settings=shop.settings.model_copy(update={**settings, "passages": 4}))
        try:
            made, anew = own.adapter_export(kind, known[name])
            made = examine(own, made) if anew or made.document["fidelity"] is None else made
        except EdgeSleepError as error:
            verdicts[name] = f"not made: {error}"
        else:
            found = made.document["fidelity"]
            verdicts[name] = f"KL {found['kl']:.1e}, " + ("; ".join(found["reasons"]) or "faithful")
            artefact.note(made, fidelity={**found, "passed": True})
        print(f"{name}: {verdicts[name]}", flush=True)
    return verdicts


def become(home: Home, name: str) -> None:
    """Let current.json name the adapter and the export of this row."""
    shop, adapter_id = workshop(home), json.loads((home.root / "forms.json").read_text())[name]
    store.promote(home, adapter_id, base=shop.base.entry(), chat_template=shop.tokenizer.chat_template,
                  system_prompt=shop.system_prompt, night="20260117-030000", clock=Clock())
    kind, folder = FORMS[name][0], home.exports / FORMS[name][0] / adapter_id
    if kind != "transformers":
        store.note_export(home, kind, adapter_id, artefact.Made(folder, artefact.read(folder)).entry(home))


def session(home: Home, name: str) -> dict[str, Any]:
    """One answer of a session in this process."""
    import edge_sleep
    from edge_sleep.serve.runtime import Options

    began = time.monotonic()
    with edge_sleep.load_current(home.root, sets=[f"serve.runtime={FORMS[name][0]}"]) as live:
        loaded = time.monotonic() - began
        answer = live.generate(_QUESTION, Options(_TOKENS))
        if live.problems:
            raise SystemExit(f"{name}: {live.problems}")
        assert answer.first_seconds is not None
        return {"load": loaded, "first": loaded + answer.first_seconds, "runtime": live.identity["runtime"],
                "tokens_per_second": (answer.completion_tokens - 1) / (answer.seconds - answer.first_seconds)}


def peft(home: Home, name: str) -> dict[str, Any]:
    """The same answer by PEFT and `generate`, as its guide has it."""
    began = time.monotonic()
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    shop, adapter_id = workshop(home), store.incumbent(home)
    assert adapter_id is not None
    base = AutoModelForCausalLM.from_pretrained(shop.base.place.folder, dtype=getattr(torch, PEFT[name]))
    model: Any = PeftModel.from_pretrained(base, home.adapter(adapter_id)).eval()
    loaded = time.monotonic() - began
    ids = torch.tensor([canary_ids(shop.tokenizer, shop.system_prompt)])
    times: list[float] = []

    class Watch:
        def put(self, value: Any) -> None:
            times.append(time.monotonic())

        def end(self) -> None:
            pass

    with torch.inference_mode():
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=_TOKENS, min_new_tokens=_TOKENS,
                       do_sample=False, streamer=Watch())
    said = times[1:]                       # the streamer is given the prompt first
    return {"load": loaded, "first": said[0] - began, "tokens_per_second": (len(said) - 1) / (said[-1] - said[0])}


def row(home: Home, name: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "edge_sleep.benchmarks.morning", str(home.root), "--only", name],
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", type=Path)
    parser.add_argument("--home", type=Path, help="where the home is kept")
    parser.add_argument("--forms", default=",".join([*FORMS, *PEFT]), help="rows, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="0 prepares the home and times nothing")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        home = Home(arguments.shape.absolute())
        found = peft(home, arguments.only) if arguments.only in PEFT else session(home, arguments.only)
        print(json.dumps(found | {"peak_mebibytes": status("VmHWM")}))
        return
    if arguments.home is None:
        parser.error("--home is needed: exports of this size are kept")
    home, names = Home(arguments.home.absolute()), arguments.forms.split(",")
    verdicts = prepare(arguments.shape.absolute(), home, [name for name in names if name in FORMS])
    if not arguments.rounds:
        return
    names = [name for name in names if not verdicts.get(name, "").startswith("not made")]
    found: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            if name in FORMS:
                become(home, name)
            found[name].append(row(home, name))
    print(f"{'':24} {'first token':>20} {'tokens/s':>22} {'peak MiB':>9}")
    table = []
    for name, rows in found.items():
        middle = {key: statistics.median(row[key] for row in rows) for key in ("load", "first", "tokens_per_second",
                                                                               "peak_mebibytes")}
        spans = {key: (min(row[key] for row in rows), max(row[key] for row in rows)) for key in middle}
        table.append({"form": name, **middle, "spans": spans, "rounds": rows, "verdict": verdicts.get(name)})
        print(f"{name:24} {middle['first']:6.2f} s ({spans['first'][0]:.2f} to {spans['first'][1]:.2f}) "
              f"{middle['tokens_per_second']:8.1f} ({spans['tokens_per_second'][0]:.1f} to {spans['tokens_per_second'][1]:.1f}) "
              f"{middle['peak_mebibytes']:9.0f}", flush=True)
    unmerged = [line["tokens_per_second"] for line in table if line["form"] in (*PEFT, "4-bit with adapter")]
    others = [line for line in table if line["form"] not in (*PEFT, "4-bit with adapter")]
    if unmerged and others:
        best = max(others, key=lambda line: line["tokens_per_second"])
        ratio = best["tokens_per_second"] / max(unmerged)
        print(f"fastest: {best['form']}, {ratio:.2f} times the fastest with an unmerged adapter")
    print(json.dumps({"benchmark": "morning", "adapter": ADAPTER, "rounds": arguments.rounds, "rows": table,
                      "environment": environment.describe()}))


if __name__ == "__main__":
    main()
