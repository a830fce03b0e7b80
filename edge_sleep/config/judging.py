"""What a night's work is held to, what is kept of it, and what is made of it for other runtimes."""
from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_sleep.config.values import Section, Share


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
