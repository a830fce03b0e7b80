"""Build an image and run it as compose.yaml would, on a machine without a Docker engine: buildah, a stand-in base, crun.

    python docker/try.py build cpu amd64                  or jetson, or arm64 (under qemu)
    python docker/try.py run cpu amd64 --home DIR -- doctor

The base is Debian's own minimal system in place of NVIDIA's, so it shows that the files build and that what is inside runs under
the promised hardening: read-only root, no capability, no network, no root. It shows nothing of CUDA, NVIDIA's runtime, Docker
itself, nor of a board. `--board TREE` puts a folder in place of /sys, of the device tree, the release and meminfo.

Needs root, and once: apt-get install --no-install-recommends buildah crun debootstrap qemu-user-static
"""
from __future__ import annotations

import argparse
import grp
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from standin import STORE, base, buildah, pip_settings

ROOT = Path(__file__).resolve().parent.parent
_TOOLS = ("buildah", "crun", "debootstrap")
# crun refuses a machine with both kinds of cgroups, and needs neither: in a mount namespace of its own it is shown one.
_CRUN = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
         'umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"', "sh",
         "crun", "--cgroup-manager=disabled", "--root", str(STORE / "crun"))
_NAMED = re.compile(r"\$\{([A-Z_]+)(?::[-?]([^}]*))?\}")
_SERVICE = {"jetson": "edge", "cpu": "cpu"}
# What Docker hides and protects by itself (its default of October 2025).
_MASKED = ("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
           "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware")
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
# What stands for a board's files, below --board.
_OF_BOARD = {"/run/device-tree": "device-tree", "/etc/nv_tegra_release": "etc/nv_tegra_release"}


