"""`edge-sleep plan`: what tonight would do, each choice with its reason."""
from __future__ import annotations

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

# Written out: a help page reads no configuration. A test holds it to the sections there are.
SECTIONS = ("companion, data, quality, salience, replay, lora, train, budget, thermal, power, neighbours, gate, retention, "
            "serve, schedule, export, sync, thor")


def command(
    more: MorePaths = None,
    sessions: SessionsOption = None,
    model: ModelOption = None,
    budget: BudgetOption = None,
    candidates: CandidatesOption = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    from edge_sleep.device import memory
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    given = context.transcripts(place, sessions, more)
    config = context.configure(place, common, model=model, budget=budget, candidates=candidates)
    board, why = context.load_profile(common)
    from edge_sleep import night
    with output.libraries_to_stderr():
        document = night.plan(place, config, night.Request(sessions=given, board=board))
    output.answer(document, as_text(document, f"{board.name} ({why})", memory.available_bytes()), as_json)


command.__doc__ = f"""Say what tonight would do: memory, time and place, each with its reason.

Settings for --set and edge-sleep.yaml lie in these sections: {SECTIONS}.

Example: edge-sleep plan --set train.epochs=4
"""


def as_text(document: dict, board: str, available_bytes: int) -> str:
    lines = [f"where    {document.get('where')}",
             f"memory   {output.size(document.get('peak_bytes'))} at its peak, "
             f"{output.size(available_bytes)} available",
             f"time     {output.span(document.get('seconds'))}",
             f"profile  {board}"]
    choices = [(choice["name"], choice["value"], choice["reason"]) for choice in document.get("choices", [])]
    return "\n".join([*lines, "", output.columns(choices)]).rstrip()
