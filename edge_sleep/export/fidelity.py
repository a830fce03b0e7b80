"""How far an artefact is from the model that was judged: divergence, agreement and loss on given tokens, and the verdict on it.

Pure functions of logits. The reference is the 4-bit base with the adapter on it, which the gate judged; beside it stands the base
alone, which says how much the adapter itself moves: a divergence is small or large only beside that.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from edge_sleep.config import Export


@dataclass(frozen=True)
class Fidelity:
    """Means over `tokens` positions. kl: KL(judged || artefact) in nats; top1: share with the same likeliest token;
    nll_*: loss on the next token in nats; moved: KL(judged || base alone), what the adapter itself does (None: there is none)."""

    tokens: int
    kl: float
    top1: float
    nll_judged: float
    nll_artefact: float
    moved: float | None = None

    @property
    def delta_nll(self) -> float:
        return self.nll_artefact - self.nll_judged

    def as_json(self) -> dict:
        return asdict(self) | {"delta_nll": self.delta_nll}


@dataclass(frozen=True)
class Bars:
    """The largest divergence: `kl`, or `kl_share` of what the adapter moves where that is less, but never below `kl_noise`."""

    kl: float = 1e-3
    kl_share: float = 0.01
    kl_noise: float = 5e-5
    top1: float = 0.97
    nll: float = 0.01

    @classmethod
    def of(cls, settings: Export) -> Bars:
        return cls(settings.kl, settings.kl_share, settings.kl_noise, settings.top1, settings.nll)

    def largest_kl(self, moved: float | None) -> float:
        return max(self.kl_noise, self.kl if moved is None else min(self.kl, self.kl_share * moved))


def verdict(found: Fidelity, bars: Bars) -> tuple[bool, list[str]]:
    """(whether the artefact may stand for the judged model, every reason against it)."""
    against = []
    largest = bars.largest_kl(found.moved)
    if not found.kl <= largest:                        # a NaN is not small
        against.append(f"it diverges by {found.kl:.2g} nats a token from the judged model; {largest:.2g} is allowed")
    if not found.top1 >= bars.top1:
        against.append(f"it would say the same next token at {found.top1:.1%} of the places; {bars.top1:.0%} is asked")
    if not abs(found.delta_nll) <= bars.nll:
        against.append(f"its loss differs by {found.delta_nll:+.4f} nats a token; {bars.nll} is allowed")
    return not against, against


def divergence(reference: Any, other: Any) -> Any:
    """KL(reference || other) in nats [T] of logits [T, V]."""
    import torch

    one, two = torch.log_softmax(reference.float(), -1), torch.log_softmax(other.float(), -1)
    return (one.exp() * (one - two)).sum(-1)


def compare(passages: Iterable[tuple[Any, Any, Any, Any | None]]) -> Fidelity:
    """Over (tokens [T], logits of the judged model [T, V], of the artefact [T, V], of the base or None), passage by passage.

    The logits at position t are for token t + 1; the last position has no next token and counts for divergence and agreement.
    Raises ValueError where there is nothing to compare.
    """
    import torch

    total: dict[str, float] = dict.fromkeys(("kl", "top1", "moved", "judged", "artefact"), 0.0)
    positions = predicted = 0
    with_base = True
    for ids, judged, artefact, base in passages:
        positions += len(ids)
        predicted += len(ids) - 1
        total["kl"] += divergence(judged, artefact).sum().item()
        total["top1"] += (judged.argmax(-1) == artefact.argmax(-1)).sum().item()
        for name, logits in (("judged", judged), ("artefact", artefact)):
            total[name] += torch.nn.functional.cross_entropy(logits[:-1].float(), ids[1:], reduction="sum").item()
        with_base = with_base and base is not None
        if base is not None:
            total["moved"] += divergence(judged, base).sum().item()
    if predicted < 1:
        raise ValueError("no passage of two tokens or more to compare on")
    # Rounding makes the divergence of equal logits a little less than nothing.
    kl, moved = (total[name] if not total[name] < 0 else 0.0 for name in ("kl", "moved"))
    return Fidelity(positions, kl / positions, total["top1"] / positions, total["judged"] / predicted,
                    total["artefact"] / predicted, moved / positions if with_base else None)


@dataclass(frozen=True)
class Canary:
    """A fixed prompt and what is said to it: logits of the judged model and of the base alone for the tokens that tell most."""

    ids: tuple[int, ...]
    tokens: tuple[int, ...]
    judged: tuple[float, ...]
    base: tuple[float, ...]

    def as_json(self) -> dict:
        return {key: list(value) for key, value in asdict(self).items()}

    @classmethod
    def read(cls, document: dict) -> Canary:
        return cls(*(tuple(document[key]) for key in ("ids", "tokens", "judged", "base")))

    @classmethod
    def of(cls, ids: Iterable[int], judged: Any, base: Any, most: int = 64) -> Canary:
        """From the logits [V] after `ids`: the tokens on which adapter and base differ most, and the judged model's likeliest."""
        judged, base = judged.float(), base.float()
        half = min(most // 2, len(judged))
        tokens = sorted({*(judged - base).abs().topk(half).indices.tolist(), *judged.topk(half).indices.tolist()})
        return cls(tuple(ids), tuple(tokens), tuple(judged[tokens].tolist()), tuple(base[tokens].tolist()))

    def wrong(self, logits: Any, adapted: bool) -> str | None:
        """Why these logits [V] after `ids` are not the judged model's; None where they are nearer to it than to the base alone.

        adapted: an adapter is in it. A runtime that silently leaves the adapter out answers as the base does.
        """
        import torch

        said = logits.float()[list(self.tokens)]
        to_judged = (said - torch.tensor(self.judged)).abs().mean().item()
        to_base = (said - torch.tensor(self.base)).abs().mean().item()
        if adapted and not to_judged < to_base:
            return (f"on the canary prompt it is {to_judged:.3g} from the judged model and {to_base:.3g} from the base without "
                    "adapter: the adapter does not speak in it")
        spread = torch.tensor(self.judged).std().item()
        if not to_judged <= 0.1 * spread:
            return f"on the canary prompt its logits are off by {to_judged:.3g} on average, where they spread by {spread:.3g}"
        return None