def impossible(arch: str = "amd64") -> str | None:
    """Why images cannot be tried on this machine; None where they can."""
    if os.geteuid() != 0:
        return "building and running images without an engine needs root"
    if platform.machine() != "x86_64":
        return f"the stand-ins are made on x86-64, this is {platform.machine()}"
    tools = [*_TOOLS, *(["qemu-aarch64-static"] if arch == "arm64" else [])]
    missing = [name for name in tools if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def build(kind: str, arch: str, arguments: Sequence[str] = (), toolkit: Path | None = None) -> str:
    """Build the image of a kind (cpu, jetson) and return its name. arguments: more build arguments, NAME=VALUE.

    toolkit: a CUDA toolkit of this machine, which the base then has with a g++, as NVIDIA's has.
    """
    image = f"localhost/edge-sleep-try:{kind}-{arch}"
    with tempfile.TemporaryDirectory(prefix="edge-sleep-try-") as folder:
        given = [f"BASE_IMAGE={base(arch) if toolkit is None else base(arch, 'g++')}", *arguments]
        volumes = [f"{one}:ro" for one in pip_settings(Path(folder))] + ([f"{toolkit}:/usr/local/cuda:ro"] if toolkit else [])
        buildah("bud", "--arch", arch, "--format", "docker", "--isolation", "chroot", "--pull-never", "--layers",
                 *(part for one in given for part in ("--build-arg", one)),
                 *(part for one in volumes for part in ("--volume", one)),
                 "-f", str(ROOT / "docker" / f"{kind}.Dockerfile"), "-t", image, str(ROOT))
    return image


def size_bytes(image: str) -> int:
    """Bytes of all files of the image, as they lie unpacked."""
    with _mounted(image) as root:
        return int(subprocess.run(["du", "-sxB1", str(root)], check=True, capture_output=True, text=True).stdout.split()[0])


@dataclass(frozen=True)
class Container:
    """One that can be run, once: an image under what the compose files promise for its service."""

    name: str
    bundle: Path
    about: dict                                            # the image's configuration

    def run(self) -> subprocess.CompletedProcess[str]:
        """Until it ends; with its output."""
        return subprocess.run([*_CRUN, "run", "--bundle", str(self.bundle), self.name], text=True, capture_output=True)

    def start(self) -> subprocess.Popen[str]:
        """Beside this process; `stop` ends it."""
        return subprocess.Popen([*_CRUN, "run", "--bundle", str(self.bundle), self.name], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Another command in the running container, as `docker exec` does: crun by itself would make it root."""
        user = json.loads((self.bundle / "config.json").read_text())["process"]["user"]
        return subprocess.run([*_CRUN, "exec", "--user", f"{user['uid']}:{user['gid']}", "--no-new-privs", self.name, *command],
                              text=True, capture_output=True)

    def stop(self) -> None:
        """SIGTERM to its first process, as `docker stop` sends it."""
        self.signal("TERM")

    def signal(self, name: str) -> None:
        """Another signal to its first process."""
        subprocess.run([*_CRUN, "kill", self.name, name], check=True, capture_output=True)

    def health(self) -> subprocess.CompletedProcess[str]:
        """The image's own HEALTHCHECK."""
        return self.inside(*self.about["Healthcheck"]["Test"][1:])


@contextmanager
def container(kind: str, arch: str, home: Path, command: Sequence[str] = (), *, board: Path | None = None,
              mounts: Sequence[str] = (), entrypoint: Sequence[str] = (), jtop: bool = False) -> Iterator[Container]:
    """A container of the image that `build` made.

    home: a folder of the host for /home/edge-sleep. mounts: SOURCE:TARGET, read-only but for sockets. jtop: with
    compose.jtop.yaml.
    """
    image = f"localhost/edge-sleep-try:{kind}-{arch}"
    values = {"TZ": "Europe/Berlin", **({"JTOP_GID": str(grp.getgrnam("jtop").gr_gid)} if jtop else {})}
    of_compose = service(_SERVICE[kind], ("compose.yaml", "compose.jtop.yaml") if jtop else ("compose.yaml",), values)
    home.mkdir(parents=True, exist_ok=True)
    with _mounted(image) as root, tempfile.TemporaryDirectory(prefix="edge-sleep-try-") as folder:
        about = json.loads(buildah("inspect", "--type", "image", image, quiet=True))["Docker"]["config"]
        document = bundle_of(of_compose, about, root, command, home, board, mounts, entrypoint)
        os.chown(home, document["process"]["user"]["uid"], document["process"]["user"]["gid"])
        (Path(folder) / "config.json").write_text(json.dumps(document))
        made = Container(f"edge-sleep-try-{os.getpid()}", Path(folder), about)
        try:
            yield made
        finally:
            subprocess.run([*_CRUN, "delete", "--force", made.name], capture_output=True)


def service(name: str, files: Sequence[str], values: Mapping[str, str]) -> dict:
    """A service of the compose files, the later over the earlier: mappings are joined, lists appended, a command replaced."""
    found: dict = {}
    for file in files:
        text = _NAMED.sub(lambda named: values.get(named[1], named[2] or ""), (ROOT / "docker" / file).read_text())
        for key, value in yaml.safe_load(text)["services"].get(name, {}).items():
            if key == "command" or key not in found:
                found[key] = value
            elif isinstance(value, list):
                found[key] = [*found[key], *value]
            elif isinstance(value, dict):
                found[key] = {**found[key], **value}
    return found


def bundle_of(service: dict, image: dict, root: Path, command: Sequence[str], home: Path, board: Path | None = None,
              mounts: Sequence[str] = (), entrypoint: Sequence[str] = ()) -> dict:
    """The OCI runtime's configuration (config.json) for a service of compose.yaml on an image's root, as Docker would make it."""
    user, _, group = str(service["user"]).partition(":")
    kept = [] if "ALL" in service.get("cap_drop", ()) else ["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"]
    places = [_mount("tmpfs", "tmpfs", place, "noexec", "nosuid", "nodev", *options.split(","))
              for place, _, options in (one.partition(":") for one in service.get("tmpfs", ()))]
    places.append(_bind(home, "/home/edge-sleep", "rw"))
    places += [_bind(Path(source), target, "rw" if Path(source).is_socket() else "ro")
               for source, _, target in (one.partition(":") for one in mounts)]
    sysfs = [_mount("sysfs", "sysfs", "/sys", "nosuid", "noexec", "nodev", "ro")]
    masked = list(_MASKED)
    if board is not None:
        sysfs = [_bind(board / "sys", "/sys", "ro"), _bind(board / "proc/meminfo", "/proc/meminfo", "ro")]
        masked = [path for path in _MASKED if not path.startswith("/sys")]
        targets = {volume["target"] for volume in service["volumes"] if isinstance(volume, dict)}
        places += [_bind(board / source, target, "ro") for target, source in _OF_BOARD.items() if target in targets]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": bool(service.get("read_only"))},
        "hostname": "edge-sleep",
        "process": {
            "terminal": False, "cwd": image.get("WorkingDir") or "/",
            "user": {"uid": int(user), "gid": int(group or user), "additionalGids": list(map(int, service.get("group_add", ())))},
            "args": [*(entrypoint or image["Entrypoint"]), *(command or service.get("command") or image.get("Cmd") or [])],
            "env": [*image["Env"], *(f"{name}={value}" for name, value in service.get("environment", {}).items())],
            "capabilities": {kind: kept for kind in ("bounding", "effective", "permitted")},
            "noNewPrivileges": "no-new-privileges:true" in service.get("security_opt", ()),
            "oomScoreAdj": service.get("oom_score_adj", 0)},
        "mounts": [
            _mount("proc", "proc", "/proc", "nosuid", "noexec", "nodev"), _mount("tmpfs", "tmpfs", "/dev", "nosuid", "mode=755"),
            _mount("devpts", "devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
            _mount("tmpfs", "shm", "/dev/shm", "nosuid", "noexec", "nodev", "mode=1777", "size=64m"), *sysfs, *places],
        "linux": {
            "namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount")]
            + ([{"type": "network"}] if service.get("network_mode") == "none" else []),
            "maskedPaths": masked, "readonlyPaths": list(_READ_ONLY)}}


