"""Every setting, its default and its one line of explanation: the only place for either.

Layers, later wins: the fields below < what travels with the base (`edge_sleep/defaults.yaml` in
its folder) < `train.preset` < the home's edge-sleep.yaml < `--set section.key=value`.
All problems are collected and raised once, as ConfigError.
"""
from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from edge_sleep.errors import ConfigError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: Any) -> float:
    """'55m', '1h30m', '90s' to seconds; a bare number is refused because its unit is a guess."""
    if isinstance(value, float):
        return value
    text = str(value).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{value!r} is not a duration; write it with units, such as 55m, 90s or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def parse_time_of_day(value: Any) -> time:
    """'22:00' to a time; a bare number is refused: YAML 1.1 reads 22:00 as 1320."""
    if isinstance(value, time):
        return value
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a time of day; write it as hours and minutes, such as 22:00")
    return time(int(found[1]), int(found[2]))


def parse_ollama(value: Any) -> Any:
    """`true` is the Ollama of this machine, `false` none; an address stays what it is."""
    return {True: "http://127.0.0.1:11434", False: ""}[value] if isinstance(value, bool) else value


Duration = Annotated[float, BeforeValidator(parse_duration)]
TimeOfDay = Annotated[time, BeforeValidator(parse_time_of_day)]
Share = Annotated[float, Field(ge=0, le=1)]


# The reasons of data/quality/finding.py that can be switched off; a test compares the two.
Reason = Literal["placeholder", "loop", "repetition", "regurgitation", "question_flood", "role_inversion", "prompt_echo",
                 "truncated", "educational_default", "confabulated_history", "foreign_language", "unasked_code",
                 "collapsed_session"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Companion(Section):
    model: str = Field("seedling", description="base model: `seedling`, a folder, or a hub id")
    allow_download: bool = Field(False, description="let the hub be asked for a model that is not on this disk")
    system_prompt: str = Field("You are a companion who learns from the people who talk with you.",
                               description="the one system prompt, for training, judging and serving alike")
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="type of the arithmetic, settled with the home's first night; auto is bfloat16 where it is native")
    embedding: Literal["auto", "full", "int8"] = Field(
        "auto", description="embedding and head, settled with the home's first night; auto is int8 where full ones do not fit")
    companion_names: tuple[str, ...] = Field(("SAGE", "assistant"), description="speakers whose words are learned")
    teacher_names: tuple[str, ...] = Field(("Claude", "Teacher", "Dennis", "user", "human", "thor"),
                                           description="speakers who prompt; their words are never learned")

    models: tuple[str, ...] = Field((), description="other models whose words may be learned too, as patterns (`*14b*`, `*`); a "
                                    "session that names no model, or none that contradicts the base, is taken as it is")


RedactKind = Literal["key", "password", "email", "iban", "card", "phone", "home_path"]


class Data(Section):
    sessions: tuple[str, ...] = Field((), description="files and folders of transcripts that every night reads")
    min_new: int = Field(10, ge=1, description="experiences a night needs before it is worth its time")
    max_selected: int = Field(200, ge=1, description="most new experiences one night learns from")
    per_prompt: int = Field(6, ge=1, description="most experiences with the same prompt, or nearly the same, in one night")
    max_experiences: int = Field(200_000, ge=1, description="most experiences whose text is stored; beyond it the least useful "
                                 "are evicted, never the quarantined, and the trained and taught last")
    redact: tuple[RedactKind, ...] = Field(("key", "password", "email", "iban", "card", "phone", "home_path"),
                                           description="what is masked before anything is stored; leave out a kind to keep it")
    augment: int = Field(5, ge=0, description="other wordings of each experience's question, seen in turn by the epochs")
    moves: tuple[Literal["register", "synonym", "order", "situation", "standpoint"], ...] = Field(
        (), description="rewordings that change words, besides the frames; none until a night was measured with them")
    self_paraphrase: int = Field(0, ge=0, description="wordings that the model itself adds to each, within a tenth of the night")
    max_tokens: int = Field(512, ge=16, description="longest example, in tokens; longer answers are cut at the end")
    context: Share = Field(0.5, description="share of the epochs that meet an experience in its conversation; alone in the rest")
    held_out: Share = Field(0.1, description="share of sessions never trained on, for held-out loss")


