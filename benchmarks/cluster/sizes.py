"""What one night of one companion weighs: a real job, packed and sealed here, and the sizes of larger models by their shape."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_sleep.benchmarks.classroom import settings

from edge_sleep.config import Lora, Train
from edge_sleep.device import profile
from edge_sleep.model.known_shapes import KNOWN
from edge_sleep.model.shape import Shape
from edge_sleep.night import Request, run
from edge_sleep.seal.keys import Keys
from edge_sleep.system.home import Home
from edge_sleep.thor import ledger
from edge_sleep.train.forecast import tokens
from edge_sleep.train.planner import step_flops
from edge_sleep.train.state import read_examples

# The sample conversations' first night, as `fleet sizes` measures it: 110 experiences of 12 sessions, 458 examples of an epoch.
WORDS_BYTES = 257_358                               # the sealed bundle, which holds no adapter yet
LESSON_TOKENS = 32_989                              # of an epoch, as the planner guesses them
ENVELOPE_BYTES = 2_048                              # result.json, configuration, manifest and seal, at most
OVERHEAD_SECONDS = 30.0                             # assumed: fetch, verify, load in 4 bits from the cache, pack


@dataclass(frozen=True)
class Load:
    """Of one job. seconds: on one GPU, what is not training included."""

    bundle_bytes: int
    result_bytes: int
    base_bytes: int
    seconds: float


def of_shape(shape: Shape, *, flops_per_second: float, lora: Lora | None = None, train: Train | None = None,
             lesson_tokens: float = LESSON_TOKENS, words_bytes: int = WORDS_BYTES,
             overhead_seconds: float = OVERHEAD_SECONDS) -> Load:
    """A job of a companion that has learned before: it carries the adapter to go on from, and brings one as large back.

    flops_per_second: what the card does of the planner's count (a profile's training_flops_per_second). Adapters are float32,
    which no archive makes smaller; a base travels as published, in 16 bits.
    """
    lora, train = lora or Lora(), train or Train()
    adapter = shape.adapter_parameters(lora.rank, lora.targets) * 4 + ENVELOPE_BYTES
    training = step_flops(shape, lesson_tokens * train.epochs, checkpointing=True) / flops_per_second
    return Load(words_bytes + adapter, adapter, 2 * (shape.linear_parameters + shape.embedding_parameters),
                training + overhead_seconds)


def of_board(model: str, board: str, **given: float) -> Load:
    """As of_shape, for a model of model/known_shapes.py on a board of profiles/."""
    flops = profile.load(board).training_flops_per_second
    assert flops, f"{board} says nothing of its speed"
    return of_shape(KNOWN[model], flops_per_second=flops, **given)  # type: ignore[arg-type]


def measure(root: Path) -> dict:
    """Ship a night of the sample conversations into a folder: nothing is trained, everything is packed and sealed as ever."""
    from edge_sleep.seedling import SESSIONS

    (root / "mailbox").mkdir(parents=True)
    edge, worker = Home(root / "edge").make(), Home(root / "worker").make()
    keys, other = Keys.open(edge.keys, "edge"), Keys.open(worker.keys, "worker")
    keys.add(other.own)
    record = run(edge, settings(f"thor.mailbox=folder:{root / 'mailbox'}"), Request(sessions=(SESSIONS,), ship=True))
    job = next(ledger.records(edge, "edge"))
    lesson = read_examples(edge.night(record["night"]) / "state")
    of_one_epoch = [example for example in lesson if example.epoch in (None, 0)]
    mean, most = tokens(of_one_epoch)
    return {"outcome": record["outcome"], "sealed_bundle_bytes": job["bytes"], "examples": len(lesson),
            "examples_of_an_epoch": len(of_one_epoch), "tokens_of_an_epoch": round(mean * len(of_one_epoch)), "longest": most}