def _mount(kind: str, source: str, target: str, *options: str) -> dict:
    return {"type": kind, "source": source, "destination": target, "options": list(options)}


def _bind(source: Path, target: str, how: str) -> dict:
    return _mount("bind", str(source.resolve()), target, "rbind", how, "rprivate")


@contextmanager
def _mounted(image: str) -> Iterator[Path]:
    """The root of a container of an image, taken away afterwards."""
    container = buildah("from", "--pull-never", image, quiet=True).strip()
    try:
        yield Path(buildah("mount", container, quiet=True).strip())
    finally:
        buildah("rm", container, quiet=True)


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line; what stands behind `--` is the command inside, options and all."""
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["build", "run"])
    parser.add_argument("kind", choices=sorted(_SERVICE))
    parser.add_argument("arch", choices=["amd64", "arm64"])
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--cuda", type=Path, metavar="DIR", help="build: a CUDA toolkit that the base then has")
    parser.add_argument("--home", type=Path, help="a folder for /home/edge-sleep")
    parser.add_argument("--board", type=Path, help="a tree in place of /sys, the device tree and the release")
    parser.add_argument("--mount", action="append", default=[], metavar="SOURCE:TARGET")
    parser.add_argument("--jtop", action="store_true", help="with compose.jtop.yaml")
    parser.add_argument("--entrypoint", help="another program than edge-sleep")
    asked = parser.parse_args(words[:cut])
    if asked.what == "run" and asked.home is None:
        parser.error("run needs --home DIR")
    asked.command = list(words[cut + 1:])
    return asked


def main() -> int:
    asked = parsed(sys.argv[1:])
    if (why := impossible(asked.arch)) is not None:
        print(why, file=sys.stderr)
        return 3
    began = time.monotonic()
    if asked.what == "build":
        image = build(asked.kind, asked.arch, asked.build_arg, asked.cuda)
        print(json.dumps({"image": image, "seconds": round(time.monotonic() - began), "bytes": size_bytes(image)}))
        return 0
    with container(asked.kind, asked.arch, asked.home, asked.command, board=asked.board, mounts=asked.mount,
                   entrypoint=[asked.entrypoint] if asked.entrypoint else (), jtop=asked.jtop) as made:
        done = made.run()
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