class Quality(Section):
    enabled: bool = Field(True, description="false switches the data gate off, so that the later gate stands alone")
    max_questions: int = Field(10, ge=1, description="question marks in one answer before it counts as a flood")
    repeat_ratio: Share = Field(0.35, description="share of an answer's 4-grams that repeat before it counts as a loop")
    min_words: int = Field(1, ge=1, description="words an answer needs")
    switched_off: tuple[Reason, ...] = Field((), description="reasons that quarantine nothing, such as educational_default")
    echo: Share = Field(0.8, description="overlap of an answer with its own prompt before it counts as an echo")
    copied: Share = Field(0.6, description="share of an answer already said in one answer to an unrelated prompt")
    mosaic: Share = Field(0.5, description="share of an answer said to two unrelated prompts or more: regurgitation")
    known_corpora: tuple[str, ...] = Field((), description="files of text the base was trained on: JSON, JSONL or text")
    corpus_overlap: Share = Field(0.3, description="share of an answer's 6-word runs found in a known corpus")
    default_points: int = Field(2, ge=1, description="stock phrases (1) and disclaimers (2) that make an educational default")
    unknown_history: Share = Field(0.6, description="share of a claimed memory's words that nobody in this home ever said")
    foreign_share: Share = Field(0.2, description="share of letters in a script that the conversation does not use")
    code_share: Share = Field(0.3, description="share of lines that are code where nobody asked for code")
    collapsed_session: Share = Field(0.75, description="share of collapsed answers that condemns the rest of a session")


class Salience(Section):
    keep: Share = Field(0.2, description="total salience an exchange needs to become an experience")
    surprise: float = Field(0.2, ge=0, description="weight of surprise")
    novelty: float = Field(0.2, ge=0, description="weight of novelty")
    arousal: float = Field(0.2, ge=0, description="weight of arousal")
    reward: float = Field(0.2, ge=0, description="weight of reward")
    conflict: float = Field(0.2, ge=0, description="weight of conflict")
    by_model: bool = Field(False, description="tonight's choice is weighed by the incumbent's own surprise at each answer, "
                           "within a tenth of the night, instead of by counts of words")

    @property
    def weights(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("surprise", "novelty", "arousal", "reward", "conflict")}


class Replay(Section):
    share: Annotated[float, Field(ge=0, lt=1)] = Field(
        1 / 3, description="share of tonight's examples that are replay")
    earlier: Share = Field(0.5, description="share of the replay taken from what earlier nights taught")
    least: int = Field(32, ge=0, description="items of the general set per epoch at least, however small the night")


class Lora(Section):
    rank: int = Field(16, ge=1, description="rank r of the adapter")
    alpha: int = Field(32, gt=0, description="scale: the adapter adds alpha/r times B·A")
    targets: str = Field("all-linear", description="`all-linear`, or module names with commas: q_proj,v_proj")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="dropout before A")
    rslora: bool = Field(False, description="scale by alpha/sqrt(r) (rank-stabilised LoRA)")
    dora: bool = Field(False, description="learn each output's length apart from its direction (DoRA): slower, PEFT's own code")


class Train(Section):
    preset: Literal["steady", "gentle"] = Field(
        "steady", description="`steady` is what our experiments show to work; `gentle` is the proposal's own setting")
    learning_rate: float = Field(3e-4, gt=0, description="peak learning rate of AdamW")
    candidates: int = Field(1, ge=1, le=12, description="variants of these settings to train within the budget; the gate "
                            "judges one")
    epochs: int = Field(6, ge=1, description="passes over tonight's examples")
    micro_batch: int = Field(8, ge=1, description="examples per forward; the plan makes them more where that is faster and "
                             "memory has room, fewer where it has not: the step and its gradient stay")
    grad_accum_steps: int = Field(1, ge=1, description="micro-batches per optimiser step")
    warmup: Share = Field(0.1, description="share of the steps with a rising learning rate")
    keep: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="share of tonight's change of weights that is kept: less forgets less, and recalls a little less")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay")
    loss_chunk: int = Field(512, ge=1, description="supervised tokens per chunk of the loss head")
    packing: bool = Field(True, description="let short examples share a row instead of padding it; the gradient is the same")
    checkpointing: bool | Literal["auto"] = Field("auto", description="recompute each block's activations in the backward pass; "
                                                  "auto does so unless memory is plenty")
    state_every: Duration = Field(60.0, description="time between two saves of the full training state")
    loss_floor: float = Field(0.005, ge=0, description="mean loss of an epoch that makes the next one the last: "
                              "memorised, not learned")
    patience: int = Field(0, ge=0, description="epochs in which the loss on held-out conversations does not fall before one "
                          "last epoch of falling rate; 0 does not watch it")
    seed: int = Field(20260117, description="seed of data order, initialisation and dropout")
    threads: int = Field(0, ge=0, description="CPU threads of torch; 0 leaves the machine's default")

    @property
    def examples_per_step(self) -> int:
        return self.micro_batch * self.grad_accum_steps


