"""The morning report as text: verdict first, then what changed, then what it cost."""
from __future__ import annotations

from typing import Any

from edge_sleep.system.printable import on_terminal

_SENTENCE = {
    "promoted": "Your companion learned tonight. The next session loads the new adapter.",
    "nothing_to_do": "There was nothing to do tonight. The companion is as it was.",
    "rejected": "Tonight's candidate was rejected. The companion is as it was yesterday.",
    "no_effect": "Training made no measurable difference. The companion is as it was yesterday.",
    "stopped_time": "The night ran out of time. It is saved, and the next night goes on where it stopped.",
    "stopped_heat": "The night stopped because of heat or power. It is saved, and the next night goes on.",
    "preempted": "A conversation took the device. The night is saved and goes on later.",
    "shipped": "Tonight's training was sent to another machine. Here nothing has changed yet.",
    "does_not_fit": "The night does not fit this machine. Nothing was changed.",
    "integrity": "Something on disk is not what it should be. Nothing was loaded or changed.",
    "failed": "The night failed. The companion is as it was yesterday.",
}


def as_text(record: dict[str, Any]) -> str:
    """The report of one night's record, for a terminal of 80 columns or more."""
    lines = [f"Night {record['night']}: {record['outcome']}", "",
             _SENTENCE.get(record["outcome"], ""), *_wrapped(record.get("reason") or "")]
    if back := record.get("rolled_back"):
        lines += ["", f"Before that, {back['from']} was taken back: {back['reason']}."]
    gate = record.get("gate") or {}
    lines += _metrics(gate) + _rival(gate) + _answers(record) + _data(record) + _cost(record)
    if record["outcome"] == "promoted":
        parent = record.get("parent") or "base"
        lines += ["", f"To go back: edge-sleep rollback {parent}"]
    return on_terminal("\n".join(lines)) + "\n"


def _wrapped(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines() if line]


def _number(value: float | None) -> str:
    return "   -" if value is None else f"{value:.2f}"


def _metrics(gate: dict) -> list[str]:
    metrics = gate.get("metrics") or {}
    if not metrics:
        return []
    lines = ["", f"{'':14}  base  before  after   change, 95 %          n"]
    for name in ("recall", "own", "retention", "unknowns", "identity", "standing", "baits", "clarifying", "nll_held_out",
                 "nll_taught"):
        entry = metrics.get(name)
        if entry and entry["n"]:
            lines.append(f"{name:14}  {_number(entry['base'])}   {_number(entry['before'])}    {_number(entry['after'])}   "
                         f"{entry['low']:+.3f} to {entry['high']:+.3f}  {entry['n']:5}")
    return lines


def _rival(gate: dict) -> list[str]:
    """The free alternative, on the same questions."""
    rival = gate.get("rival")
    if not rival or not rival["metrics"]:
        return []
    lines = ["", f"Without training, {rival['method']}:"]
    for name, entry in rival["metrics"].items():
        lines.append(f"  {name:10}  {entry['rival']:.2f}, the trained {entry['candidate']:.2f} "
                     f"({entry['low']:+.3f} to {entry['high']:+.3f}, n {entry['n']})")
    return lines


def _answers(record: dict) -> list[str]:
    shown = (record.get("gate") or {}).get("samples") or []
    lines: list[str] = []
    for sample in shown[:6]:
        lines += ["", f"  {sample['question']}", f"    before  {_short(sample['before'])}",
                  f"    after   {_short(sample['after'])}"]
    return ["", "Asked in words it was not taught:", *lines] if lines else []


def _short(text: str, width: int = 96) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[:width - 1] + "\u2026"


def _data(record: dict) -> list[str]:
    data = record.get("data") or {}
    if not data:
        return []
    refused = ", ".join(f"{number} {reason}" for reason, number in sorted((data.get("quarantined") or {}).items()))
    masked = ", ".join(f"{number} {kind}" for kind, number in sorted((data.get("redacted") or {}).items()))
    return ["", f"Learned from {data.get('selected') or 0} experiences of {data.get('sessions') or 0} sessions, "
            f"with {data.get('replay') or 0} replayed; kept out: {refused or 'nothing'}",
            *([f"Masked before it was stored: {masked}"] if masked else [])]


def _cost(record: dict) -> list[str]:
    phases = ", ".join(f"{phase['name']} {phase['seconds']:.0f} s" for phase in record.get("phases") or []
                       if phase["seconds"] is not None)
    measured = record.get("measured") or {}
    memory = measured.get("rss_peak_bytes")
    lines = ["", f"Time: {phases or 'none'}"]
    if memory:
        lines.append(f"Memory: {memory / 2**20:.0f} MiB at most")
    lines += _heat(measured)
    train = record.get("train") or {}
    if train.get("steps"):
        lines.append(f"Training: {train['steps']} steps, loss {train['loss_first']:.3f} to {train['loss_last']:.3f} "
                     f"({train['stop_reason']})")
    return lines + _elsewhere(record) + _candidates(train)


def _elsewhere(record: dict) -> list[str]:
    """Who trained it, where that was another machine."""
    remote = record.get("remote")
    if not remote:
        return []
    worker = remote.get("worker") or {}
    return [f"Trained by {worker.get('name')} ({worker.get('id')}) as job {str(remote.get('job'))[:12]}, verified here: "
            f"{', '.join(remote.get('verified') or [])}"]


def _heat(measured: dict) -> list[str]:
    """The hottest moment, the rests it took, the energy; nothing where nothing was read."""
    if measured.get("max_celsius") is None:
        return []
    rests = ", ".join(f"{cause.replace('_', ' ')} {seconds:.0f} s" for cause, seconds in (measured.get("rests") or {}).items()
                      if seconds >= 0.5)
    joules = measured.get("energy_joules")
    return [f"Heat: {measured['max_celsius']:.1f} degrees at most, {f'rests for {rests}' if rests else 'no rests'}"
            + (f"; {joules / 1000:.1f} kJ" if joules else "")]


def _candidates(train: dict) -> list[str]:
    """What else was tried tonight, and why it was or was not taken."""
    tried = train.get("candidates") or []
    if not tried:
        return []
    lines = ["", f"Candidates: {train.get('why_chosen') or 'not chosen yet'}"]
    for entry in tried:
        marks = entry.get("select")
        said = entry.get("why") or (f"score {marks['score']:.3f}, recall {_number(marks['recall']['after']).strip()} on "
                                    f"{marks['recall']['n']} questions of the choice" if marks else "")
        lines.append(f"  {entry['name']:22}  {entry['outcome'] or 'stopped'}{': ' if said else ''}{said}")
    return lines
