"""`edge-sleep report`: what a night did, as a page and in text."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_sleep.cli import output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import EdgeSleepError, Exit, IntegrityError, UsageError
from edge_sleep.system.home import Home

_NOT_WHOLE = (LookupError, TypeError, AttributeError, ValueError)      # of a record that was altered on the disk: it has no seal


def command(
    night: Annotated[str | None, typer.Argument(metavar="NIGHT", help="Id of a night, or its first letters.  "
                                                   "[default: the last]", show_default=False)] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Show what a night did: what it read, what it learned, the verdict, answers before and after; and make its page anew.

    Example: edge-sleep report
    """
    from edge_sleep.system import record as records
    place = Common.of(home, profile, sets, as_json).place()
    found = find(place, night)
    if found is None:
        output.answer(None, "no night has been recorded in this home yet", as_json)
        raise typer.Exit(Exit.NOTHING_TO_DO)
    record = records.read(found)
    if as_json:
        output.answer(record, "", as_json)
        return
    from edge_sleep.evaluate import report
    from edge_sleep.evaluate.page import render
    try:
        page = f"The page: {render.write(place, record)}"
    except EdgeSleepError as error:                    # a home that is only lent to be read, or damaged elsewhere
        page = f"The page could not be made: {error.message}"
    except _NOT_WHOLE as error:
        page = f"The page could not be made: its record is not whole ({type(error).__name__}: {error})"
    try:
        text = report.as_text(record)
    except _NOT_WHOLE as error:
        raise IntegrityError(f"record {found} is not whole: {type(error).__name__} {error}",
                             "`edge-sleep verify --all` says what is still good") from error
    output.answer(record, f"{text}\n{page}", as_json)


def find(home: Home, night: str | None) -> Path | None:
    """The record of the named night, or of the last one; None where no night left a record."""
    records = sorted(home.nights.glob("*/record.json")) if home.nights.is_dir() else []
    if night is None:
        return records[-1] if records else None
    named = [file for file in records if file.parent.name.startswith(night)]
    exact = [file for file in named if file.parent.name == night]
    if len(exact or named) != 1:
        known = ", ".join(file.parent.name for file in (named or records)[-5:]) or "none"
        raise UsageError(f"{'several nights begin with' if named else 'no night'} `{night}`", f"name one of: {known}")
    return (exact or named)[0]
