"""What a night learns from, and how."""
from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge_sleep.config.values import Duration, Reason, RedactKind, Section, Share


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
