"""What runs while an image is built, and what says whether a container is well."""
from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
BOOT = "1b1f6d1e-0000-4000-8000-000000000000"


def script(name: str) -> ModuleType:
    """A script of docker/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docker_{name}", ROOT / "docker" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


health, built_for, requirements = script("health"), script("built_for"), script("requirements")


@pytest.mark.parametrize("wanted, cuda, fits", [
    ("12.6", "12.6", True), ("12.6", "12.8", False), ("12.6", None, False), ("13", "13.2", True), ("13", "13.0", True), ("13", "12.6", False),
    ("1", "13.0", False), ("none", None, True), ("none", "13.0", False)])
def test_a_torch_for_something_else_ends_the_build(wanted: str, cuda: str | None, fits: bool) -> None:
    said = built_for.problem(wanted, "2.8.0", cuda)
    assert (said is None) == fits
    assert fits or ("TORCH_INDEX" in said and (cuda or "no GPU") in said)


def test_what_torch_was_built_with_is_read_without_loading_it(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise ImportError('libcuda.so.1: cannot open shared object file')")
    (tmp_path / "torch/version.py").write_text("__version__ = '2.8.0'\ncuda: str = '12.6'\n")
    for wanted, code in (("12.6", 0), ("13", 1)):
        done = subprocess.run([sys.executable, str(ROOT / "docker/built_for.py"), wanted], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": str(tmp_path)})
        assert done.returncode == code, done.stderr
    assert "CUDA 13 was asked for" in done.stderr


def test_the_requirements_are_setup_cfgs() -> None:
    setup = (ROOT / "setup.cfg").read_text()
    plain, more = requirements.wanted(setup, []), requirements.wanted(setup, ["serve", "onnx"], "7.2.2")
    assert "torch>=2.6" in plain and not [line for line in plain if "jetson" in line or "starlette" in line]
    assert set(plain) < set(more) and "starlette>=0.46" in more and more[-1] == "jetson-stats==7.2.2"
    with pytest.raises(SystemExit, match="no extra speech; choose from jetson"):
        requirements.wanted(setup, ["speech"])


@pytest.mark.parametrize("arguments, free", [(("", ""), set()), (("bitsandbytes==0.46.1", ""), {"bitsandbytes"}),
                                             (("", "7.1.0"), {"jetson-stats"})])
def test_only_what_comes_from_elsewhere_is_not_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, free: set[str]) -> None:
    for name in ("setup.cfg", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.chdir(tmp_path)
    requirements.main(*arguments, "serve")
    kept = set((tmp_path / "pinned.txt").read_text().splitlines())
    assert {line.partition("==")[0] for line in set((ROOT / "constraints.txt").read_text().splitlines()) - kept} == free
    assert ("jetson-stats==7.1.0" in (tmp_path / "wanted.txt").read_text()) == (arguments[1] != "")


def status(**more) -> dict:
    return {"home": "/home/edge-sleep/companion", "exists": True, "problems": [], **more}


@pytest.mark.parametrize("document, watching, age, words", [
    (status(), True, 30.0, None), (status(), True, 1200.0, None), (status(), True, 1300.0, "not looked for 22 min"),
    (status(), True, None, "not looked since this boot"), (status(), False, None, None), (status(exists=False), False, None, None),
    (status(exists=False), True, None, "no home at /home/edge-sleep/companion"),
    (status(problems=["current.json is damaged"]), False, None, "current.json is damaged")])
def test_well_or_not(document: dict, watching: bool, age: float | None, words: str | None) -> None:
    said = health.problem(document, watching, age)
    assert said is None if words is None else words in said


def test_the_age_of_a_book_is_that_of_this_boot(tmp_path: Path) -> None:
    book = tmp_path / "rhythm.json"
    assert health.since_look(book, BOOT, 900.0) is None
    book.write_text(json.dumps({"format": 1, "at": {"wall": 1.0, "since_boot": 600.0, "boot": BOOT}}))
    assert health.since_look(book, BOOT, 900.0) == 300.0
    assert health.since_look(book, "another", 900.0) is None
    for broken in ("", "[]", '{"at": null}'):
        book.write_text(broken)
        assert health.since_look(book, BOOT, 900.0) is None


def test_it_reads_what_a_watcher_wrote(tmp_path: Path) -> None:
    """The book as `watch` writes it, the document as `status` prints it."""
    program = tmp_path / "bin" / "edge-sleep"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edge_sleep "$@"\n')
    program.chmod(0o755)
    home = tmp_path / "home"
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "EDGE_SLEEP_HOME": str(home)}
    subprocess.run([str(program), "watch", "--once"], env=environment, capture_output=True)
    assert health.since_look(home / "state/rhythm.json", Path("/proc/sys/kernel/random/boot_id").read_text().strip(), 1e12) is not None
    done = subprocess.run([sys.executable, str(ROOT / "docker/health.py")], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
    (home / "edge-sleep.yaml").write_text("schedule: {nihgt: 1}\n")
    done = subprocess.run([sys.executable, str(ROOT / "docker/health.py")], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "nihgt" in done.stdout
