"""What `prune` lets go of, what it never touches, and a kill at every one of its changes to the disk."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from edge_sleep.checkpoint import integrity, lineage, manifest, store
from edge_sleep.system import lock
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.files import canonical_json, write_json
from edge_sleep.system.home import Home

ROOT = Path(__file__).parents[2]
FILES = {"config.json": "c" * 64}
BASE = {"source": "seedling", "sha256": hashlib.sha256(canonical_json(FILES)).hexdigest()}
OWN_CACHE = f"base-{BASE['sha256'][:16]}-nf4.safetensors"
NOTHING = ("--set", "retention.daily=0", "--set", "retention.weekly=0", "--set", "retention.monthly=0")


def add(home: Home, identity: str, parent: str | None, day: int) -> None:
    folder = home.adapter(identity)
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(f"weights of {identity}".encode() * 10)
    (folder / "adapter_config.json").write_text("{}")
    manifest.write(folder, adapter_id=identity, base=BASE, parent=parent, night=f"202601{day:02}-030000",
                   created=f"2026-01-{day:02}T03:00:00+00:00", data={"sha256": "d" * 64, "experiences": ["e"]}, effect={})


def night(home: Home, day: int, candidate: str | None = None, parent: str | None = None) -> Path:
    folder = home.night(f"202601{day:02}-030000")
    folder.mkdir()
    write_json(folder / "record.json", {"format": 1, "night": folder.name, "outcome": "promoted", "exit_code": 0,
                                        "candidate": candidate, "parent": parent, "base": BASE, "data": {"sha256": "d" * 64}})
    (folder / "events.jsonl").write_text("{}\n" * 100)
    (folder / "telemetry.jsonl").write_text("{}\n" * 100)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose lineage is a1 - a2 - a3, with b2 - b3 grown on a1 and rolled back."""
    home = Home(tmp_path / "home").make()
    write_json(home.base, {"format": 1, **BASE, "files": FILES, "compute_dtype": "float32"})
    for identity, parent, day in (("a1", None, 1), ("b2", "a1", 2), ("b3", "b2", 3), ("a2", "a1", 4), ("a3", "a2", 5)):
        full = identity * 8
        add(home, full, parent and parent * 8, day)
        night(home, day, full, parent and parent * 8)
        store.promote(home, full, base=BASE, chat_template="t", system_prompt="s", night=f"202601{day:02}-030000",
                      clock=ManualClock(wall=datetime.fromisoformat(f"2026-01-{day:02}T04:00:00+00:00")))
    for kind, name in (("gguf", "a3" * 8), ("gguf", "a2" * 8), ("gguf", "b3" * 8), ("gguf", "a1" * 8), ("gguf", "base")):
        (home.exports / kind / name).mkdir(parents=True)
        (home.exports / kind / name / "model.gguf").write_bytes(b"x" * 1000)
    (home.cache / OWN_CACHE).write_bytes(b"x" * 500)
    (home.cache / "base-cccccccccccccccc-nf4.safetensors").write_bytes(b"x" * 700)
    (home.cache / ".tmp-base-half.1").write_bytes(b"x" * 100)
    return home


def files(home: Home) -> dict[str, bytes]:
    return {str(path.relative_to(home.root)): path.read_bytes() for path in sorted(home.root.rglob("*"))
            if path.is_file() and path.parent != home.state}


def fates(document: dict, kind: str) -> dict[str, bool]:
    return {item["name"]: item["kept"] for item in document["items"] if item["kind"] == kind}


def test_a_dry_run_says_what_would_go_and_touches_nothing(cli, home: Home) -> None:
    before = files(home)
    ran = cli("prune", "--home", home.root, "--dry-run", *NOTHING, "--set", "retention.nights=3", "--json")
    assert ran.code == 0 and ran.document["dry_run"] is True
    assert files(home) == before
    assert fates(ran.document, "adapter") == {"a3" * 8: True, "a2" * 8: True, "a1" * 8: True, "b2" * 8: False, "b3" * 8: False}
    assert fates(ran.document, "night") == {f"202601{day:02}-030000": day >= 3 for day in range(1, 6)}
    assert fates(ran.document, "export") == {"gguf/" + "a3" * 8: True, "gguf/" + "a2" * 8: True, "gguf/" + "a1" * 8: False,
                                             "gguf/" + "b3" * 8: False, "gguf/base": True}
    assert fates(ran.document, "cache") == {OWN_CACHE: True,
                                            "base-cccccccccccccccc-nf4.safetensors": False, ".tmp-base-half.1": False}
    assert all(item["reason"] for item in ran.document["items"])
    said = cli("prune", "--home", home.root, "--dry-run", *NOTHING).out
    assert "would remove" in said and f"removes  adapter  {'b3' * 8}" in said and "grew from it" in said


def test_what_was_said_to_go_goes_and_nothing_else(cli, home: Home) -> None:
    before = files(home)
    planned = cli("prune", "--home", home.root, "--dry-run", *NOTHING, "--set", "retention.nights=3", "--json").document
    ran = cli("prune", "--home", home.root, *NOTHING, "--set", "retention.nights=3", "--json")
    assert ran.code == 0 and ran.document["items"] == planned["items"]
    after = files(home)
    gone = {name: before[name] for name in set(before) - set(after) if not name.startswith("daily/")}
    assert ran.document["removed_bytes"] == planned["removed_bytes"] == sum(map(len, gone.values()))
    assert {name for name in before if name in after and before[name] != after[name]} == set()
    assert all((home.night(f"202601{day:02}-030000") / "record.json").is_file() for day in range(1, 6))
    assert sorted(file.stem for file in home.daily.iterdir()) == ["20260101", "20260104", "20260105"]
    assert lineage.ids(home, store.incumbent(home)) == ["a3" * 8, "a2" * 8, "a1" * 8]
    again = cli("prune", "--home", home.root, *NOTHING, "--set", "retention.nights=3", "--json").document
    assert again["removed_bytes"] == 0


