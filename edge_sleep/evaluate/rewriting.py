"""The incumbent rewords tonight's prompts before it learns from them."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_sleep.config import Config
from edge_sleep.data.augment.paraphrase import paraphrases
from edge_sleep.data.augment.rewording import Wording
from edge_sleep.data.experience import Experience, Message
from edge_sleep.data.quality import History
from edge_sleep.device.detect import Device
from edge_sleep.device.limit import felt
from edge_sleep.device.shortage import Portions
from edge_sleep.evaluate.answers import generate
from edge_sleep.model import adapter
from edge_sleep.model.base import Base, load


def rewrite(base: Base, device: Device, config: Config, incumbent: Path | None, experiences: Sequence[Experience],
            history: History, time_left: Callable[[], bool]) -> dict[str, list[Wording]]:
    """Wordings by the model that was served last, checked, by experience id; greedy, so that trying again gives the same.

    The model is loaded here and freed on return.
    """
    loaded = load(base, device)
    model: Any = loaded.model
    if incumbent is not None:
        model = adapter.attach_saved(model, incumbent, trainable=False)
    model.eval()
    portions = Portions(config.gate.batch)

    def ask(prompts: list[str]) -> list[str]:
        talks = [[Message(role="user", content=prompt)] for prompt in prompts]
        return [text for text, _ in generate(model, loaded.tokenizer, talks, config.companion.system_prompt,
                                             config.gate.max_new_tokens, portions)]

    with felt(device.kind, config.budget.memory_bytes):
        return paraphrases(experiences, config.data.self_paraphrase, ask, history=history, quality=config.quality,
                           time_left=time_left, batch=config.gate.batch)
