"""Two processes over gloo take the steps of one: the same losses and weights, the same decisions."""
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edge_sleep.train.team import ALONE, Team
from tests import micro
from tests.train.test_loop import BATCHES_OF_FOUR, run, weights, without_dropout
from tests.train.two import OTHERWISE

ROOT = Path(__file__).parent.parent.parent


def start(command: list[str], ranks: int = 2) -> list[subprocess.Popen]:
    """The command in `ranks` processes, with the environment that accelerate and torchrun give them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    around = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks),
              "LOCAL_WORLD_SIZE": str(ranks), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return [subprocess.Popen([sys.executable, *command], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env={**around, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(ranks)]


def ends(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    return [(process.returncode, out, err) for process in processes for out, err in (process.communicate(timeout=120),)]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """By case, what it gave in each of the two processes."""
    folder = tmp_path_factory.mktemp("two")
    results = ends(start(["-m", "tests.train.two", str(folder)]))
    assert [code for code, _, _ in results] == [0, 0], results
    return {case: [((torch.load(weights) if (weights := folder / f"{case}-{rank}.pt").is_file() else None),
                    json.loads((folder / f"{case}-{rank}.json").read_text())) for rank in (0, 1)] for case in OTHERWISE}


@pytest.fixture(scope="module")
def alone():
    return run(settings=BATCHES_OF_FOUR, loss_of=without_dropout)


def test_two_processes_take_the_steps_of_one(both, alone):
    (first, said), (second, also) = both["plain"]
    assert torch.equal(first, second) and said["losses"] == also["losses"]
    # float32 sums over the same handful of examples in another order
    torch.testing.assert_close(first, weights(alone[0]), rtol=0, atol=1e-6)
    assert said["losses"] == pytest.approx(alone[1].progress.losses, abs=1e-6)


def test_memory_that_runs_out_in_one_shrinks_both(both, alone):
    (first, said), (second, also) = both["memory"]
    assert said["shown"] == also["shown"] == [[0, 2, "the allocator"], [0, 1, "the allocator"]], "four are one process's share"
    assert torch.equal(first, second) and said["micro_batch"] == also["micro_batch"] == 1
    torch.testing.assert_close(first, weights(alone[0]), rtol=0, atol=1e-6)


def test_two_processes_resume_to_the_same_bits(both):
    """With dropout: the first process saves its random state, the other's is a function of the step."""
    (whole, said), (other, _) = both["dropout"]
    (resumed, again), (resumed_other, also) = both["resumed"]
    assert torch.equal(whole, other) and torch.equal(whole, resumed) and torch.equal(whole, resumed_other)
    assert said["losses"] == again["losses"] == also["losses"] and again["saved"]


def test_two_processes_stop_early_together(both):
    (first, said), (second, also) = both["watched"]
    assert said["held_out"] == also["held_out"] and len(said["held_out"]) > 1 and said["stop"] == also["stop"]
    assert torch.equal(first, second)


def test_a_loss_that_is_not_finite_in_one_stops_both(both):
    assert all("not finite" in said["error"] for _, said in both["nan"])


def test_alone_nothing_is_shared():
    assert ALONE.leads and ALONE.share([3, 1, 2]) == [3, 1, 2] and ALONE.decided(lambda: 7) == 7
    value = torch.ones(2)
    assert ALONE.sum(value) is value and ALONE.first_said("x", "cpu") == "x" and ALONE.sum_gradients({}, 0.5, "cpu") == 0.5


def test_every_item_is_some_processes_share():
    items = list(range(7))
    shares = [Team(rank, 3).share(items) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == items and {len(share) for share in shares} == {2, 3}
    assert Team(2, 3).share([5]) == [], "a process without an example adds nothing"


@pytest.mark.night
def test_a_whole_night_on_two_processes_is_the_night_of_one(micro_home, tmp_path):
    """As `torchrun --nproc_per_node 2 -m edge_sleep night ...` starts it."""
    exact = "companion.compute_dtype=float32"
    command = ["-m", "edge_sleep", "night", "--home", str(tmp_path / "two"), "--model", str(micro_home.model), "--json",
               "--sessions", str(micro_home.sessions), *(word for item in (*micro.SETS, exact) for word in ("--set", item))]
    both = start(command)
    alone = micro.night(tmp_path / "one", micro_home.model, micro_home.sessions, exact)
    (code, out, err), (helped, silence, _) = ends(both)
    assert (code, helped, silence) == (0, 0, ""), err
    record = json.loads(out.splitlines()[-1])
    assert (record["outcome"], record["train"]["processes"], alone["train"]["processes"]) == ("promoted", 2, 1)
    assert record["train"]["loss_last"] == pytest.approx(alone["train"]["loss_last"], rel=1e-5)
    found, expected = (load_file(next((tmp_path / home).glob("adapters/*/adapter_model.safetensors"))) for home in ("two", "one"))
    for name, value in expected.items():
        # Twelve steps of AdamW at 5e-3 turn a gradient's last bits into 3e-7.
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-5)


@pytest.mark.long
def test_two_processes_train_every_candidate_together(micro_home, tmp_path):
    """As `torchrun --nproc_per_node 2 -m edge_sleep night --candidates 2 ...` starts it."""
    command = ["-m", "edge_sleep", "night", "--home", str(tmp_path / "both"), "--model", str(micro_home.model), "--json",
               "--sessions", str(micro_home.sessions), "--candidates", "2", *(word for item in micro.SETS for word in ("--set", item))]
    (code, out, err), (helped, silence, _) = ends(start(command))
    assert (code, helped, silence) == (0, 0, ""), err
    record = json.loads(out.splitlines()[-1])
    assert (record["outcome"], record["train"]["processes"]) == ("promoted", 2)
    events = [json.loads(line) for line in next((tmp_path / "both").glob("nights/*/events.jsonl")).read_text().splitlines()]
    assert sum(event["event"] == "loaded" for event in events) >= 2, "each candidate was trained"
