"""How unexpected each answer is to the model that would learn it: the incumbent's own probability of the words."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_sleep.config import Config
from edge_sleep.data.dataset import tokenise
from edge_sleep.data.examples import conversation
from edge_sleep.data.experience import Example, Experience
from edge_sleep.data.salience import surprise_of
from edge_sleep.data.template import AnswerFrame
from edge_sleep.device.detect import Device
from edge_sleep.device.limit import felt
from edge_sleep.device.shortage import Portions
from edge_sleep.evaluate.answers import mean_loss
from edge_sleep.model import adapter
from edge_sleep.model.base import Base, load
from edge_sleep.model.head import LOSSES_AT_ONCE


def surprises(base: Base, device: Device, config: Config, incumbent: Path | None, experiences: Sequence[Experience],
              time_left: Callable[[], bool]) -> dict[str, float]:
    """Surprise in [0, 1) of each answer in its conversation, by experience id; those that time did not reach are left out.

    The model is loaded here and freed on return.
    """
    loaded = load(base, device)
    model: Any = loaded.model
    if incumbent is not None:
        model = adapter.attach_saved(model, incumbent, trainable=False)
    model.eval()
    frame = AnswerFrame.of(loaded.tokenizer, config.companion.system_prompt)
    asked = []
    for item in experiences:
        words = conversation(item.prompt, item.response, item.context)
        made = tokenise(loaded.tokenizer, Example(words, 1.0, "new", item.id, teaches_end=False), config.companion.system_prompt,
                        config.data.max_tokens, frame)
        if made is not None:
            asked.append((item.id, made))
    asked.sort(key=lambda entry: len(entry[1].ids))
    found: dict[str, float] = {}
    portions = Portions(LOSSES_AT_ONCE)
    with felt(device.kind, config.budget.memory_bytes):
        for start in range(0, len(asked), config.gate.batch):
            if not time_left():
                break
            part = asked[start:start + config.gate.batch]
            losses = mean_loss(model, [made for _, made in part], loaded.tokenizer.pad_token_id, portions)
            found.update({name: surprise_of(loss) for (name, _), loss in zip(part, losses, strict=True)})
    return found
