"""`edge-sleep verify`: proof that what the next session loads is whole, and differs from the base."""
from __future__ import annotations

from typing import Annotated

import typer

from edge_sleep.cli import context, export, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit, IntegrityError, ModelError
from edge_sleep.system import base_record


def command(
    everything: Annotated[bool, typer.Option("--all", help="Scan the whole home: every adapter, pointer, mark, "
                                                  "record and the database.")] = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Check every hash, load the current model and its exports, and measure how far its answers are from the base's.

    Example: edge-sleep verify --all
    """
    common = Common.of(home, profile, sets, as_json)
    place = common.existing_home()
    from edge_sleep.serve import proof
    with output.libraries_to_stderr():
        try:
            if place.base.is_file():
                base_record.read(place)
            document = proof.verify(place, context.configure(place, common), everything)
            document["exports"] = export.verified(common) if document["adapter"] and document["ok"] else {}
            document["problems"] += [problem for found in document["exports"].values() for problem in found
                                     if problem not in document["problems"]]
            document["ok"] = not document["problems"]
        except (IntegrityError, ModelError) as error:
            if not everything:
                raise
            document = proof.without_base(place, error)
    output.answer(document, as_text(document), as_json)
    raise typer.Exit(Exit.OK if document["ok"] else Exit.INTEGRITY)


def as_text(document: dict) -> str:
    differs = document.get("differs_from_base")
    base = document.get("base")
    lines = [output.columns([("base", base.get("source") if isinstance(base, dict) else base),
                             ("adapter", document.get("adapter") or "none"),
                             ("differs from base", "not measured" if differs is None else f"{differs:.4g}")]),
             *(["scanned: " + ", ".join(f"{count} {kind}" for kind, count in document["checked"].items())]
               if "checked" in document else []),
             *(["exports: " + ", ".join(document["exports"])] if document.get("exports") else []),
             *(f"problem: {problem}" for problem in document.get("problems", [])),
             "verified" if document["ok"] else "not verified"]
    return "\n".join(lines)