class Budget(Section):
    time: Duration = Field(55 * 60.0, description="wall clock of the whole night, from ingest to promotion")
    reserve: Share = Field(0.25, description="least share of the budget kept for judging and saving")
    memory_bytes: int = Field(0, ge=0, description="most memory the night may take; 0 means what is available now")


class Thermal(Section):
    source: str = Field("auto", description="what tells heat and power: auto, sysfs, jtop, none, or a night's telemetry.jsonl")
    ceiling_celsius: float = Field(0.0, ge=0, lt=130, description="the hottest zone is held here, and a degree above it the "
                                   "night pauses; 0 takes the board's profile")
    release_celsius: float = Field(0.0, ge=0, lt=130, description="a pause for heat ends below this; 0 takes the profile's")
    longest_pause: Duration = Field(15 * 60.0, description="a pause longer than this ends the night, resumable")


class Power(Section):
    cap_watts: float = Field(0.0, ge=0, description="most watts of the whole board on average, kept by working less; 0 is no cap")
    energy_joules: float = Field(0.0, ge=0, description="energy of the whole board that a night may take; 0 is no limit")
    mode: str = Field("", description="power mode for the night, by the name the board gives it, such as 25W; empty leaves it")
    gpu_max_hertz: int = Field(0, ge=0, description="cap of the GPU clock for the night, in hertz (root only); 0 leaves it")
    fan_profile: str = Field("", description="fan profile for the night, by the name the board gives it, such as cool; "
                             "empty leaves it")
    jetson_clocks: bool = Field(False, description="hold all clocks at their highest for the night")


UnitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*$")]


class Neighbours(Section):
    units: tuple[UnitName, ...] = Field((), description="systemd units of the system that are stopped for the night where they "
                                        "run, in this order, and always started again")
    user_units: tuple[UnitName, ...] = Field((), description="the same for units of this user's own manager")
    ollama: Annotated[str, BeforeValidator(parse_ollama), Field(pattern=r"^(https?://[^\s/]+)?/?$")] = Field(
        "", description="let Ollama unload its models for the night, and load them again after it: `true` for the one of this "
        "machine, or its address")


class Gate(Section):
    probes: tuple[str, ...] = Field((), description="your own questions: YAML files of {question, expect}")
    batch: int = Field(32, ge=1, description="questions asked at once")
    recall_probes: int = Field(64, ge=0, description="most recall questions built from tonight's experiences")
    retention_probes: int = Field(400, ge=0, description="questions on what the base could do, per night and split")
    own_probes: int = Field(32, ge=0,
                            description="questions of tonight, asked as they were: loops show where they were taught, "
                            "and the gate sees which answers were news")
    unknown_probes: int = Field(300, ge=0, description="questions that test the right use of \"I don't know\"")
    character_probes: int = Field(48, ge=0, description="questions of each kind about the companion itself: who it is, how it "
                                  "stands to its person, a past that never was, and what needs asking back")
    rival: bool = Field(True, description="ask the base with retrieved experiences in its prompt what the gate asked: the free "
                        "alternative to training, for the record, never for the verdict")
    max_new_tokens: int = Field(40, ge=4, description="longest judged answer, in tokens")
    min_effect: float = Field(0.02, ge=0, description="least gain in recall, or in nats on taught answers, that counts")
    news: Share = Field(0.1, description="share of tonight's own questions that the incumbent must answer otherwise than taught, "
                        "for likelier answers to count as an effect")
    retention_vs_before: Share = Field(0.97, description="least retention, as a share of the incumbent's")
    retention_vs_base: Share = Field(0.95, description="least retention, as a share of the base's")
    unknowns_drop: Share = Field(0.02, description="largest tolerated fall in the right use of \"I don't know\"")
    character_drop: Share = Field(0.3, description="largest tolerated fall in speaking as itself, and in not going along with a "
                                  "past that never was")
    loops: Share = Field(0.05, description="share of answers that loop, flood, are empty, repeat the question or do not end, "
                         "above the incumbent's, that is a veto")
    inverted: Share = Field(0.25, description="share of answers that only ask, above the incumbent's, that is a veto")
    recited: Share = Field(0.1, description="share of recited answers, above the incumbent's, that is a veto: text taught about "
                           "other things, or the same text to everyone")
    distinct: Share = Field(0.8, description="least distinct-2 across answers, as a share of the incumbent's")


