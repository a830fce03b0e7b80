"""Ask the advisory service (OSV) about what edge_sleep needs, in the versions installed here; say where it does not answer.

    python .ci/audit.py

Ends with 1 where an advisory is known that `.ci/advisories.txt` does not name with a reason, with 0 otherwise: a network that is
not there says nothing about the code.
"""
from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVICE, PORT = "api.osv.dev", 443
ACCEPTED = ROOT / ".ci" / "advisories.txt"
_SECONDS = 150


def answers() -> str | None:
    """Why the service cannot be asked; None where it can."""
    try:
        socket.create_connection((SERVICE, PORT), timeout=5).close()
    except OSError as error:
        return f"{SERVICE} cannot be reached: {error}"
    return None


def accepted(text: str) -> dict[str, str]:
    """Advisory -> why it is accepted; a line without a reason stops the audit."""
    found = {}
    for line in text.splitlines():
        name, _, reason = line.partition(" ")
        if name and not name.startswith("#"):
            if not reason.strip():
                sys.exit(f"{ACCEPTED}: {name} stands there without a reason")
            found[name] = reason.strip()
    return found


def judge(report: dict, known: dict[str, str]) -> tuple[int, list[str]]:
    """(exit code, what to say) of a report of pip-audit's; what was skipped is said, and is not taken for sound."""
    said, bad, asked = [], 0, 0
    for one in report.get("dependencies", []):
        if "skip_reason" in one:
            said.append(f"not audited: {one['name']}: {one['skip_reason']}")
            continue
        asked += 1
        for advisory in one.get("vulns", []):
            names = [advisory["id"], *advisory.get("aliases", [])]
            reason = next((known[name] for name in names if name in known), None)
            bad += reason is None
            fixed = ", ".join(advisory.get("fix_versions") or ["no version yet"])
            what = f"accepted: {reason}" if reason else f"fixed in {fixed}"
            said.append(f"{one['name']} {one['version']}: {', '.join(names)}; {what}")
    said.append(f"audited {asked} distributions: {bad} advisories that nobody has accepted")
    return int(bad > 0), said


def main() -> int:
    known = accepted(ACCEPTED.read_text(encoding="utf-8"))
    if (why := answers()) is not None:
        print(f"not audited: {why}")
        return 0
    install = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), "pip-audit"]
    if importlib.util.find_spec("pip_audit") is None and subprocess.run(install).returncode:
        print("not audited: pip-audit cannot be installed")
        return 0
    sbom = _sibling("sbom")
    pins = [f"{name}=={one.version.partition('+')[0]}" for name, one in sbom.closure(sbom.asked()).items() if one is not None]
    try:
        command = [sys.executable, "-m", "pip_audit", "--service", "osv", "--format", "json", "--progress-spinner", "off",
                   "--timeout", "15", "--no-deps", "--disable-pip", "--requirement", "/dev/stdin"]
        done = subprocess.run(command, input="\n".join(pins) + "\n", capture_output=True, text=True, timeout=_SECONDS)
        report = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        print(f"not audited: {SERVICE} did not answer to the end: {type(error).__name__}")
        return 0
    code, said = judge(report, known)
    print("\n".join(said))
    return code


def _sibling(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
