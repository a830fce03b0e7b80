"""The images, built and run as compose.yaml says on a stand-in base (long: minutes, root, buildah), and how that is set up."""
from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from edge_sleep.benchmarks.fake_board import service as jtop_service
from edge_sleep.benchmarks.fake_board.tree import Board

from tests.micro import SETS, make_model, write_talk

ROOT = Path(__file__).parent.parent.parent
SESSIONS = ROOT / "edge_sleep/seedling/sessions"
# What this machine's own pip knows as a torch without CUDA; elsewhere an index is named for it.
TORCH = ["TORCH=torch==2.13.0", f"TORCH_INDEX={os.environ.get('TORCH_INDEX', '')}"]
FOR_THE_STANDIN = [*TORCH, "CUDA=none", "BITSANDBYTES=", "EXTRA_APT="]
# The last torch whose common wheel for Arm brings no CUDA along.
ARM = ["TORCH=torch==2.10.0", TORCH[1], "EXTRAS=serve onnx"]
LOOK = ("import json, os\n"
        "def refused(place):\n"
        "    try:\n"
        "        open(place + '/x', 'w').close(); return None\n"
        "    except OSError as error:\n"
        "        return error.strerror\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(json.dumps({'uid': os.getuid(), 'gid': os.getgid(), 'capabilities': [int(status[name], 16) for name in ('CapEff', 'CapPrm', 'CapBnd')],\n"
        "    'no_new_privileges': int(status['NoNewPrivs']), 'refused': {place: refused(place) for place in ('/', '/opt/edge-sleep', '/etc', '/sessions')},\n"
        "    'written': {place: refused(place) for place in ('/tmp', '/home/edge-sleep', '/home/edge-sleep/companion')},\n"
        "    'networks': os.listdir('/sys/class/net')}))\n")


def load() -> ModuleType:
    sys.path.insert(0, str(ROOT / "docker"))                # as where it is run as a script
    spec = importlib.util.spec_from_file_location("docker_try", ROOT / "docker" / "try.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["docker_try"] = module                      # a dataclass looks its module up
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "docker"))
    return module


trial = load()
IMAGE = {"WorkingDir": "/home/edge-sleep", "Env": ["PATH=/opt/edge-sleep/bin"], "Entrypoint": ["edge-sleep"], "Cmd": ["watch"]}


def test_a_bundle_is_what_compose_promises(tmp_path: Path) -> None:
    of = trial.service("edge", ("compose.yaml",), {"TZ": "Asia/Tokyo"})
    made = trial.bundle_of(of, IMAGE, Path("/root-of-image"), (), tmp_path)
    assert made["root"] == {"path": "/root-of-image", "readonly": True}
    process = made["process"]
    assert process["user"] == {"uid": 1000, "gid": 1000, "additionalGids": []} and process["noNewPrivileges"] is True
    assert process["capabilities"] == {"bounding": [], "effective": [], "permitted": []}
    assert process["args"] == ["edge-sleep", "watch", "--sessions", "/sessions"] and "TZ=Asia/Tokyo" in process["env"]
    assert {"type": "network"} in made["linux"]["namespaces"] and "/sys/firmware" in made["linux"]["maskedPaths"]
    mounts = {mount["destination"]: mount for mount in made["mounts"]}
    assert {"noexec", "size=256m", "mode=1777"} <= set(mounts["/tmp"]["options"]) and "ro" in mounts["/sys"]["options"]
    assert mounts["/home/edge-sleep"]["source"] == str(tmp_path) and "rw" in mounts["/home/edge-sleep"]["options"]


def test_what_compose_does_not_take_away_is_there(tmp_path: Path) -> None:
    """The bundle follows the file, so that a promise taken out of it shows."""
    of = trial.service("cpu", ("compose.yaml",), {"TZ": "UTC"})
    loose = {key: value for key, value in of.items() if key not in ("read_only", "cap_drop", "security_opt", "network_mode")} | {"user": "0:0"}
    made = trial.bundle_of(loose, IMAGE, Path("/"), ("doctor",), tmp_path)
    assert made["root"]["readonly"] is False and made["process"]["noNewPrivileges"] is False and made["process"]["user"]["uid"] == 0
    assert made["process"]["capabilities"]["effective"] and {"type": "network"} not in made["linux"]["namespaces"]
    assert made["process"]["args"] == ["edge-sleep", "doctor"]


