"""Install torch by the machine's rule: a machine without a GPU is not made to fetch CUDA.

Run by `make` with the environment's Python. TORCH is the requirement, TORCH_INDEX where it comes from
(empty: pip's own configuration), TORCH_CUDA=yes goes ahead on a machine without a GPU; TORCH_COMMAND is what a person
would type before such a setting, where that is not `make`.
"""
from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

GPU_SIGNS = ("/dev/nvidia0", "/etc/nv_tegra_release")


def has_gpu() -> bool:
    return any(Path(sign).exists() for sign in GPU_SIGNS) or shutil.which("nvidia-smi") is not None


def would_install(requirement: str, index: list[str]) -> list[dict]:
    """What pip would fetch, as its own report lists it; nothing where the requirement is met."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--dry-run", "--quiet",
                        "--report", str(report), *index, requirement], check=True)
        return json.loads(report.read_text())["install"]


def cuda_packages(install: list[dict]) -> list[str]:
    """Of these, the packages that only a GPU can use."""
    names = [(item["metadata"]["name"].lower(), item["metadata"]["version"]) for item in install]
    return [f"{name} {version}" for name, version in names
            if name.startswith(("nvidia-", "cuda-")) or name == "triton"]


def refusal(requirement: str, found: list[str], command: str) -> str:
    """command: what a setting is appended to."""
    shown = "\n".join(f"    {item}" for item in found)
    return (f"torch: this machine has no NVIDIA GPU, and {requirement} would bring {len(found)} CUDA packages "
            f"(gigabytes):\n{shown}\n"
            f"  do one of:\n"
            f"    {command} TORCH_INDEX=<URL of a CPU wheel index>   a CPU build; pytorch.org/get-started names one\n"
            f"    {command} TORCH_CUDA=yes                           fetch them all the same")


def main() -> int:
    requirement = os.environ.get("TORCH") or "torch"
    index = ["--index-url", os.environ["TORCH_INDEX"]] if os.environ.get("TORCH_INDEX") else []
    command = os.environ.get("TORCH_COMMAND") or f"make {os.environ.get('TORCH_TARGET') or 'night'}"
    go_ahead = os.environ.get("TORCH_CUDA") == "yes" or platform.system() != "Linux" or has_gpu()
    try:
        install = would_install(requirement, index)
        if not install:
            print(f"torch: {requirement} is there")
            return 0
        found = [] if go_ahead else cuda_packages(install)
        if found:
            print(refusal(requirement, found, command), file=sys.stderr)
            return 2
        print("torch: " + ", ".join(f"{item['metadata']['name']} {item['metadata']['version']}" for item in install))
        subprocess.run([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *index,
                        requirement], check=True)
    except subprocess.CalledProcessError as error:
        print(f"torch: pip could not do it (exit {error.returncode}); its words are above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