def test_by_its_defaults_a_young_home_keeps_every_adapter(cli, home: Home) -> None:
    document = cli("prune", "--home", home.root, "--json").document
    assert all(fates(document, "adapter").values()) and all(fates(document, "night").values())


def test_the_current_adapter_stays_after_a_rollback(cli, home: Home) -> None:
    assert cli("rollback", "base", "--home", home.root).code == 0
    document = cli("prune", "--home", home.root, *NOTHING, "--json").document
    assert not any(fates(document, "adapter").values()) and list(home.adapters.iterdir()) == []
    assert store.current(home)["adapter"] is None and integrity.scan(home).problems == []
    assert cli("prune", "--home", home.root, *NOTHING, "--json").code == 0


def test_what_an_unfinished_night_needs_stays(cli, home: Home) -> None:
    state = home.night("20260106-030000") / "state"
    state.mkdir(parents=True)
    write_json(state / "plan.json", {"parent": "b2" * 8})
    document = cli("prune", "--home", home.root, *NOTHING, "--set", "retention.nights=0", "--json").document
    assert fates(document, "adapter")["b2" * 8] and not fates(document, "adapter")["b3" * 8]
    assert fates(document, "night")["20260106-030000"] and (state / "plan.json").is_file()
    assert fates(document, "night")["20260105-030000"], "it made the current adapter"


def test_an_adapter_whose_manifest_is_torn_stays_and_so_does_what_it_grew_from(cli, home: Home) -> None:
    (home.adapter("b3" * 8) / "manifest.json").write_text("{")
    assert fates(cli("prune", "--home", home.root, "--dry-run", *NOTHING, "--json").document, "adapter")["b2" * 8]
    (home.night("20260103-030000") / "record.json").unlink()         # now nothing tells what it grew from
    document = cli("prune", "--home", home.root, *NOTHING, "--json").document
    assert all(fates(document, "adapter").values())


def test_where_the_pointer_points_nowhere_nothing_is_pruned(cli, home: Home) -> None:
    shutil.rmtree(home.adapter("a3" * 8))
    before = files(home)
    ran = cli("prune", "--home", home.root, *NOTHING)
    assert ran.code == 30 and "nothing is pruned" in ran.err
    home.current.write_text("{")
    assert cli("prune", "--home", home.root, *NOTHING).code == 30
    home.current.write_bytes(before["current.json"])
    assert files(home) == before


def test_a_night_that_runs_is_left_alone(cli, home: Home) -> None:
    (home.adapters / ".tmp-being-written").mkdir()
    before = files(home)
    with lock.hold(home.night_lock, "a night"):
        assert cli("prune", "--home", home.root, *NOTHING).code == 17
        assert (home.adapters / ".tmp-being-written").is_dir(), "it is the night's"
        assert cli("prune", "--home", home.root, "--dry-run", *NOTHING).code == 0
    assert files(home) == before
    home.make()
    assert not (home.adapters / ".tmp-being-written").exists()


def test_after_a_real_night_the_next_session_loads_the_same(cli, micro_home) -> None:
    before = json.loads((micro_home.root / "current.json").read_text())
    assert cli("prune", "--home", micro_home.root, *NOTHING, "--json").code == 0
    assert cli("current", "--home", micro_home.root, "--json").document == before
    assert (micro_home.root / "adapters" / before["adapter"]["id"] / "manifest.json").is_file()


KILLED_AT_EVERY_CHANGE = """
import os, shutil, signal, sys
from pathlib import Path
from edge_sleep.cli.main import run
source, target = Path(sys.argv[1]), Path(sys.argv[2])
number = 0
while True:
    home = target / str(number)
    shutil.copytree(source, home)
    child = os.fork()
    if child == 0:
        left = [number]
        def watch(event, given):
            if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") or event == "open" and given[2] & (os.O_WRONLY | os.O_RDWR):
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
        sys.addaudithook(watch)
        os._exit(run(["prune", "--home", str(home), *sys.argv[3:]]))
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
    number += 1
"""


def test_killed_at_any_instant_it_leaves_a_consistent_home(home: Home, tmp_path: Path, cli) -> None:
    cuts = tmp_path / "cuts"
    done = subprocess.run([sys.executable, "-c", KILLED_AT_EVERY_CHANGE, home.root, cuts, *NOTHING, "--set", "retention.nights=1"],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    homes = sorted(cuts.iterdir(), key=lambda path: int(path.name))
    assert len(homes) > 20
    whole = files(Home(homes[-1]))
    for cut in map(Home, homes[:-1]):
        assert integrity.scan(cut).problems == [], cut.root
        assert store.last_good(cut) == ("a3" * 8, [])
        for identity in manifest.readable(cut):
            lineage.ids(cut, identity)                          # raises where a parent is missing
        assert cli("prune", "--home", cut.root, *NOTHING, "--set", "retention.nights=1").code == 0
        assert files(cut) == whole, cut.root


def test_killed_from_outside(home: Home) -> None:
    """The same by the clock: whatever it was doing."""
    child = subprocess.Popen([sys.executable, "-m", "edge_sleep", "prune", "--home", home.root, *NOTHING], cwd=ROOT,
                             stdout=subprocess.DEVNULL)
    while (home.adapter("b3" * 8)).exists() and child.poll() is None:
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not home.adapter("b3" * 8).exists()
    assert integrity.scan(home.make()).problems == [] and store.last_good(home) == ("a3" * 8, [])
    assert not lock.is_held(home.night_lock)
