"""`edge-sleep teach`: a fact or a correction, straight from the person."""
from __future__ import annotations

from typing import Annotated

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import UsageError


def command(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What is asked; with --instead-of it may be left out.")],
    answer: Annotated[str | None, typer.Argument(metavar="ANSWER", help="What is right.", show_default=False)] = None,
    instead_of: Annotated[str | None, typer.Option(
        "--instead-of", metavar="ID", help="The experience whose answer this corrects; it is quarantined.")] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Teach an answer: the strongest reward, first in the next night's lesson.

    Example: edge-sleep teach "What is my sister's name?" "Your sister's name is Lena."
    """
    if answer is None and instead_of is None:
        raise UsageError("teach has a question and no answer",
                         'give both, or correct one answer: edge-sleep teach "what is right" --instead-of ID')
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    config = context.configure(place, common)
    from edge_sleep.cli.experiences import as_item
    from edge_sleep.data.buffer import Buffer
    from edge_sleep.data.teach import teach
    from edge_sleep.system.clock import Clock
    asked, right = (None, question) if answer is None else (question, answer)
    with Buffer(place.experiences) as buffer:
        made, others, masked = teach(buffer, config, asked, right, instead_of=instead_of, at=Clock().stamp())
        corrected = buffer.get(instead_of).id if instead_of is not None else None
    if masked:
        kinds = ", ".join(f"{count} {kind}" for kind, count in masked.items())
        output.say(f"masked before it was stored: {kinds}; `data.redact` says which kinds are")
    document = {**as_item(made), "instead_of": corrected, "other_answers": others, "redacted": masked}
    rows = [("taught", made.id), ("question", made.prompt), ("answer", made.response), ("instead of", corrected)]
    text = output.columns([row for row in rows if row[1]])
    if others:
        text += (f"\n{len(others)} other answer(s) to this question are still learned from: {', '.join(others[:5])}\n"
                 "`edge-sleep experiences quarantine ID` keeps one out")
    output.answer(document, text, as_json)
