"""One of two processes that train together: `python -m tests.train.two FOLDER`, started by test_team.py."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from edge_sleep.errors import ModelError
from edge_sleep.train import state, team
from tests.train.test_loop import BATCHES_OF_FOUR, EXAMPLES, Short, loss_of, run, weights, without_dropout

OTHERWISE = {
    "plain": {}, "dropout": {"loss_of": loss_of}, "resumed": {"loss_of": loss_of},
    "watched": {"settings": BATCHES_OF_FOUR.model_copy(update={"patience": 1}), "held_out": EXAMPLES[:3]},
    "memory": {"loss_of": Short(1, torch.OutOfMemoryError("out of memory"))},
    "nan": {"loss_of": lambda *given: without_dropout(*given) * float("nan")}}
ONLY_IN_THE_SECOND = ("memory", "nan")


def main(folder: Path) -> None:
    together = team.gather(cuda=False)
    for case, otherwise in OTHERWISE.items():
        shown: list = []
        arguments: dict = {"team": together, "settings": BATCHES_OF_FOUR, "loss_of": without_dropout,
                           "on_shrink": lambda progress, who, shown=shown: shown.append([progress.step, progress.micro_batch, who])}
        if together.rank == 1 or case not in ONLY_IN_THE_SECOND:
            arguments |= otherwise
        if case == "resumed":
            run(folder / case, stop_at=2, **arguments)
            torch.distributed.barrier()
        try:
            model, training = run(folder / case, resume=case == "resumed", **arguments)
        except ModelError as error:
            said = {"error": error.message}
        else:
            torch.save(weights(model), folder / f"{case}-{together.rank}.pt")
            said = {"losses": training.progress.losses, "shown": shown, "stop": training.stop.value,
                    "held_out": training.progress.held_out, "saved": state.latest(folder / case) is not None,
                    "micro_batch": training.progress.micro_batch}
        (folder / f"{case}-{together.rank}.json").write_text(json.dumps(said))
    torch.distributed.barrier()        # the first process holds the store that the other still reads from
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
