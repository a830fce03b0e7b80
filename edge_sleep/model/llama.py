"""A GGUF file in llama.cpp, with the day's adapter in it."""
from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sleep.errors import DeviceError, IntegrityError

_BATCH = 512                               # tokens of a prompt that are computed at once


def library() -> Any:
    """llama-cpp-python. Raises DeviceError where it is missing."""
    try:
        import llama_cpp
    except ImportError:
        raise DeviceError("llama-cpp-python is not installed: llama.cpp cannot be run from here",
                          "`pip install llama-cpp-python` (it is compiled: minutes), or use llama.cpp itself") from None
    return llama_cpp


class LlamaModel:
    """One model file; `use` changes the adapter beside it between two calls."""

    def __init__(self, file: Path, adapter: Path | None = None, *, context: int = 512, threads: int = 0,
                 every: bool = True):
        """context: tokens that it can hold; threads: 0 is the library's default; every: keep the logits of all of them, as
        `logits` needs, not of the last alone. Raises IntegrityError as `use` does."""
        self._lib = library()
        self.file = file
        self.adapter: Path | None = None
        self._held: Any = None
        options: dict[str, Any] = {"n_threads": threads, "n_threads_batch": threads} if threads else {}
        batch = context if every else min(context, _BATCH)
        try:
            self._llama = self._lib.Llama(str(file), n_ctx=context, n_batch=batch, n_ubatch=batch, logits_all=every,
                                          verbose=False, **options)
        except (ValueError, RuntimeError, AssertionError) as error:
            raise IntegrityError(f"llama.cpp does not load {file.name}: {error}", "`edge-sleep export` makes it again") from error
        if adapter is not None:
            self.use(adapter)

    def use(self, adapter: Path | None) -> None:
        """Speak with this adapter from the next call on; None: the base alone. Raises IntegrityError where one does not load."""
        held = None
        if adapter is not None:
            # The library's own `lora_path` takes a file that does not load for one that changes nothing, and says so to nobody.
            held = self._lib.llama_adapter_lora_init(self._llama.model, str(adapter).encode())
            if not held:
                raise IntegrityError(f"llama.cpp does not load {adapter.name} beside {self.file.name}",
                                     "`edge-sleep export --to gguf` makes it again")
        many = 1 if held else 0
        if self._lib.llama_set_adapters_lora(self._llama.ctx, (self._lib.llama_adapter_lora_p_ctypes * 1)(held), many,
                                             (ctypes.c_float * 1)(1.0)):
            raise IntegrityError(f"llama.cpp does not take {adapter and adapter.name}",
                                 "`edge-sleep export --to gguf` makes it again")
        if self._held:
            self._lib.llama_adapter_lora_free(self._held)
        self.adapter, self._held = adapter, held
        self._llama.reset()

    def logits(self, ids: Sequence[int]) -> Any:
        """Logits [T, V] after each of `ids`, as a torch tensor."""
        import torch

        self._llama.reset()
        self._llama.eval(list(ids))
        return torch.from_numpy(self._llama.scores[:len(ids)].copy())

    def restart(self) -> None:
        """Forget what was fed."""
        self._llama.reset()

    def feed(self, ids: Sequence[int]) -> Any:
        """Logits [V], float32, for what follows everything fed since `restart`, these ids last."""
        import numpy as np
        import torch

        self._llama.eval(list(ids))
        last = self._llama._ctx.get_logits_ith(-1)         # llama.cpp's own buffer, which the next token overwrites
        return torch.from_numpy(np.ctypeslib.as_array(last, shape=(self._llama.n_vocab(),)).copy())

    def tokens(self, text: str) -> list[int]:
        """As llama.cpp cuts a text up, control tokens recognised and none added."""
        return list(self._llama.tokenize(text.encode(), add_bos=False, special=True))

    def close(self) -> None:
        """Free the weights; the adapter goes with them."""
        self._held = None
        self._llama.close()
