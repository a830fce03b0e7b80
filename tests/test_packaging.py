"""A wheel holds the whole tree and nothing else; a bare checkout and a wheel find the same things."""
from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAPPED = ("kernels", "profiles", "benchmarks")
_NOISE = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "*.egg-info")


def _cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def _tree(root: Path) -> set[str]:
    """What a wheel should hold, under the names it has inside it."""
    files = {file.relative_to(root) for top in ("edge_sleep", *MAPPED) for file in (root / top).rglob("*")
             if file.is_file() and root / "benchmarks" / "results" not in file.parents}
    return {(Path("edge_sleep") / file if file.parts[0] in MAPPED else file).as_posix() for file in files}


def test_every_package_is_listed() -> None:
    listed = set(_cfg()["options"]["packages"].split())
    folders = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "edge_sleep").rglob("*.py")
               if not any(part.startswith((".", "__pycache__")) for part in file.parent.parts)}
    mapped = {f"edge_sleep.{name}" for name in MAPPED if (ROOT / name).is_dir() and any((ROOT / name).iterdir())}
    assert listed == folders | mapped, "setup.cfg [options] packages"


def test_no_top_level_package_of_a_common_name() -> None:
    """`kernels` is a package on PyPI that transformers imports: ours must never shadow it."""
    for name in (*MAPPED, "docker"):
        assert not (ROOT / name / "__init__.py").exists()


def test_torch_is_not_pinned_in_the_package() -> None:
    requirements = _cfg()["options"]["install_requires"].split()
    assert [name for name in requirements if name.startswith("torch")] == ["torch>=2.6"]
    assert "torch==" not in (ROOT / "constraints.txt").read_text()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files a build needs, away from this checkout: a build leaves folders behind."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root / name)
    for name in ("edge_sleep", *MAPPED):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=_NOISE)
    (root / "benchmarks" / "results").mkdir(exist_ok=True)
    (root / "benchmarks" / "results" / "some-machine.json").write_text("{}")
    return root


@pytest.fixture(scope="module")
def wheel(copy: Path) -> Path:
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)],
                   check=True, capture_output=True, text=True)
    return next((copy / "dist").glob("*.whl"))


@pytest.mark.night
def test_the_wheel_is_the_tree(copy: Path, wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == _tree(copy)
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.night
def test_a_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    code = ("import edge_sleep, edge_sleep.kernels, importlib.util as u\n"
            "from edge_sleep.device import profile\nfrom edge_sleep.cli.main import run\n"
            "from edge_sleep.benchmarks.suite import budgets\nassert budgets.load('orin-nano-8gb').lines\n"
            f"assert edge_sleep.__file__.startswith({str(place)!r}), edge_sleep.__file__\n"
            "assert 'orin-nano-8gb' in profile.shipped() and profile.load('cpu')\n"
            "assert u.find_spec('kernels') is None or 'site' not in str(u.find_spec('kernels').origin)\n"
            "assert run(['status']) == 0")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path,
                   env={**os.environ, "PYTHONPATH": str(place), "EDGE_SLEEP_HOME": str(tmp_path / "home")})


def test_a_bare_checkout_works(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "from edge_sleep.device import profile\nprint(*profile.shipped())"],
                          check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert "orin-nano-8gb" in done.stdout.split()
