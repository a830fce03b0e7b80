"""The fault campaign: without a model at a sample of all calls that write; with nights by command (`python -m tests.faults`)."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.ground import End
from tests.faults.table import Table, together

ROOT = Path(__file__).parents[2]
STRIDE = 97                                # of some 1,450 fates of calls: a few seconds


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def storage(stride: int) -> dict:
    done = command("tests.faults.storage", str(stride))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout[done.stdout.index("{"):])
    if "skipped" in found:
        pytest.skip(found["skipped"])
    return found


def test_a_sample_of_the_calls_that_write() -> None:
    found = storage(STRIDE)
    assert found["calls"] > 8 and not found["losses"]
    assert any("STORAGE" in end for end in found["ends"]) and any("killed" in end for end in found["ends"])


@pytest.mark.long
@pytest.mark.timeout(0)
def test_every_call_that_writes() -> None:
    assert storage(1)["calls"] > 1000


@pytest.mark.long
@pytest.mark.timeout(0)
def test_one_of_each_fault_on_real_nights(tmp_path: Path) -> None:
    done = command("tests.faults", "--seed", "7", "--rounds", "1", "--only", "kills,disk,files,clock,memory,two,network,jtop,sigterm", "--folder", str(tmp_path), "--table", str(tmp_path / "table.json"))
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    assert {row["kind"] for row in json.loads((tmp_path / "table.json").read_text())["rows"]} >= {"kill -9", "no more memory", "nights at once"}


@pytest.mark.long
@pytest.mark.timeout(0)
def test_the_whole_campaign(tmp_path: Path) -> None:
    """Hours. EDGE_SLEEP_FAULTS_SEED chooses another one."""
    done = command("tests.faults", "--seed", os.environ.get("EDGE_SLEEP_FAULTS_SEED", "1"), "--folder", str(tmp_path), "--table", "faults.md")
    assert done.returncode == 0, done.stdout[-20_000:]


@pytest.mark.parametrize("code, said, name, is_named", [
    (0, "", "OK", True), (21, "no space left", "STORAGE", True), (50, "a bug in edge_sleep", "BUG", False), (143, "", "128+SIGTERM", True),
    (0, "Traceback (most recent call last)", "BUG", False), (-9, "", "SIGKILL", False), (3, "", "exit 3", False)])
def test_only_promised_ends_have_a_name(code: int, said: str, name: str, is_named: bool) -> None:
    end = End(code, said)
    assert (end.name, end.named) == (name, is_named)


def test_the_table_counts_and_keeps_how_to_do_it_again(tmp_path: Path) -> None:
    table = Table()
    table.add("kill -9", "train", "SIGKILL", "OK", [], "kills round 1")
    table.add("kill -9", "train", "SIGKILL", "BUG", ["current.json is torn"], "kills round 2")
    assert table.losses == ["kills round 2: current.json is torn"]
    table.write(tmp_path / "x.md", {"seed": 1})
    table.write(tmp_path / "x.json", {"seed": 1})
    assert "| kill -9 | train | 2 | SIGKILL 2 | OK 1, BUG 1 | 1 |" in (tmp_path / "x.md").read_text()
    row, = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert row["tried"] == 2 and Counter(row["ends"]) == Counter(SIGKILL=2)
    both, = together([json.loads((tmp_path / "x.json").read_text())] * 2)
    assert (both.kind, both.target, both.tried, both.next["BUG"], len(both.losses)) == ("kill -9", "train", 4, 2, 2)