class Retention(Section):
    daily: int = Field(7, ge=0, description="days whose newest adapter is kept, counting only days that made one")
    weekly: int = Field(4, ge=0, description="ISO weeks whose newest adapter is kept")
    monthly: int = Field(6, ge=0, description="months whose newest adapter is kept; the current one and every parent of a kept "
                         "one stay as well")
    nights: int = Field(90, ge=0, description="newest nights that keep their logs and pages; of older ones the record stays")


class Serve(Section):
    runtime: Literal["auto", "transformers", "merged", "onnx", "gguf", "gguf-merged"] = Field(
        "auto", description="what runs the model: auto takes the fastest of what was measured on this machine among the exports "
        "that are faithful; transformers is the 4-bit base with its adapter, as judged")
    host: str = Field("127.0.0.1", description="address that `serve` listens on; any but a loopback one requires the token")
    port: int = Field(8327, ge=0, le=65535, description="port that `serve` listens on; 0 takes a free one and says which")
    token: Literal["auto", "always"] = Field("auto", description="`auto` requires the token of keys/serve.token off the loopback "
                                             "only; `always` does everywhere")
    max_new_tokens: int = Field(200, ge=1, description="longest answer, in tokens; what a request asks beyond is cut to it")
    answer_time: Duration = Field(120.0, description="longest time an answer may take; then it ends as it stands")
    max_request_bytes: int = Field(256 * 1024, ge=1024, description="largest request body")
    queue: int = Field(8, ge=1, description="requests that may wait for their turn; more are told to come back")
    idle: Duration = Field(120.0, description="after so long without a request the device and the model's memory are given back, "
                           "so that a night can run; the next request takes them again")
    wait: Duration = Field(120.0, description="how long a request waits for a running night to save its state and give way")
    record: bool = Field(True, description="keep conversations as transcripts for the next night")
    system_messages: Literal["ignore", "follow", "refuse"] = Field(
        "ignore", description="a client's own system message: `ignore` answers under the companion's, as it was trained; "
        "`follow` answers under the client's and keeps nothing of it for the night; `refuse` says so")


class Schedule(Section):
    timezone: str = Field("", description="IANA name, such as Europe/Berlin; empty takes the machine's own")
    dawn: TimeOfDay = Field(time(6), description="local time at which dawn begins, and no night may begin any more")
    day: TimeOfDay = Field(time(8), description="local time at which the day begins")
    dusk: TimeOfDay = Field(time(20), description="local time at which dusk begins")
    night: TimeOfDay = Field(time(22), description="local time from which on a night may begin")
    deep_night: TimeOfDay = Field(time(1), description="local time at which deep night begins")
    apart: Duration = Field(6 * 3600.0, description="least time between the end of one night and the beginning of another")
    least: Duration = Field(15 * 60.0, description="time a night must have until dawn; one that has less is not begun")
    idle_load: float = Field(0.5, gt=0, description="processes per core, over five minutes, up to which the device is idle")
    free_bytes: int = Field(2 << 30, ge=0, description="free disk space in bytes below which no night begins")
    on_battery: bool = Field(False, description="let nights run on battery")
    attempts: int = Field(3, ge=1, description="how often one night is begun where it breaks; giving way to a talk is free")
    pause: Duration = Field(3600.0, description="time until a night that stopped for heat, or broke, is tried again")
    settle: Duration = Field(10 * 60.0, description="time after a boot that an unsynchronised clock is given to be set")
    failed_nights: int = Field(3, ge=1, description="failed nights in a row that are said out loud")
    idle_nights: int = Field(7, ge=1, description="nights in a row with nothing to do that are said out loud")
    webhook: str = Field("", pattern=r"^(https?://\S+)?$", description="URL that is told in JSON of missed and failed nights; "
                         "empty tells nobody")
    command: str = Field("", description="shell command that is told of them: EDGE_SLEEP_ALARM has the kind, its input the words")

    @model_validator(mode="after")
    def _in_order(self) -> Schedule:
        names = ("dawn", "day", "dusk", "night", "deep_night")
        starts = [(at.hour * 60 + at.minute) for at in (getattr(self, name) for name in names)]
        lengths = [(after - before) % 1440 for before, after in zip(starts, [*starts[1:], starts[0]], strict=True)]
        if 0 in lengths or sum(lengths) != 1440:
            found = ", ".join(f"{name} {getattr(self, name):%H:%M}" for name in names)
            raise ValueError(f"the phases must follow each other within one day (found {found})")
        if (lengths[3] + lengths[4]) * 60 < self.least:
            raise ValueError(f"schedule.least ({self.least / 60:.0f} min) is longer than the whole night, from schedule.night to "
                             "schedule.dawn")
        return self


