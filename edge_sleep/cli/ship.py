"""`edge-sleep ship`: tonight's training to another machine, now; where its jobs stand; one taken back."""
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import (
    Common,
    HomeOption,
    JsonOption,
    ModelOption,
    MorePaths,
    ProfileOption,
    SessionsOption,
    SetOption,
)
from edge_sleep.errors import Exit, RemoteRefused, SyncError, UsageError

if TYPE_CHECKING:
    from edge_sleep.config import Config
    from edge_sleep.system.home import Home


def command(
    more: MorePaths = None,
    sessions: SessionsOption = None,
    model: ModelOption = None,
    force: Annotated[bool, typer.Option("--force", help="Also with fewer new experiences than data.min_new.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say where the jobs of this home stand; send nothing.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take back jobs that are away; the next night decides anew.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete what ended jobs of this home left in the mailbox.")] = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Seal tonight's training for the paired machines and put it into thor.mailbox, whatever this machine could do itself.

    The next `edge-sleep night` (or this command) looks for the result, verifies, judges and promotes. 16: it is away.

    Example: edge-sleep ship --sessions transcripts/
    """
    if status + cancel + prune > 1:
        raise UsageError("--status, --cancel and --prune are three commands", "use one")
    common = Common.of(home, profile, sets, as_json)
    if status or cancel or prune:
        place = common.existing_home()
        config = context.configure(place, common, model=model)
        found = taken_back(place, config) if cancel else pruned(place, config) if prune else standing(place, config)
        text = output.columns([(one["job"][:12], one["state"], one["said"]) for one in found]) if found else "no job"
        output.answer({"jobs": found}, text, as_json)
        raise typer.Exit(Exit.OK if found else Exit.NOTHING_TO_DO)
    place = common.open_home()
    given = context.transcripts(place, sessions, more)
    config = context.configure(place, common, model=model)
    can_ship(place, config)
    from edge_sleep import night
    from edge_sleep.cli.progress import NightProgress
    from edge_sleep.evaluate import report
    asked = night.Request(sessions=given, force=force, board=context.load_profile(common)[0], ship=True)
    with output.libraries_to_stderr(), NightProgress() as progress:
        record = night.run(place, config, asked, listener=progress)
    output.answer(record, report.as_text(record), as_json)
    raise typer.Exit(int(record["exit_code"]))


def can_ship(home: Home, config: Config) -> None:
    """Raises UsageError where nothing could be shipped, whatever the night is."""
    if not config.thor.mailbox:
        raise UsageError("no mailbox is configured", "`--set thor.mailbox=folder:/PATH`, or in the home's edge-sleep.yaml")
    if config.thor.ship == "never":
        raise UsageError("thor.ship is never", "`--set thor.ship=needed`")
    if not _mailbox(home, config).keys.peers:
        raise UsageError("no machine is paired with this one", "`edge-sleep thor pair`")


def standing(home: Home, config: Config) -> list[dict[str, Any]]:
    """Every job of this home, the newest first, with what the mailbox says of those that are away."""
    from edge_sleep.thor import ledger
    found = sorted(ledger.records(home, "edge"), key=lambda one: str(one["packed"]), reverse=True)
    return [_told(one) | {"said": _progress(home, config, one) if one["state"] == ledger.SENT else one["reason"] or ""}
            for one in found]


def taken_back(home: Home, config: Config) -> list[dict[str, Any]]:
    """Take back what is away. Raises Busy while a night runs; what cannot be said now is said by the next night."""
    from edge_sleep.system.lock import hold
    from edge_sleep.thor import ledger
    found = []
    with hold(home.night_lock, "a job is taken back"):
        for record in [one for one in ledger.records(home, "edge") if one["state"] in ledger.AWAY]:
            record |= {"state": ledger.CANCELLED, "reason": "taken back by hand",
                       "to_say": "cancel" if record["state"] == ledger.SENT else None}
            ledger.write(home, record)
            said = "taken back"
            if record["to_say"]:
                try:
                    _mailbox(home, config).cancel(record["job"], record["reason"])
                    ledger.write(home, record | {"to_say": None})
                except SyncError as error:
                    said = f"taken back here; the mailbox is told later: {error.message}"
            found.append(_told(record) | {"said": said})
    return found


def pruned(home: Home, config: Config) -> list[dict[str, Any]]:
    """Delete the blobs of jobs that have ended, but for the words that end them."""
    from edge_sleep.thor import ledger
    from edge_sleep.thor.mailbox import ROOT
    mailbox, found = _mailbox(home, config), []
    for record in ledger.records(home, "edge"):
        if record["state"] in ledger.AWAY or record["to_say"] is not None:
            continue
        blobs = [entry for entry in mailbox.remote.list(f"{ROOT}/{record['job']}/")]
        # The open document first: what is half pruned must not look like a job.
        for entry in sorted(blobs, key=lambda entry: not entry.name.endswith("/open.json")):
            mailbox.remote.delete(entry.name)
        if blobs:
            found.append(_told(record) | {"said": f"{len(blobs)} files, {output.size(sum(one.size_bytes for one in blobs))}"})
    return found


def _progress(home: Home, config: Config, record: dict) -> str:
    from edge_sleep.thor.mailbox import Offer
    try:
        mailbox = _mailbox(home, config)
        if mailbox.answer(record["job"], record["workers"]) is not None:
            return "the result is there; the next night verifies and judges it"
        if declined := mailbox.declined(record["job"], record["workers"]):
            return "; ".join(f"{mailbox.keys.trusts(one).name} sent it back: {why}" for one, why in declined.items())
        offer = Offer(record["job"], "", 0, mailbox.keys.own, tuple(mailbox.keys.trusts(one) for one in record["workers"]))
        progress = mailbox.progress(offer)
        if progress is None or not progress.holder:
            return "no worker has taken it yet"
        step = "" if progress.step is None else f", step {progress.step} of {progress.steps}"
        return f"{mailbox.keys.trusts(progress.holder).name} has it (lease {progress.lease}){step}"
    except (SyncError, RemoteRefused) as error:
        return error.message


def _mailbox(home: Home, config: Config) -> Any:
    from edge_sleep.system.clock import Clock
    from edge_sleep.thor.mailbox import Mailbox
    return Mailbox.open(home, config, Clock())


def _told(record: dict) -> dict[str, Any]:
    return {key: record[key] for key in ("job", "night", "state", "reason", "packed", "shipped", "returned", "worker", "attempts",
                                         "candidate", "bytes")}