def test_the_override_adds_the_group_and_the_source(tmp_path: Path) -> None:
    of = trial.service("edge", ("compose.yaml", "compose.jtop.yaml"), {"TZ": "UTC", "JTOP_GID": "995", "JETSON_STATS": "7.2.2"})
    assert of["group_add"] == ["995"] and of["command"][-1] == "thermal.source=jtop" and of["read_only"] is True
    assert [volume["target"] for volume in of["volumes"] if isinstance(volume, dict)][-1] == "/run/jtop.sock"
    assert trial.bundle_of(of, IMAGE, Path("/"), (), tmp_path)["process"]["user"]["additionalGids"] == [995]


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial.os, "geteuid", lambda: 0)
    monkeypatch.setattr(trial.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(trial.shutil, "which", lambda name: None if name == "buildah" else f"/usr/bin/{name}")
    assert trial.impossible() == "not installed: buildah"
    monkeypatch.setattr(trial.os, "geteuid", lambda: 1000)
    assert "root" in trial.impossible()


def test_what_stands_behind_two_dashes_is_the_command_inside() -> None:
    asked = trial.parsed(["run", "cpu", "amd64", "--home", "/data", "--", "doctor", "--json"])
    assert (asked.what, asked.kind, asked.arch, asked.home, asked.command) == ("run", "cpu", "amd64", Path("/data"), ["doctor", "--json"])
    assert trial.parsed(["build", "jetson", "arm64", "--build-arg", "CUDA=none"]).build_arg == ["CUDA=none"]
    with pytest.raises(SystemExit):
        trial.parsed(["run", "cpu", "amd64", "--", "doctor"])


@pytest.fixture(scope="module")
def cpu() -> str:
    if (why := trial.impossible()) is not None:
        pytest.skip(why)
    return trial.build("cpu", "amd64", TORCH)


@pytest.fixture(scope="module")
def jetson() -> str:
    if (why := trial.impossible()) is not None:
        pytest.skip(why)
    return trial.build("jetson", "amd64", [*FOR_THE_STANDIN, "JETSON_STATS=7.2.2"])


def answer(kind: str, home: Path, *command: str, arch: str = "amd64", **more) -> dict:
    """The JSON document of a command in the image."""
    with trial.container(kind, arch, home, [*command, "--json"], **more) as made:
        done = made.run()
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"code": done.returncode}


def micro_night(kind: str, home: Path, talk: Path, *sets: str, mounts: Sequence[str] = (), **more) -> dict:
    """The record of a night on a model of random weights, for what the seedling's night in the CPU image does not show."""
    for file in make_model(home / "model").iterdir():       # weights are saved for their owner's eyes alone
        os.chown(file, 1000, 1000)
    write_talk(talk)
    return answer(kind, home, "night", "--sessions", "/talk", "--model", "/home/edge-sleep/model",
                  *(part for one in (*SETS, *sets) for part in ("--set", one)), mounts=[*mounts, f"{talk}:/talk"], **more)


def owned(folder: Path) -> Path:
    """A folder as a board's first user has it."""
    (folder / "companion").mkdir(parents=True)
    for place in (folder, folder / "companion"):
        os.chown(place, 1000, 1000)
    return folder


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_cpu_image_under_its_hardening(cpu: str, tmp_path: Path) -> None:
    home = owned(tmp_path / "data")
    with trial.container("cpu", "amd64", home, ["-c", LOOK], entrypoint=["python"], mounts=[f"{SESSIONS}:/sessions"]) as made:
        done = made.run()
    found = json.loads(done.stdout)
    assert (found["uid"], found["gid"], found["capabilities"], found["no_new_privileges"]) == (1000, 1000, [0, 0, 0], 1)
    assert set(found["refused"].values()) == {"Read-only file system"} and set(found["written"].values()) == {None}
    assert found["networks"] == ["lo"]
    doctor = answer("cpu", home, "doctor")
    assert doctor["code"] == 0 and not [check for check in doctor["checks"] if check["status"] == "fail"], doctor
    night = answer("cpu", home, "night", "--sessions", "/sessions", "--set", "thermal.source=none", mounts=[f"{SESSIONS}:/sessions"])
    assert (night["code"], night.get("outcome")) == (0, "promoted"), night
    assert (home / "companion/current.json").stat().st_uid == 1000


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_it_watches_is_healthy_and_ends_when_told(cpu: str, tmp_path: Path) -> None:
    home = owned(tmp_path / "data")
    with trial.container("cpu", "amd64", home, mounts=[f"{SESSIONS}:/sessions"]) as made:
        process = made.start()
        until = time.monotonic() + 120
        while (health := made.health()).returncode != 0 and time.monotonic() < until:
            time.sleep(1)
        assert (health.returncode, health.stdout) == (0, "well\n"), health.stderr
        made.signal("STOP")                                 # it hangs, so that the book stays as it is made here
        book = home / "companion/state/rhythm.json"
        kept = json.loads(book.read_text())
        book.write_text(json.dumps(kept | {"at": kept["at"] | {"since_boot": kept["at"]["since_boot"] - 2000}}))
        stale = made.health()
        made.signal("CONT")
        assert stale.returncode == 1 and "not looked for" in stale.stdout
        made.stop()
        # Where it is dark while this runs, a night may have begun, and saves itself first: as long as compose.yaml gives it.
        said, _ = process.communicate(timeout=150)
    assert process.returncode == 0, said


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path / "board", "orin-nano-8gb", celsius=47.25, watts=6.0)
    for name, text in (("model", made.kind.model), ("compatible", "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234")):
        file = made.root / "device-tree" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text.encode() + b"\0")
    yield made
    shutil.rmtree(made.root)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_jetson_image_feels_a_board_through_the_kernels_files(jetson: str, board: Board, tmp_path: Path) -> None:
    found = answer("jetson", owned(tmp_path / "data"), "doctor", board=board.root)
    assert found["telemetry"]["source"] == "sysfs" and found["telemetry"]["celsius"]["tj"] == 47.25
    assert found["telemetry"]["watts_total"] == pytest.approx(6.0, abs=0.1)
    assert found["profile"] == "orin-nano-8gb" and "/run/device-tree/model" in found["profile_reason"]
    assert next(check for check in found["checks"] if check["name"] == "jetpack")["found"] == "L4T 36.4.3, JetPack 6.2"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_jetson_image_feels_the_real_jtop_service_where_that_is_asked_for(jetson: str, board: Board, tmp_path: Path) -> None:
    if (why := jtop_service.impossible()) is not None:
        pytest.skip(why)
    home, socket = owned(tmp_path / "data"), f"{jtop_service.SOCKET}:{jtop_service.SOCKET}"
    with jtop_service.Service(board):
        doctor = answer("jetson", home, "doctor", mounts=[socket], jtop=True)
        shut_out = answer("jetson", home, "doctor", mounts=[socket])
        night = micro_night("jetson", home, tmp_path / "talk", "thermal.source=jtop", mounts=[socket], jtop=True)
    line = {check["name"]: check for check in doctor["checks"]}["jtop"]
    assert line["status"] == "ok" and doctor["telemetry"]["source"] == "jtop" and doctor["telemetry"]["celsius"]["tj"] == 47.25
    # Without the group of the override the socket is there and stays shut.
    assert "no permission" in {check["name"]: check for check in shut_out["checks"]}["jtop"]["found"]
    assert night.get("outcome") == "promoted", night
    assert night["measured"]["max_celsius"] == 47.25 and night["measured"]["energy_joules"] > 0