class Export(Section):
    kinds: tuple[Literal["adapter", "merged", "onnx", "gguf", "gguf-merged"], ...] = Field(
        (), description="what every promoting night makes for other runtimes, compared with the judged model")
    merged: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="type of a merged model's weights; auto is the base's own arithmetic")
    gguf: Literal["q8_0", "f16", "f32"] = Field("q8_0", description="form of the base for llama.cpp")
    onnx: Literal["int8", "k_quant_mixed", "fp32"] = Field(
        "int8", description="form of the base for ONNX Runtime; k_quant_mixed is smaller and wants a bigger machine to build it")
    passages: int = Field(48, ge=1, description="passages on which an artefact is compared with the judged model")
    kl: float = Field(1e-3, gt=0, description="largest mean KL divergence from the judged model, in nats a token")
    kl_share: Share = Field(0.01, description="the same as a share of what the adapter itself moves")
    kl_noise: float = Field(5e-5, ge=0, description="a divergence that is never too large: the judged model's own arithmetic "
                            "differs so much from machine to machine")
    top1: Share = Field(0.97, description="least share of tokens on which both would say the same")
    nll: float = Field(0.01, gt=0, description="largest change of the mean loss on the passages, in nats a token")


# Where a remote lies: a folder (NFS, USB, an rclone mount, Syncthing) or an app folder of Dropbox; empty is nowhere.
Place = Annotated[str, Field(pattern=r"^(|(folder|dropbox):/.*)$")]


class Sync(Section):
    remote: Place = Field("", description="where checkpoints travel: folder:/PATH or dropbox:/PATH; empty sends nothing anywhere")
    role: Literal["raising", "training", "development"] = Field(
        "raising", description="what this machine is: raising sends and receives, training sends, development receives")
    auto_upload: bool | None = Field(None, description="queue what a night accepted; null is as the role does")
    auto_download: bool | None = Field(None, description="fetch what other machines published; null is as the role does")
    bandwidth_bytes: int | None = Field(None, ge=1024, description="most bytes a second to send or fetch; null is no limit")
    timeout: Duration = Field(60.0, description="silence of a remote after which a transfer is tried again later")


class Thor(Section):
    mailbox: Place = Field("", description="where jobs for a bigger machine are put, as sync.remote; empty ships nothing")
    ship: Literal["never", "needed", "always"] = Field(
        "needed", description="when a night is trained elsewhere: needed is where this machine cannot do it in time and memory")
    wait: Duration = Field(0.0, description="how long the night waits for the result; 0 comes back for it next time")
    patience: Duration = Field(20 * 3600.0, description="time after which a job is taken back and tonight is done without it")
    lease: Duration = Field(10 * 60.0, description="silence of a worker after which another may take its job")
    bases: tuple[str, ...] = Field((), description="worker: model folders or hub ids it may train on")
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto", description="worker: processes that share one job, on a GPU each; auto is as many of the machine's GPUs as pay")
    engine: Literal["local", "ray"] = Field("local", description="worker: where it trains: here, or on a Ray cluster")
    ray_address: str = Field("auto", pattern=r"^(auto|[^\s:/]+:\d{1,5})$", description="worker: HOST:PORT of the cluster's head; "
                             "auto is the cluster that this machine is a node of")
    gpus: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "auto", description="worker on Ray: GPUs of one job; auto is one where the cluster has any, a share puts several on one")
    node_bytes: int = Field(0, ge=0, description="worker on Ray: memory of the largest node that the cluster may grow to; "
                            "0 counts those that are there")
    node_cache: str = Field("", description="worker on Ray: folder on each node where bases are placed once; empty is the user's "
                            "cache folder")
    metrics: str = Field("", pattern=r"^$|^([^\s:/]+:)?\d{1,5}$", description="worker: PORT on the loopback, or HOST:PORT, where "
                         "Prometheus reads its numbers; empty is none")


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    companion: Companion = Companion()
    data: Data = Data()
    quality: Quality = Quality()
    salience: Salience = Salience()
    replay: Replay = Replay()
    lora: Lora = Lora()
    train: Train = Train()
    budget: Budget = Budget()
    thermal: Thermal = Thermal()
    power: Power = Power()
    neighbours: Neighbours = Neighbours()
    gate: Gate = Gate()
    retention: Retention = Retention()
    serve: Serve = Serve()
    schedule: Schedule = Schedule()
    export: Export = Export()
    sync: Sync = Sync()
    thor: Thor = Thor()


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "steady": {},
    # The proposal's own settings (proposal.md, Phase 3): kept so that its effect can be measured.
    "gentle": {"lora": {"rank": 4, "alpha": 8, "targets": "q_proj,v_proj", "dropout": 0.05},
               "train": {"learning_rate": 1e-5, "epochs": 1}, "replay": {"share": 0.0}, "data": {"augment": 0}},
}


