"""Several processes, one training: each step's examples are divided, their gradients summed, and process 0 decides for all.

`accelerate launch` and torchrun start the processes and say in their environment which is which. Process 0 runs the whole
night; the others wait for the trainings it announces, take part in them, and end (`wait_for_work`).
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
# A process waits through all that process 0 does alone; one that dies closes its connections, which is noticed at once.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Team:
    """The processes of one training as one of them sees it; alone, nothing is sent."""

    rank: int = 0
    size: int = 1
    device: str | None = None           # this process's own, where there are several

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Every `size`th item: of sorted ones, each process gets as much work as any other."""
        return items if self.size == 1 else items[self.rank::self.size]

    def decided(self, decide: Callable[[], T]) -> T:
        """What `decide` returns in process 0, in every process."""
        if self.size == 1:
            return decide()
        from accelerate.utils import broadcast_object_list

        said = [decide() if self.leads else None]
        broadcast_object_list(said, from_process=0)
        return said[0]  # type: ignore[return-value]

    def first_said(self, word: str | None, device: Any) -> str | None:
        """`word` of the first process that has one."""
        if self.size == 1:
            return word
        import torch
        from accelerate.utils import gather_object

        if not self.sum(torch.tensor([float(word is not None)], device=device)).item():
            return None
        return next(said for said in gather_object([word]) if said is not None)

    def sum(self, values: Any) -> Any:
        """The tensor of all processes added up, in place."""
        if self.size > 1:
            import torch

            torch.distributed.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Mapping[str, Any], loss: float, device: Any) -> float:
        """Leave the summed gradients in `parameters` and return the summed loss, in one exchange of float32 numbers.

        A gradient that arrived nowhere stays None; one that arrived in another process only counts as 0 here.
        """
        if self.size == 1:
            return loss
        import torch

        there = [float(value.grad is not None) for value in parameters.values()]
        parts = [torch.zeros_like(value) if value.grad is None else value.grad for value in parameters.values()]
        numbers = torch.tensor([*there, loss], device=device)
        everything = self.sum(torch.cat([*(part.float().flatten() for part in parts), numbers]))
        *gradients, arrived, total = everything.split([*(part.numel() for part in parts), len(parts), 1])
        for value, gradient, somewhere in zip(parameters.values(), gradients, arrived.tolist(), strict=True):
            value.grad = gradient.view_as(value).to(value.dtype).clone() if somewhere else None
        return total.item()

    def seed_for(self, seed: int, step: int) -> None:
        """Other chances than process 0 has, the same in every run of this step: only process 0's random state is saved."""
        if not self.leads:
            import torch

            torch.manual_seed(seed + 1_000_003 * (step + 1) + self.rank)


ALONE = Team()


_dismissed = [False]


def several() -> bool:
    """Whether this process is one of several that were started together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def helps() -> bool:
    """Whether another process leads."""
    return several() and int(os.environ.get("RANK", "0")) > 0


def on_this_machine() -> int:
    """Processes of this team here; on a CPU they share its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE", "1"))


def gather(cuda: bool) -> Team:
    """All processes that were started together, connected; blocks until each of them has come here."""
    if not several() or _dismissed[0]:
        return ALONE
    from accelerate import PartialState

    state = PartialState(cpu=not cuda, timeout=_PATIENCE)
    return Team(state.process_index, state.num_processes, str(state.device))


def announced(cuda: bool) -> Iterator[tuple[Team, Any]]:
    """(team, work) for each work that process 0 announces, until it says that there is no more."""
    import torch

    team = gather(cuda)
    while (work := team.decided(lambda: None)) is not None:
        yield team, work
    with suppress(RuntimeError):           # process 0 leaves once all have come here, perhaps before its last word arrived
        torch.distributed.barrier()


def dismiss(cuda: bool) -> None:
    """Process 0: there is no more work. The others end, and this one is alone from now on."""
    team = gather(cuda)
    if team.size > 1:
        import torch

        team.decided(lambda: None)
        torch.distributed.barrier()        # what was said must have been heard before the connection goes
        torch.distributed.destroy_process_group()
        _dismissed[0] = True
