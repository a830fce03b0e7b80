"""`edge-sleep night`: the whole cycle, from transcripts to a promoted adapter or a reason."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import (
    BudgetOption,
    CandidatesOption,
    Common,
    HomeOption,
    JsonOption,
    ModelOption,
    MorePaths,
    ProfileOption,
    SessionsOption,
    SetOption,
)


def command(
    more: MorePaths = None,
    sessions: SessionsOption = None,
    model: ModelOption = None,
    budget: BudgetOption = None,
    candidates: CandidatesOption = None,
    probes: Annotated[list[Path] | None, typer.Option(
        "--probes", metavar="FILE", help="Your own questions, YAML of {question, expect}; may be repeated.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also with fewer new experiences than data.min_new.")] = False,
    dry_run: Annotated[bool, typer.Option(
        "--dry-run", help="Say what would be done; train and change nothing.")] = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Run one night: ingest, select, train, judge, then promote or keep.

    Example: edge-sleep night --sessions transcripts/ --budget 55m --candidates 4
    """
    from edge_sleep.cli.progress import NightProgress
    from edge_sleep.train import team
    if team.helps():
        from edge_sleep.train.helper import take_part
        with output.libraries_to_stderr():
            take_part()
        raise typer.Exit(0)
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    given = context.transcripts(place, sessions, more)
    config = context.configure(place, common, model=model, budget=budget, probes=probes, candidates=candidates)
    from edge_sleep import night
    request = night.Request(sessions=given, force=force, dry_run=dry_run, board=context.load_profile(common)[0])
    with output.libraries_to_stderr(), NightProgress() as progress:
        record = night.run(place, config, request, listener=progress)
    if as_json:
        output.answer(record, "", as_json)
    else:
        from edge_sleep.evaluate import report
        output.answer(record, report.as_text(record), as_json)
    raise typer.Exit(int(record["exit_code"]))