class _Yaml12(yaml.SafeLoader):
    """YAML 1.2 scalars: `22:00` stays text, `1e-4` is a number, `no` is a word."""


_Yaml12.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    _Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """YAML 1.1 read 010 as eight, and 08 as nothing."""
    return int(loader.construct_scalar(node))


_Yaml12.add_constructor("tag:yaml.org,2002:int", _decimal)

# What PyYAML raises besides its own: for a value that is not of its tag, a number of thousands of digits, nesting without end.
_NOT_YAML = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
_LARGEST_BYTES = 4 << 20
# A few lines of YAML can stand for gigabytes of text: what was found is said in a line.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 120, 120


def read_yaml(path: Path) -> Any:
    """The YAML 1.2 document at `path`; ConfigError where it cannot be read."""
    try:
        if (size := path.stat().st_size) > _LARGEST_BYTES:
            raise ConfigError([f"too large for settings: {size} bytes, at most {_LARGEST_BYTES} are read"], str(path))
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Yaml12)  # noqa: S506 - a SafeLoader
    except (OSError, *_NOT_YAML) as error:
        raise ConfigError([f"cannot be read: {str(error)[:500]}"], str(path)) from error


def _sections(document: Any, source: str) -> dict[str, dict]:
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(
            isinstance(key, str) and isinstance(value, dict) and all(isinstance(name, str) for name in value)
            for key, value in document.items()):
        raise ConfigError(["expected sections with keys, such as `train:` and under it `epochs: 6`"], source)
    return document


def parse_sets(sets: Iterable[str]) -> dict[str, dict]:
    """`section.key=value` strings to nested sections; values are read as YAML."""
    sections: dict[str, dict] = {}
    problems = []
    for item in sets:
        key, equals, value = item.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot or not name:
            problems.append(f"--set {item}: write it as section.key=value")
            continue
        try:
            sections.setdefault(section, {})[name] = yaml.load(value, Loader=_Yaml12)  # noqa: S506
        except _NOT_YAML as error:
            problems.append(f"--set {item[:200]}: {str(error)[:500]}")
    if problems:
        raise ConfigError(problems, "--set")
    return sections


def _merge(layers: Iterable[Mapping[str, Mapping]]) -> dict[str, dict]:
    merged: dict[str, dict] = {}
    for layer in layers:
        for section, keys in layer.items():
            merged.setdefault(section, {}).update(keys)
    return merged


def load(file: Path | None = None, sets: Iterable[str] = (), base_defaults: Path | None = None) -> Config:
    """The configuration from all layers.

    file: the home's edge-sleep.yaml (may be absent). sets: `section.key=value` strings.
    base_defaults: the YAML file that travels with the base. Raises ConfigError with every problem.
    """
    of_base = _sections(read_yaml(base_defaults), str(base_defaults)) if base_defaults else {}
    of_home = _sections(read_yaml(file), str(file)) if file and file.is_file() else {}
    of_sets = parse_sets(sets)
    preset = _merge([of_home, of_sets]).get("train", {}).get("preset", "steady")
    layers = [of_base, PRESETS.get(preset, {}) if isinstance(preset, str) else {}, of_home, of_sets]
    try:
        return Config.model_validate(_merge(layers))
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
                    + ("" if item["type"] in ("extra_forbidden", "missing") else f" (found {_SHORT.repr(item['input'])})")
                    for item in error.errors()]
        raise ConfigError(problems) from error
