"""A night's training as another machine is asked to do it, and what that machine says it did: two strict documents.

A job's id is the hash of all that it says, its files' hashes among it: one id, one training. Both are read with `read`, which
refuses by name what does not follow the schema; every number in them has a bound, so that nothing later has to doubt one.
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_sleep.config import Lora, Train
from edge_sleep.errors import IntegrityError, RemoteRefused
from edge_sleep.system import foreign
from edge_sleep.system.files import canonical_json, sha256_file
from edge_sleep.train.planner import Fit

SCHEMA = 1
LIMIT_BYTES = 4 << 20

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ShortId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:+-]{1,80}$")]
Line = Annotated[str, Field(max_length=400, pattern=r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$")]     # printed: it steers no terminal
Stamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d:\d\d$")]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Seconds = Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Scalar = Annotated[bool, Field()] | Count | Number | Line | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileOf(_Strict):
    sha256: Sha256
    bytes: Count


class BaseOf(_Strict):
    """The base a job is for. source: what its home calls it, which the adapter's configuration repeats."""

    source: Line
    sha256: Sha256
    quantisation: Word
    compute_dtype: Literal["bfloat16", "float16", "float32"]

    def entry(self) -> dict:
        return {"source": self.source, "sha256": self.sha256}


class FitOf(_Strict):
    """train.planner.Fit, of the machine that ships; the worker may make its own, for none of it changes the gradient."""

    loss_chunk: Annotated[int, Field(ge=1, le=1 << 20)]
    checkpointing: bool
    micro_batch: Annotated[int, Field(ge=1, le=1 << 16)]

    def fit(self) -> Fit:
        return Fit(self.loss_chunk, self.checkpointing, self.micro_batch)


class Settings(_Strict):
    """All that `train.session.train_candidate` reads from a configuration; threads and memory are the worker's own."""

    lora: Lora
    train: Train
    system_prompt: Annotated[str, Field(max_length=64 * 1024)]
    max_tokens: Annotated[int, Field(ge=16, le=1 << 20)]


class Job(_Strict):
    """What is asked. home: the machine that asks (`seal.machine.Machine.id`); parent: the adapter to go on from; experiences:
    whose words are in the examples, for the manifest; resume_step: the optimiser step whose state is in the bundle."""

    version: Literal[1] = Field(1, alias="schema")
    id: JobId
    home: ShortId
    night: Word
    base: BaseOf
    parent: ShortId | None
    experiences: Annotated[tuple[Word, ...], Field(max_length=50_000)]
    settings: Settings
    fit: FitOf
    training_seconds: Seconds
    budget_seconds: Seconds
    deadline: Stamp
    resume_step: Annotated[int, Field(ge=0, lt=1_000_000)] | None
    files: dict[str, FileOf]
    versions: dict[Word, Word]


class Trained(_Strict):
    """record.json's `train`, as `train.session` makes it."""

    steps: Count
    planned_steps: Count
    epochs: Count
    loss_first: Number | None
    loss_last: Number | None
    stop_reason: Word
    held_out: Annotated[list[Number], Field(max_length=10_000)] | None
    micro_batch: Count
    grad_accum_steps: Count
    learning_rate: Number
    processes: Count
    live: dict[Word, Scalar]
    loss_scale: Number | None


class Data(_Strict):
    tokens: Count
    supervised_tokens: Count
    too_long: Count


class Result(_Strict):
    """What was done. worker: the machine that did it; candidate: the adapter's id; parent and base as in the job."""

    version: Literal[1] = Field(1, alias="schema")
    job: JobId
    worker: ShortId
    base: Sha256
    parent: ShortId | None
    candidate: ShortId
    train: Trained
    measured: dict[Word, Scalar]
    data: Data
    files: dict[str, FileOf]
    versions: dict[Word, Word]
    environment: dict[Word, Scalar]


Document = TypeVar("Document", Job, Result)


def listed(files: Mapping[str, Path]) -> dict[str, FileOf]:
    """What a document says of its files, by their names in the archive."""
    return {name: FileOf(sha256=sha256_file(file), bytes=file.stat().st_size) for name, file in sorted(files.items())}


def make(**said: Any) -> Job:
    """A job of these fields, its id made from them. Raises ValueError (pydantic) where they do not follow the schema."""
    draft = Job(id="0" * 32, **said)
    return draft.model_copy(update={"id": id_of(draft)})


def id_of(job: Job) -> str:
    """First 32 hex of sha256 over everything in the job but its id."""
    return hashlib.sha256(canonical_json(as_json(job) | {"id": None})).hexdigest()[:32]


def as_json(document: Job | Result) -> dict[str, Any]:
    return document.model_dump(mode="json", by_alias=True)


def written(document: Job | Result) -> bytes:
    return canonical_json(as_json(document)) + b"\n"


def read(content: bytes, kind: type[Document], what: str) -> Document:
    """The job or result in `content`. Raises RemoteRefused naming the field that does not follow the schema, or a newer one."""
    found = foreign.document(content, what, limit_bytes=LIMIT_BYTES)
    if not isinstance(found, dict) or type(number := found.get("schema")) is not int:
        raise RemoteRefused(f"{what} does not say which schema it follows")
    if number > SCHEMA:
        raise RemoteRefused(f"{what} follows a newer schema ({number}, this is {SCHEMA})", "install a newer edge_sleep")
    try:
        document = kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(ascii(part).strip("'")[:40] for part in first["loc"])
        raise RemoteRefused(f"{what} does not follow its schema: {where}: {ascii(first['msg'])[1:-1][:160]} "
                            f"({error.error_count()} problem(s))", "both machines need edge_sleep of the same version") from None
    if isinstance(document, Job) and document.id != id_of(document):
        raise RemoteRefused(f"{what}: its id {document.id} is not the hash of its content")
    return document


def check_files(document: Job | Result, files: Mapping[str, Path]) -> None:
    """Raises IntegrityError where files are not those that the document lists."""
    if (found := listed(files)) != document.files:
        odd = next(name for name in sorted({*found, *document.files}) if found.get(name) != document.files.get(name))
        raise IntegrityError(f"{odd} is not the file that was listed for it", "pack it again")
