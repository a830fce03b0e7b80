"""What a session loads: the current adapter on its base, proven, and knowing what it is."""
from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from edge_sleep.checkpoint import store
from edge_sleep.config import Config
from edge_sleep.data.experience import Message
from edge_sleep.data.template import prompt_text
from edge_sleep.device import detect
from edge_sleep.errors import UsageError
from edge_sleep.model import adapter
from edge_sleep.model import base as base_model
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

RUNTIME = "transformers"


class Session:
    """A live model. `identity` is read from it after the last fallback, never from a flag."""

    def __init__(self, model: Any, tokenizer: Any, base: base_model.Base, adapter_id: str | None,
                 system_prompt: str, max_new_tokens: int, problems: Sequence[str] = ()):
        self.model = model
        self.tokenizer = tokenizer
        self.base = base
        self.system_prompt = system_prompt
        self.max_new_tokens = max_new_tokens
        self.problems = tuple(problems)        # why an earlier adapter than the current one answers
        self._adapter_id = adapter_id

    @property
    def identity(self) -> dict[str, Any]:
        if self.model is None:
            raise UsageError("this session is closed: nothing is loaded that could be named")
        active = getattr(self.model, "active_adapters", None) if self._adapter_id else None
        return {"base": self.base.sha256, "adapter": self._adapter_id if active else None,
                "template": store.text_sha256(self.tokenizer.chat_template),
                "system_prompt": store.text_sha256(self.system_prompt),
                "device": str(self.model.device), "runtime": RUNTIME, "quantisation": self.base.quantisation,
                "artefact_sha256": None}

    def answer(self, messages: Sequence[Message], on_text: Callable[[str], None] | None = None) -> str:
        """The companion's answer to a conversation (without system message); on_text receives it as it grows."""
        import torch

        inputs = self.tokenizer(prompt_text(self.tokenizer, messages, self.system_prompt), return_tensors="pt",
                                add_special_tokens=False).to(self.model.device)
        settings = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"], "do_sample": False,
                    "temperature": None, "top_p": None, "top_k": None, "max_new_tokens": self.max_new_tokens,
                    "pad_token_id": self.tokenizer.pad_token_id}
        if on_text is None:
            with torch.inference_mode():
                output = self.model.generate(**settings)
            return self.tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True).strip()
        return self._stream(settings, on_text)

    def _stream(self, settings: dict, on_text: Callable[[str], None]) -> str:
        from transformers import TextIteratorStreamer

        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        failures: list[BaseException] = []

        def work() -> None:
            try:
                self.model.generate(**settings, streamer=streamer)
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread below
                failures.append(error)
                streamer.end()

        thread = threading.Thread(target=work)
        thread.start()
        parts = []
        for text in streamer:
            parts.append(text)
            on_text(text)
        thread.join()
        if failures:
            raise failures[0]
        return "".join(parts).strip()

    def close(self) -> None:
        """Free the weights."""
        self.model = None


def load_current(home: Home, config: Config, *, max_new_tokens: int = 200) -> Session:
    """Load what current.json names; where that is not whole, the last good one, by name.

    Raises UsageError for a home without a base, IntegrityError where the base itself is not what it was.
    """
    base = base_of(home, config)
    good, problems = store.last_good(home) if home.current.is_file() else (None, [])
    if problems:
        problems.append(f"{f'adapter {good}' if good else 'the base as it is'} answers instead, the last good one it grew from")
    loaded = base_model.load(base, detect.choose())
    model: Any = loaded.model
    if good is not None:
        model = adapter.attach_saved(model, home.adapter(good), trainable=False)
    model.eval()
    return Session(model, loaded.tokenizer, base, good, config.companion.system_prompt, max_new_tokens, problems)


def base_of(home: Home, config: Config) -> base_model.Base:
    """The home's base, whose weights hash to what the home was bound to; nothing is written for one that is not bound yet."""
    if not home.base.is_file():
        return _undeclared(home, config)
    place = base_model.resolve(config.companion.model, config.companion.allow_download)
    return base_model.declare(home, place, detect.choose(config.companion.compute_dtype), Clock().stamp())


def _undeclared(home: Home, config: Config) -> base_model.Base:
    """The base of a home that has not had a night: nothing is written for a first chat."""
    if not home.exists():
        raise UsageError(f"there is no home at {home.root}", "run a night first, or name another --home")
    place = base_model.resolve(config.companion.model, config.companion.allow_download)
    sha256, _ = base_model.fingerprint(place)
    return base_model.Base(place, sha256, detect.choose(config.companion.compute_dtype).compute_dtype)
