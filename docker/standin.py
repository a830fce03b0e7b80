"""The stand-in for a base image: Debian's minimal system, from this machine's own package mirror, kept in a store of our own.

buildah works in that store alone, so that nothing else on the machine is touched; EDGE_SLEEP_TRY says where it lies.
"""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse

STORE = Path(os.environ.get("EDGE_SLEEP_TRY", "/var/tmp/edge-sleep-try"))
SUITE = "bookworm"
_BUILDAH = ("buildah", "--storage-driver", "overlay", "--root", str(STORE / "store"), "--runroot", str(STORE / "run"))
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_QEMU = (":qemu-aarch64:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00"
         ":\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff"
         ":/usr/bin/qemu-aarch64-static:F")


def base(arch: str, *more: str) -> str:
    """The name of the stand-in base, made at the first call: Debian's minimal system with Python, and `more` packages.

    That for arm64 is unpacked and not configured, which under qemu would take minutes; it has no apt that works.
    """
    name = f"localhost/edge-sleep-standin:{'-'.join((SUITE, arch, *more)).replace('+', 'p')}"
    if arch == "arm64":
        _let_qemu_run()
    if subprocess.run([*_BUILDAH, "inspect", "--type", "image", name], capture_output=True).returncode == 0:
        return name
    place = STORE / f"standin-{arch}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    foreign = ["--foreign"] if arch == "arm64" else []
    packages = ",".join(("python3", "python3-venv", "ca-certificates", "tzdata", *more))
    _do("debootstrap", f"--arch={arch}", *foreign, "--variant=minbase", f"--include={packages}", SUITE,
        str(place / "root"), *_mirror())
    if foreign:
        _unpack(place / "root")
    _do("tar", "-C", str(place / "root"), "-cf", str(place / "base.tar"), ".")
    (place / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
    buildah("bud", "--arch", arch, "--isolation", "chroot", "-t", name, "-f", str(place / "Containerfile"), str(place))
    shutil.rmtree(place)
    return name


def _unpack(root: Path) -> None:
    """What the first half of debootstrap fetched, laid into its root, with the files that only base-passwd's own script makes."""
    packages = root / "var/cache/apt/archives"
    for package in sorted(packages.glob("*.deb")):
        contents = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
        # Through the links of a merged /usr, as dpkg does; dpkg-deb -x would replace them by folders.
        subprocess.run(["tar", "-xf", "-", "-C", str(root), "--keep-directory-symlink"], stdin=contents.stdout, check=True)
        if contents.wait() != 0:
            raise RuntimeError(f"{package.name} cannot be unpacked")
    shutil.rmtree(packages)
    shutil.rmtree(root / "debootstrap")
    if (root / "proc").is_symlink():                        # in a container debootstrap lends the host's until its second half
        (root / "proc").unlink()
        (root / "proc").mkdir(0o555)
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)


def _let_qemu_run() -> None:
    """Tell the kernel to run arm64's programs by qemu, until the next boot."""
    if (_BINFMT / "qemu-aarch64").exists():
        return
    if not (_BINFMT / "register").exists():
        _do("mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT))
    (_BINFMT / "register").write_text(_QEMU)


def _mirror() -> list[str]:
    """Where this machine takes its own packages from."""
    for file in (*sorted(Path("/etc/apt/sources.list.d").glob("*.sources")), Path("/etc/apt/sources.list")):
        for line in file.read_text().splitlines() if file.exists() else ():
            words = line.split()
            if words[:1] == ["URIs:"] or (words[:1] == ["deb"] and len(words) > 1):
                return [words[1]]
    return []


def pip_settings(folder: Path) -> list[str]:
    """Volumes with which pip in a build has this machine's own configuration, of which nothing stays in the image."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True).stdout
    pairs = (line.partition("=") for line in listed.splitlines())
    settings = {name.rpartition(".")[2]: value.strip("'\"") for name, _, value in pairs}
    (folder / "pip.conf").write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    named = [urlparse(word).path if word.startswith("file:") else word for value in settings.values() for word in value.split()]
    places = {Path(word).parent if Path(word).name == "simple" else Path(word) for word in named if word.startswith("/")}
    return [f"{folder / 'pip.conf'}:/etc/pip.conf", *(f"{place.resolve()}:{place}" for place in sorted(places) if place.exists())]


def buildah(*words: str, quiet: bool = False) -> str:
    if quiet:
        return subprocess.run([*_BUILDAH, *words], check=True, capture_output=True, text=True).stdout
    _do(*_BUILDAH, *words)
    return ""


def _do(*words: str) -> None:
    subprocess.run(words, check=True, stdout=sys.stderr)
