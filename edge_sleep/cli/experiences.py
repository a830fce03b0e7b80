"""`edge-sleep experiences`: what was kept, what was quarantined, and why."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edge_sleep.cli import output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import UsageError

if TYPE_CHECKING:
    from edge_sleep.data.buffer import Buffer

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None,
                  help="List and search what was learned from, with scores and reasons.\n\n"
                       "Example: edge-sleep experiences --search tea --status kept")


@app.callback()
def listing(
    ctx: typer.Context,
    search: Annotated[str | None, typer.Option("--search", metavar="TEXT", help="Only with this text.")] = None,
    status: Annotated[Literal["kept", "quarantined", "evicted"] | None, typer.Option(
        "--status", help="Only with this status.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    export: Annotated[Literal["jsonl", "sage"] | None, typer.Option(
        "--export", help="All of them: one JSON object a line, or the kept ones as SAGE's experience buffer.")] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    common = Common.of(home, profile, sets, as_json)
    ctx.obj = common
    if ctx.invoked_subcommand is not None:
        return
    place = common.place()
    items: list[dict] = []
    if place.experiences.is_file():
        from edge_sleep.data.buffer import Buffer
        with Buffer(place.experiences) as buffer:
            if export == "sage":
                from edge_sleep.data.sage import entries
                return output.answer(list(entries(buffer, status or "kept")), "", True)
            found = buffer.items(status=status, search=search,
                                 limit=None if export else limit)
            items = [as_item(experience) for experience in found]
    if export == "sage":
        return output.answer([], "", True)
    if export:
        for item in items:
            output.answer(item, "", True)
        return
    output.answer({"items": items}, as_table(items), as_json)


@app.command()
def show(
    ctx: typer.Context,
    experience: Annotated[str, typer.Argument(metavar="ID", help="Id of an experience.")],
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Show one experience with its score and reasons.

    Example: edge-sleep experiences show 1f0c3a5b7d9e2468
    """
    common = _common(ctx, home, profile, sets, as_json)
    with _buffer(common) as buffer:
        item = as_item(buffer.get(experience))
        evidence, lineage = buffer.evidence(item["id"]), buffer.lineage(item["id"])
    _print({**item, "evidence": evidence, "lineage": lineage}, common, evidence)


@app.command()
def quarantine(
    ctx: typer.Context,
    experience: Annotated[str, typer.Argument(metavar="ID", help="Id of an experience.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with it.")] = "by hand",
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Keep an experience out of all later nights; nothing is deleted.

    Example: edge-sleep experiences quarantine 1f0c3a5b7d9e2468 --reason "not true"
    """
    common = _common(ctx, home, profile, sets, as_json)
    with _buffer(common) as buffer:
        buffer.quarantine(experience, reason)
        item = as_item(buffer.get(experience))
    _print(item, common)


@app.command()
def release(
    ctx: typer.Context,
    experience: Annotated[str, typer.Argument(metavar="ID", help="Id of an experience.")],
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Let a quarantined experience into later nights.

    Example: edge-sleep experiences release 1f0c3a5b7d9e2468
    """
    common = _common(ctx, home, profile, sets, as_json)
    with _buffer(common) as buffer:
        buffer.release(experience)
        item = as_item(buffer.get(experience))
    _print(item, common)


@app.command("learn-weights")
def learn_weights(
    ctx: typer.Context,
    write: Annotated[bool, typer.Option("--write", help="Put them into the home's configuration, if they are better.")] = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Learn the five salience weights from how experiences turned out, and say whether they beat equal ones.

    Example: edge-sleep experiences learn-weights --write
    """
    common = _common(ctx, home, profile, sets, as_json)
    place = common.existing_home()
    from edge_sleep.cli import context
    config = context.configure(place, common)
    from edge_sleep.data.outcomes import outcomes
    from edge_sleep.data.weights import learn
    with _buffer(common) as buffer:
        found = learn(outcomes(buffer), config.train.seed)
    found["written"] = None
    if write and found["better"] and found["above_chance"]:
        from edge_sleep.system.settings_file import write_values
        write_values(place.config, "salience", found["weights"])
        found["written"] = str(place.config)
    output.answer(found, as_weights(found), common.as_json)


def as_weights(found: dict) -> str:
    sources = ", ".join(f"{count} {name}" for name, count in found["sources"].items())
    rows = [("outcomes", f"{found['good']} good, {found['bad']} bad, from {found['sessions']} sessions"),
            ("from", sources or "-"),
            *((f"AUC {name}", f"{value['value']:.3f}  ({value['low']:.3f} to {value['high']:.3f})")
              for name, value in (found["auc"] or {}).items()),
            *((f"salience.{name}", f"{value:.3f}") for name, value in (found["weights"] or {}).items()),
            ("verdict", found["reason"]),
            ("written", found["written"] or "nothing; --write writes weights that are better than equal ones and than chance")]
    return output.columns(rows)


def _common(ctx: typer.Context, home: Any, profile: Any, sets: Any, as_json: bool) -> Common:
    """Options count on either side of the subcommand."""
    above: Common = ctx.obj
    return Common(home or above.home, profile or above.profile, (*above.sets, *(sets or ())), as_json or above.as_json)


@contextmanager
def _buffer(common: Common) -> Iterator[Buffer]:
    from edge_sleep.data.buffer import Buffer
    place = common.existing_home()
    if not place.experiences.is_file():
        raise UsageError(f"{place.root} holds no experiences yet", "`edge-sleep ingest PATH` reads transcripts")
    with Buffer(place.experiences) as buffer:
        yield buffer


def as_item(experience: Any) -> dict:
    """The JSON shape of one experience, as other programs read it."""
    values = asdict(experience) if is_dataclass(experience) and not isinstance(experience, type) else dict(experience)
    return {key: values.get(key) for key in ("id", "prompt", "response", "salience", "status", "reason", "session",
                                             "trained_in")} | {"trained_in": list(values.get("trained_in") or ())}


def as_table(items: list[dict]) -> str:
    if not items:
        return "no experiences"
    return output.columns([(item["id"], f"{(item['salience'] or {}).get('total', 0):.2f}", item["status"],
                            item["reason"] or "", f"{_short(item['prompt'], 32)} -> {_short(item['response'], 44)}")
                           for item in items])


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most - 3] + "..."


def _print(item: dict, common: Common, evidence: str | None = None) -> None:
    scores = ", ".join(f"{name} {value:.2f}" for name, value in (item["salience"] or {}).items())
    text = output.columns([("id", item["id"]), ("status", item["status"]), ("reason", item["reason"] or "-"),
                           *([("evidence", evidence)] if evidence else []),
                           ("salience", scores), ("session", item["session"]),
                           ("trained in", ", ".join(item["trained_in"]) or "no night yet"),
                           ("prompt", item["prompt"]), ("response", item["response"])])
    output.answer(item, text, common.as_json)