FOUND = ("import json; from edge_sleep.ops import compiled\n"
         "found = {f'{kernel} {gpu}': compiled.find(kernel, gpu) for kernel in compiled.KERNELS for gpu in ('sm_87', 'sm_110')}\n"
         "print(json.dumps({name: made and [made.compiler, str(made.library)] for name, made in found.items()}))")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_jetson_image_on_a_base_with_nvcc_has_its_kernels(tmp_path: Path) -> None:
    if (why := trial.impossible()) is not None:
        pytest.skip(why)
    toolkit = next((place for place in sorted(Path("/usr/local").glob("cuda*")) if (place / "bin/nvcc").is_file()), None)
    if toolkit is None:
        pytest.skip("no CUDA toolkit in /usr/local")
    trial.build("jetson", "amd64", [*FOR_THE_STANDIN, "KERNELS=sm_87,sm_110"], toolkit.resolve())
    with trial.container("jetson", "amd64", owned(tmp_path / "data"), ["-c", FOUND], entrypoint=["python"]) as made:
        done = made.run()
    found = json.loads(done.stdout)
    assert len(found) == 10 and all(found.values()), found
    assert {library for _, library in found.values() if not library.startswith("/opt/edge-sleep/kernels/")} == set()


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["jetson", "cpu"])
def test_an_arm64_image_under_qemu(kind: str, tmp_path: Path) -> None:
    """The wheels that a board's processor runs, on the micro-model: qemu is too slow for more, and shows nothing of time."""
    if (why := trial.impossible("arm64")) is not None:
        pytest.skip(why)
    trial.build(kind, "arm64", [*ARM, *(FOR_THE_STANDIN[2:] if kind == "jetson" else [])])
    home = owned(tmp_path / "data")
    with trial.container(kind, "arm64", home, ["-c", "import platform; print(platform.machine())"], entrypoint=["python"]) as made:
        assert made.run().stdout == "aarch64\n"
    doctor = answer(kind, home, "doctor", arch="arm64")
    lines = {check["name"]: check for check in doctor["checks"]}
    assert doctor["code"] == 0 and {lines[name]["status"] for name in ("torch", "bitsandbytes", "libraries")} == {"ok"}, lines
    # It dies under qemu 7.2, in its own process: one line by name, and nothing else is lost by it.
    assert lines["onnxruntime"]["status"] == "ok" or "killed by" in lines["onnxruntime"]["found"], lines["onnxruntime"]
    night = micro_night(kind, home, tmp_path / "talk", "budget.time=2h", arch="arm64")
    assert (night["code"], night.get("outcome")) == (0, "promoted"), night
    assert night["train"]["loss_last"] < night["train"]["loss_first"]
