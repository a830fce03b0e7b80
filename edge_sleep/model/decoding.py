"""One token after another from a runtime that keeps what it has read: greedy, or drawn by temperature and top-p."""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol

Pick = Callable[[Any], int]                # logits [V], float32 on the CPU -> the next token


class Reader(Protocol):
    """A loaded model that remembers what it was fed."""

    def restart(self) -> None:
        """Forget what was fed."""

    def feed(self, ids: Sequence[int]) -> Any:
        """Logits [V] for what follows everything fed since `restart`, these ids last."""


def likeliest(logits: Any) -> int:
    return int(logits.argmax())


def drawn(temperature: float, top_p: float, seed: int | None) -> Pick:
    """Draw from softmax(logits / temperature), cut to the likeliest tokens that together reach top_p (Holtzman et al. 2020)."""
    import torch

    source = torch.Generator()
    if seed is None:
        source.seed()
    else:
        source.manual_seed(seed)

    def pick(logits: Any) -> int:
        shares, tokens = torch.softmax(logits.float() / temperature, -1).sort(descending=True)
        # What comes before a token decides whether it is still in: the likeliest always is.
        shares[shares.cumsum(-1) - shares >= top_p] = 0.0
        return int(tokens[torch.multinomial(shares, 1, generator=source)])

    return pick


def continuation(model: Reader, ids: Sequence[int], most: int, pick: Pick = likeliest) -> Iterator[int]:
    """Up to `most` tokens after `ids`; nothing is computed for a token that nobody asks for."""
    model.restart()
    given: Sequence[int] = ids
    for _ in range(most):
        token = pick(model.feed(given))
        yield token
        given = [token]


def greedy(model: Reader, ids: Sequence[int], most: int, ends: Collection[int] = ()) -> list[int]:
    """The likeliest continuation, at most `most` tokens, ending with one of `ends` where that comes."""
    said: list[int] = []
    for token in continuation(model, ids, most):
        said.append(token)
        if token in ends:
            break
    return said
