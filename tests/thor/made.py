"""A job and a result as two good machines make them, on tensors of a few bytes; and archives as others make them."""
from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from edge_sleep.checkpoint import manifest
from edge_sleep.config import Lora, Train
from edge_sleep.data.experience import Example
from edge_sleep.model import adapter
from edge_sleep.system.files import sha256_file, write_json
from edge_sleep.thor import bundle, job
from edge_sleep.thor.job import BaseOf, FitOf, Job, Result, Settings, Trained
from edge_sleep.train import state as train_state

BASE = BaseOf(source="seedling", sha256="b" * 64, quantisation="nf4-double-quant", compute_dtype="float32")
RANK, WIDTH = 2, 4
CONFIG = {"peft_type": "LORA", "r": RANK, "lora_alpha": 4, "use_rslora": False, "use_dora": False, "target_modules": ["q_proj"],
          "base_model_name_or_path": BASE.source, "inference_mode": True, "bias": "none", "modules_to_save": None, "task_type": "CAUSAL_LM",
          "peft_version": "0.21.2", "lora_dropout": 0.0}
NAMES = [f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{side}" for layer in (0, 1) for side in "AB"]
EXAMPLES = [Example(({"role": "user", "content": "Where is the boat?"}, {"role": "assistant", "content": f"In the harbour \u2028 {n}."}),
                    1.0, "new", f"{n:016x}", epoch=n % 2) for n in range(4)]


def tensors(seed: int, rank: int = RANK) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {f"{name}.weight": torch.randn((rank, WIDTH) if name.endswith("A") else (WIDTH, rank), generator=draw) for name in NAMES}


def make_adapter(folder: Path, values: Mapping[str, torch.Tensor], without: str = "", **config: Any) -> str:
    """Returns its id."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / adapter.WEIGHTS).write_bytes(save({name: value.clone() for name, value in values.items()}, metadata={"format": "pt"}))
    (folder / adapter.CONFIG).write_text(json.dumps({key: value for key, value in (CONFIG | config).items() if key != without}))
    finite = all(bool(torch.isfinite(value).all()) for value in values.values())
    return adapter.content_id(folder, BASE.sha256) if finite else "0" * 16


@dataclass
class Night:
    """A night that is shipped, and the folders it lies in."""

    root: Path
    job: Job
    files: dict[str, Path]
    parent: Path
    state: Path

    def pack(self) -> Path:
        bundle.pack(self.job, self.files, self.root / "bundle")
        return self.root / "bundle"


def night(root: Path, step: int = 3) -> Night:
    state = root / "night" / "state"
    train_state.write_examples(state, EXAMPLES)
    train_state.write_examples(state, EXAMPLES[:1], "held_out.jsonl")
    identity = make_adapter(root / "parent", tensors(1))
    parent = (root / "parent").rename(root / identity)
    at = state / f"step-{step:06d}"
    at.mkdir()
    live = {f"{name}.default.weight": value for name, value in zip(NAMES, tensors(2).values(), strict=True)}
    values = {f"parameter.{key}": value for key, value in live.items()}
    values |= {f"{moment}.{key}": value.abs() for moment in ("exp_avg", "exp_avg_sq") for key, value in live.items()}
    (at / "tensors.safetensors").write_bytes(save(values | {"random.cpu": torch.get_rng_state()}))
    write_json(at / "progress.json", asdict(train_state.Progress(step=step, losses=[2.5, 2.25, 2.0], seconds=1.5))
               | {"sha256": sha256_file(at / "tensors.safetensors")})
    files = bundle.files_of_a_night(state, parent, at)
    made = job.make(home="a" * 16, night="20260117-2300", base=BASE, parent=identity,
                    experiences=tuple(example.source for example in EXAMPLES),
                    settings=Settings(lora=Lora(rank=RANK, alpha=4, targets="q_proj"), train=Train(epochs=2), system_prompt="You listen.",
                                      max_tokens=64),
                    fit=FitOf(loss_chunk=512, checkpointing=True, micro_batch=2), training_seconds=10.0, budget_seconds=60.0,
                    deadline="2026-01-18T06:00:00+00:00", resume_step=step, files=job.listed(files), versions={"edge_sleep": "0.1"})
    return Night(root, made, files, parent, state)


WORKER = "c" * 16


def answer(asked: Job, root: Path, values: Mapping[str, torch.Tensor] | None = None, config: Mapping[str, Any] | None = None,
           of_manifest: Mapping[str, Any] | None = None, without: str = "", **said: Any) -> tuple[Result, dict[str, Path]]:
    """What a worker made of a job; said: what it says otherwise than it should."""
    candidate = root / "worked" / "candidate"
    identity = make_adapter(candidate, values or tensors(3), without, **(config or {}))
    manifest.write(candidate, **{"adapter_id": identity, "base": asked.base.entry(), "parent": asked.parent, "night": asked.night,
                                 "created": "2026-01-18T02:00:00.000+00:00", "effect": {},
                                 "data": {"sha256": asked.files["examples.jsonl"].sha256, "experiences": list(asked.experiences)},
                                 **(of_manifest or {})})
    files = bundle.files_of_a_candidate(root / "worked")
    trained = Trained(steps=4, planned_steps=4, epochs=2, loss_first=2.5, loss_last=1.5, stop_reason="finished", held_out=None,
                      micro_batch=2, grad_accum_steps=1, learning_rate=3e-4, processes=1, live={"device": "cuda:0"}, loss_scale=None)
    made = Result(**{"job": asked.id, "worker": WORKER, "base": asked.base.sha256, "parent": asked.parent, "candidate": identity,
                     "train": trained, "measured": {"load_seconds": 1.5, "peak_bytes": None},
                     "data": job.Data(tokens=9, supervised_tokens=4, too_long=0), "files": job.listed(files), "versions": {},
                     "environment": {"device": "AGX Thor"}, **said})
    return made, files


# --- archives of others ---------------------------------------------------------------------------------


def of_zip(packed: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def relisted(contents: dict[str, bytes], name: str = "job.json", **changes: Any) -> dict[str, bytes]:
    """The contents with a document that lists them as they are now, its id right again: what another program could send."""
    import hashlib

    document = json.loads(contents[name])
    document["files"] = {key: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                         for key, content in contents.items() if key != name}
    document |= changes
    if name == "job.json" and "id" not in changes:
        document["id"] = hashlib.sha256(job.canonical_json(document | {"id": None})).hexdigest()[:32]
    return {name: json.dumps(document).encode()} | {key: content for key, content in contents.items() if key != name}


def zipped(contents: Mapping[str, bytes], target: Path, method: int = zipfile.ZIP_STORED,
           touch: Callable[[zipfile.ZipInfo], None] = lambda entry: None) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            entry.external_attr = (stat.S_IFREG | 0o600) << 16
            touch(entry)
            archive.writestr(entry, content)
    return target


def raw_zip(entries: list[dict[str, Any]], target: Path, *, comment: bytes = b"", before: bytes = b"", count: int | None = None) -> Path:
    """A zip byte by byte. entries: name, content (packed), and what they say otherwise than they should."""
    body, directory = io.BytesIO(), io.BytesIO()
    body.write(before)
    for entry in entries:
        content, name = entry.get("content", b""), entry["name"].encode("latin-1")
        said = {"method": 0, "flags": 0, "crc": zlib.crc32(content), "packed": len(content), "unpacked": len(content), "extra": b"",
                "outer": (stat.S_IFREG | 0o600) << 16, "at": body.tell(), "needed": 20, **entry}
        local = {**said, **entry.get("local", {})}
        directory.write(struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, said["needed"], said["flags"], said["method"], 0, 33, said["crc"],
                                    said["packed"], said["unpacked"], len(name), len(said["extra"]), 0, 0, 0, said["outer"], said["at"]))
        directory.write(name + said["extra"])
        body.write(struct.pack("<4s5H3L2H", b"PK\3\4", local["needed"], local["flags"], local["method"], 0, 33, local["crc"],
                               local["packed"], local["unpacked"], len(local.get("inside", entry["name"])), 0))
        body.write(local.get("inside", entry["name"]).encode("latin-1"))
        body.write(content)
    start, listing = body.tell(), directory.getvalue()
    counted = len(entries) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, counted, counted, len(listing), start, len(comment)) + comment
    target.write_bytes(body.getvalue() + listing + end)
    return target


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data
