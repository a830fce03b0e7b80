"""Branches of the modules that decide, taken by their own tests alone: the list, the measurement, the threshold.

    python .ci/policy.py [WORD...]

With words only the modules whose name holds one. Ends with 1 where a module is below the threshold, or a test fails. A module
that decides is a pure function from what was measured to a verdict with its reason: each branch must have been taken both ways.
"""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEAST = 95.0                          # per cent of a module's branches
# Module -> the tests that are its own.
POLICY: dict[str, tuple[str, ...]] = {
    "checkpoint/retention": ("checkpoint/test_retention",),
    "data/clusters": ("data/test_clusters",),
    "data/origin": ("data/test_origin",),
    "data/quality/belonging": ("data/quality/test_belonging",),
    "data/quality/confabulation": ("data/quality/test_confabulation",),
    "data/quality/corpus": ("data/quality/test_corpus",),
    "data/quality/cut": ("data/quality/test_gate",),
    "data/quality/gate": ("data/quality/test_gate",),
    "data/quality/inversion": ("data/quality/test_gate",),
    "data/quality/loops": ("data/quality/test_gate", "data/quality/test_repetition"),
    "data/quality/manner": ("data/quality/test_manner",),
    "data/quality/repetition": ("data/quality/test_repetition",),
    "data/redact": ("data/test_redact",),
    "data/salience": ("data/test_salience",),
    "data/select": ("data/test_select",),
    "evaluate/choice": ("evaluate/test_choice",),
    "evaluate/day": ("evaluate/test_day",),
    "evaluate/gate": ("evaluate/test_gate",),
    "evaluate/recital": ("evaluate/test_recital",),
    "evaluate/scoring": ("evaluate/test_scoring",),
    "export/fidelity": ("export/test_fidelity",),
    "remote/backoff": ("remote/test_backoff",),
    "remote/bandwidth": ("remote/test_bandwidth",),
    "schedule/alarms": ("schedule/test_alarms",),
    "schedule/book": ("schedule/test_book",),
    "schedule/circadian": ("schedule/test_circadian",),
    "schedule/metabolic": ("schedule/test_metabolic",),
    "schedule/rhythm": ("schedule/test_book",),
    "schedule/units": ("schedule/test_units",),
    "serve/access": ("serve/test_access",),
    "sync/backoff": ("sync/test_outbox",),
    "sync/prune": ("sync/test_prune",),
    "sync/roles": ("sync/test_roles",),
    "system/foreign": ("system/test_foreign",),
    "system/state": ("schedule/test_metabolic",),
    "thor/lease": ("thor/test_lease",),
    "thor/ship": ("thor/test_ship",),
    "train/budget": ("train/test_budget",),
    "train/candidates": ("train/test_candidates",),
    "train/forecast": ("train/test_forecast",),
    "train/governor": ("train/test_governor",),
    "train/growth": ("train/test_growth",),
    "train/limits": ("train/test_limits",),
    "train/planner": ("train/test_planner",),
    "train/room": ("train/test_room",),
    "train/scaling": ("train/test_scaling",),
    "train/schedule": ("train/test_schedule",),
    "train/shrink": ("train/test_shrink",),
}


def measured(modules: dict[str, tuple[str, ...]]) -> tuple[int, dict[str, dict]]:
    """(pytest's exit code, coverage's entry for each module)."""
    files = sorted({f"tests/{name}.py" for names in modules.values() for name in names})
    with tempfile.TemporaryDirectory() as folder:
        settings, report = Path(folder) / "rc", Path(folder) / "report.json"
        only = "\n".join(f"    */edge_sleep/{name}.py" for name in modules)
        settings.write_text(f"[run]\nbranch = True\ndata_file = {folder}/data\ninclude =\n{only}\n")
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-m", "not long and not alone", "-p", "no:cacheprovider",
                   "--cov", f"--cov-config={settings}", f"--cov-report=json:{report}", "--cov-report=", *files]
        code = subprocess.run(command, cwd=ROOT).returncode
        found = json.loads(report.read_text())["files"] if report.is_file() else {}
    return code, {name: found.get(f"edge_sleep/{name}.py", {}) for name in modules}


def share(entry: dict) -> float:
    """Per cent of the branches that were taken; of the lines where there is no branch."""
    summary = entry.get("summary", {})
    total, taken = summary.get("num_branches", 0), summary.get("covered_branches", 0)
    if not total:
        total, taken = summary.get("num_statements", 0), summary.get("covered_lines", 0)
    return 100.0 * taken / total if total else 0.0


def main(words: list[str]) -> int:
    chosen = {name: tests for name, tests in POLICY.items() if not words or any(word in name for word in words)}
    code, found = measured(chosen)
    low = []
    for name, entry in found.items():
        got = share(entry)
        missing = [f"{begin}->{'end' if end < 0 else end}" for begin, end in entry.get("missing_branches", [])]
        print(f"{got:6.1f} %  {name:28} {entry.get('summary', {}).get('num_branches', 0):4} branches  {' '.join(missing)}")
        if got < LEAST:
            low.append(name)
    print(f"{len(found) - len(low)} of {len(found)} modules have {LEAST:.0f} % of their branches or more"
          + (f"; below: {', '.join(low)}" if low else ""))
    return code or int(bool(low))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
