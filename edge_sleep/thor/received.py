"""What a worker was sent besides the adapter: settings, examples, a step's state, each as a night writes it, and nothing else."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_sleep.data.experience import Example
from edge_sleep.errors import RemoteRefused
from edge_sleep.system import foreign
from edge_sleep.thor import bundle, weights
from edge_sleep.thor.job import Count, Job, Number, Sha256
from edge_sleep.thor.weights import Form

MOST_EXAMPLES = 200_000
MOST = {"lora.rank": 1024, "lora.alpha": 1 << 16, "train.epochs": 1000, "train.micro_batch": 4096,
        "train.grad_accum_steps": 4096}
_LINE_LIMIT = 1 << 20
_REFUSED = "it is not used; ask the machine it came from for a new one"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Message(_Strict):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=_LINE_LIMIT)]


class _Example(_Strict):
    """data.experience.Example, as `train.state.write_examples` has it."""

    messages: Annotated[list[_Message], Field(min_length=2, max_length=2000)]
    weight: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    origin: Literal["new", "earlier", "replay"]
    source: Annotated[str, Field(max_length=1000)]
    teaches_end: bool
    epoch: Annotated[int, Field(ge=0, lt=100_000)] | None
    move: Annotated[str, Field(max_length=200)] | None


class _Progress(_Strict):
    """train.state.Progress, with the hash of the tensors beside it."""

    step: Count
    epoch: Count
    batch: Count
    tokens: Count
    supervised_tokens: Count
    micro_batch: Annotated[int, Field(ge=1, le=1 << 16)]
    scale: Annotated[float, Field(gt=0, le=2.0**40, allow_inf_nan=False)]
    good_steps: Count
    cooling: Count | None
    cooling_for: Annotated[str, Field(max_length=400)] | None
    held_out: list[Number]
    seconds: Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)]
    losses: list[Number]
    sha256: Sha256


def check_settings(asked: Job) -> None:
    """Raises RemoteRefused naming a setting beyond what any night needs: it would take the machine, not train an adapter."""
    settings = asked.settings
    found = {f"{section}.{key}": value for section in ("lora", "train") for key, value in getattr(settings, section)}
    for key, most in MOST.items():
        if found[key] > most:
            raise RemoteRefused(f"the job asks for {key} {found[key]}, at most {most} is done for others", "ask for less")


def check_examples(file: Path, epochs: int) -> list[Example]:
    """The examples in `file`. Raises RemoteRefused naming the first line that is none: form, roles, weight, epoch, no answer."""
    content = file.read_bytes()
    lines = content.split(b"\n")
    if lines.pop() or len(lines) > MOST_EXAMPLES:
        raise RemoteRefused(f"{file.name} is cut short, or has more than {MOST_EXAMPLES} examples", _REFUSED)
    return [_example(line, f"{file.name}, line {number}", epochs) for number, line in enumerate(lines, 1)]


def _example(line: bytes, what: str, epochs: int) -> Example:
    document = foreign.document(line, what, limit_bytes=_LINE_LIMIT, deepest=4)
    try:
        found = _Example.model_validate(document)
    except ValidationError as error:
        raise RemoteRefused(f"{what} is no example: {_first(error)}", _REFUSED) from None
    roles = [message.role for message in found.messages]
    if roles[-1] != "assistant" or "user" not in roles or "system" in roles[1:]:
        raise RemoteRefused(f"{what} is no example: it must begin with a prompt and end with the companion's words", _REFUSED)
    if not found.messages[-1].content.strip():
        raise RemoteRefused(f"{what} is no example: there is no answer to learn", _REFUSED)
    if found.epoch is not None and found.epoch >= epochs:
        raise RemoteRefused(f"{what} is for epoch {found.epoch}, of {epochs}", _REFUSED)
    return Example(**{**document, "messages": tuple(document["messages"])})


def check_state(folder: Path, asked: Job, of_adapter: Mapping[str, Form]) -> None:
    """The state of a step: counters; tensors by name, shape and type, finite, moments that AdamW can have; a random state.

    of_adapter: the adapter's tensors as its file names them. Raises RemoteRefused.
    """
    import torch

    what = "the training state"
    document = foreign.document((folder / "progress.json").read_bytes(), f"{what}: progress.json", limit_bytes=16 << 20)
    try:
        progress = _Progress.model_validate(document)
    except ValidationError as error:
        raise RemoteRefused(f"{what}: progress.json: {_first(error)}", _REFUSED) from None
    file = folder / "tensors.safetensors"
    if progress.step != asked.resume_step:
        raise RemoteRefused(f"{what} is of step {progress.step}, not {asked.resume_step}", _REFUSED)
    if progress.sha256 != asked.files[bundle.STATE[1]].sha256:
        raise RemoteRefused(f"{what}: progress.json belongs to other tensors", _REFUSED)
    found = weights.forms(file, what)
    named = {key.removeprefix("parameter."): _as_saved(key.removeprefix("parameter."))
             for key in found if key.startswith("parameter.")}
    if sorted(named.values()) != sorted(of_adapter):
        odd = min(set(named.values()) ^ set(of_adapter), default="")
        raise RemoteRefused(f"{what}: tensor {ascii(odd)} is {'missing' if odd in of_adapter else 'one too many'}", _REFUSED)
    prefixes = ["parameter", *(["exp_avg", "exp_avg_sq"] if any(key.startswith("exp_avg.") for key in found) else [])]
    wanted = {f"{prefix}.{key}": of_adapter[saved] for prefix in prefixes for key, saved in named.items()}
    wanted["random.cpu"] = Form("U8", tuple(torch.get_rng_state().shape))
    if "random.cuda" in found:
        wanted["random.cuda"] = Form("U8", (16,))
    weights.refuse_others(found, wanted, what)
    weights.refuse_infinite(file, what)
    for name, value in weights.tensors(file, what):
        if name.startswith("exp_avg_sq.") and bool((value < 0).any()):
            raise RemoteRefused(f"{what}: tensor {ascii(name)} has negative squares", _REFUSED)
        if name == "random.cpu":
            try:
                torch.Generator().set_state(value)
            except RuntimeError:
                raise RemoteRefused(f"{what}: random.cpu is no state of a generator", _REFUSED) from None


def _as_saved(live: str) -> str:
    """A parameter's name as PEFT writes it to a file: without the name of the adapter."""
    return live.replace(".default", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(ascii(part)[:40] for part in first['loc'])}: {ascii(first['msg'])[1:-1][:160]}"
