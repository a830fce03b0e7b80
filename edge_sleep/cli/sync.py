"""`edge-sleep sync login|push|pull|status|prune|import`: adapters travel between machines, sealed, by the owner's word alone."""
from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit, RemoteRefused, SyncError, UsageError

if TYPE_CHECKING:
    from edge_sleep.config import Config, Sync
    from edge_sleep.model.base import Base
    from edge_sleep.remote.protocol import Remote
    from edge_sleep.seal.keys import Keys
    from edge_sleep.sync.pull import Pulled
    from edge_sleep.system.home import Home

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None,
                  help="Move accepted adapters between machines that are paired (`edge-sleep thor pair`), through a folder or "
                       "Dropbox that nobody has to trust. Nothing leaves while sync.remote is empty. Exit 40: the remote could "
                       "not be used, what waits is kept; 41: something on it is not to be trusted.\n\n"
                       "Example: edge-sleep sync push --set sync.remote=folder:/mnt/stick/companion")


@app.command()
def push(
    again: Annotated[bool, typer.Option("--again", help="Send the current adapter and all it grew from anew, sealed for everyone "
                                        "who is paired now.")] = False,
    export: Annotated[Literal["onnx", "gguf"] | None, typer.Option("--export", help="Send the base exports of this kind that "
                                                                   "were made here, too.")] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Send what waits: every accepted adapter that was made here and is not on the remote yet.

    Example: edge-sleep sync push
    """
    from edge_sleep.sync import backoff, outbox
    from edge_sleep.sync import push as pushing
    from edge_sleep.system.clock import Clock
    place = Common.of(home, profile, sets, as_json).existing_home()
    settings, clock = _settings(place, sets), Clock()
    remote, keys = _remote(place, settings), _keys(place)
    if again:
        outbox.queue_current(place, clock, again=True)
    for folder in sorted((place.exports / export).glob("base-*")) if export else []:
        outbox.queue_export(place, clock, export or "", folder.name, again)
    try:
        done = pushing.push(place, remote, keys, clock, output.say)
    except SyncError as error:
        noted, waits = backoff.read(outbox.backoff_file(place)), len(outbox.waiting(place))
        error.message += f"; {waits} parcels wait in the outbox" + (
            f", tried again by itself in {output.span(noted.left_seconds(clock))}" if noted else "")
        raise
    document = done.as_json() | {"waiting": len(outbox.waiting(place))}
    rows = [*(("sent", f"{item['kind']} {item['id']}") for item in done.sent),
            *(("waits", f"{item['kind']} {item['id']}: {item['why']}") for item in done.kept),
            *(("dropped", f"{item['kind']} {item['id']}: {item['why']}") for item in done.dropped),
            *(("note", note) for note in done.notes)]
    for_whom = ", ".join(done.sealed_for) or "this machine alone: none is paired (`edge-sleep thor pair`)"
    output.answer(document, "\n".join(filter(None, [output.columns(rows), f"sealed for {for_whom}"]))
                  if rows else "nothing waits: the remote has all there is", as_json)
    raise typer.Exit(Exit.INTEGRITY if done.kept else Exit.OK)


@app.command()
def pull(
    use: Annotated[str | None, typer.Option("--use", metavar="ID", help="Make this adapter current: proven first, by loading it "
                                            "here.")] = None,
    named: Annotated[list[str] | None, typer.Option("--adapter", metavar="ID", help="Fetch this one, though it was here and was "
                                                    "let go; may be repeated.")] = None,
    exports: Annotated[bool, typer.Option("--exports", help="Fetch base exports that other machines made, too.")] = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Fetch what paired machines published; each is verified before it is visible. None becomes current by it.

    Example: edge-sleep sync pull --use 3f9ac0d1
    """
    from edge_sleep.checkpoint import store
    from edge_sleep.sync import pull as pulling
    from edge_sleep.system.clock import Clock
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    config = context.configure(place, common)
    done = pulling.Pulled()
    if use is None or not _is_here(place, use):
        kinds = ("onnx", "gguf") if exports else tuple(kind.partition("-")[0] for kind in config.export.kinds)
        asked = [pulling.offered(place, prefix) for prefix in [*(named or []), *([use] if use else [])]
                 if pulling.known(place, prefix)]
        done = pulling.pull(place, _base(place, config), _remote(place, config.sync), _keys(place), Clock(), exports=kinds,
                            asked=asked, say=output.say)
    document: dict[str, Any] = done.as_json() | {"current": None}
    if use is not None:
        document["current"] = _make_current(place, config, store.find(place, use))
    output.answer(document, _pulled(done, document["current"]), as_json)
    raise typer.Exit(Exit.REMOTE_REFUSED if done.refused else Exit.OK)


@app.command()
def status(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Say what waits and why, what was sent and received, and what goes by itself. Asks nobody.

    Example: edge-sleep sync status
    """
    from edge_sleep.sync import state
    from edge_sleep.system.clock import Clock
    place = Common.of(home, profile, sets, as_json).existing_home()
    found = state.document(place, _settings(place, sets), Clock())
    output.answer(found, _status(found), as_json)


@app.command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say what would go.")] = False,
    named: Annotated[list[str] | None, typer.Option("--adapter", metavar="ID", help="Withdraw this one of this machine's, and "
                                                    "what grew from it; may be repeated.")] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Remove from the remote what this machine put there and nothing needs any more; nothing else is ever deleted there.

    Example: edge-sleep sync prune
    """
    from edge_sleep.sync import ledger
    from edge_sleep.sync import prune as pruning
    from edge_sleep.system.clock import Clock
    place = Common.of(home, profile, sets, as_json).existing_home()
    ids = [_one(prefix, [str(parcel.id) for parcel in ledger.read(place).parcels]) for prefix in named or []]
    told = pruning.prune(place, _remote(place, _settings(place, sets)), _keys(place), Clock(), ids, yes)
    rows = [("stays" if item["kept"] else "removed" if yes else "would go", f"{item['kind']} {item['id']}",
             output.size(item["bytes"]), item["reason"]) for item in told["items"]]
    ending = f"{told['left_over']} blobs, {output.size(told['removed_bytes'])}, {'removed' if yes else 'would be removed'}"
    lines = [output.columns(rows), ending if yes else f"{ending}; add --yes to do it"]
    output.answer(told, "\n".join(filter(None, lines)), as_json)


@app.command()
def login(
    app_key: Annotated[str | None, typer.Option("--app-key", metavar="KEY", help="The key of your own app at Dropbox (scoped, "
                                                "App folder).  [default: asked for]", show_default=False)] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Let this machine into the Dropbox of sync.remote; its token is kept in the home's keys/, for its owner's eyes only.

    Example: edge-sleep sync login --set sync.remote=dropbox:/companion
    """
    place = Common.of(home, profile, sets, as_json).open_home()
    settings = _settings(place, sets)
    if settings.remote.startswith("folder:"):
        output.answer({"remote": settings.remote, "needed": False}, "a folder needs no login: whoever can write to it is let in, "
                      "and nothing in it is believed before it was verified", as_json)
        return
    if not settings.remote:
        raise UsageError("sync.remote is empty: there is nothing to log in to", "--set sync.remote=dropbox:/PATH")
    from edge_sleep.remote import token
    token.sdk()
    begun = token.Login(app_key or typer.prompt("The key of your app at Dropbox", err=True), timeout=settings.timeout)
    output.say(f"open this page, allow it, and come back with the code:\n{begun.url}")
    token.save(place.keys, begun.finish(typer.prompt("The code", hide_input=True, err=True)))
    _remote(place, settings).list("machines/")             # it lets this machine in, or says why not
    output.answer({"remote": settings.remote, "needed": True}, f"this machine is let in at {settings.remote}", as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sync_config.json.")],
    machine: Annotated[str, typer.Option("--machine", metavar="NAME", help="Which of its machines this one is.")],
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Take over SAGE's dropbox/sync_config.json into this home's edge-sleep.yaml; says what each line became, and what is lost.

    Example: edge-sleep sync import sync_config.json --machine jetson
    """
    from edge_sleep.config import load
    from edge_sleep.sync.imported import carried_over
    from edge_sleep.system import settings_file
    place = Common.of(home, profile, sets, as_json).open_home()
    try:
        document = json.loads(file.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as JSON: {error}", "name SAGE's dropbox/sync_config.json") from error
    found = carried_over(document, machine)
    if found.settings:
        load(place.config, [f"sync.{key}={json.dumps(value)}" for key, value in found.settings.items()])  # wrong ones stop here
        settings_file.write_values(place.config, "sync", found.settings)
    rows = [*(("became", f"{what}  ->  {now}") for what, now in found.became),
            *(("lost", f"{what}: {why}") for what, why in found.lost)]
    output.answer(found.as_json() | {"file": str(place.config)}, f"{output.columns(rows)}\nwritten to {place.config}", as_json)


def _settings(place: Home, sets: list[str] | None) -> Sync:
    """The section, without looking for a base: that is not needed for what is sealed already."""
    from edge_sleep.config import load
    return load(place.config, sets or []).sync


def _remote(place: Home, settings: Sync) -> Remote:
    from edge_sleep.remote.choose import open_remote
    if not settings.remote:
        raise UsageError("sync.remote is empty: nothing leaves this machine, and nothing comes",
                         "sync.remote: folder:/PATH or dropbox:/PATH in the home's edge-sleep.yaml; docs/sync.md")
    return open_remote(settings.remote, keys=place.keys, timeout=settings.timeout, bandwidth_bytes=settings.bandwidth_bytes)


def _keys(place: Home) -> Keys:
    from edge_sleep.seal.keys import Keys
    return Keys.open(place.keys)


def _base(place: Home, config: Config) -> Base:
    """The base that adapters must have grown on: the home's, or, before its first night, the one it is configured for."""
    from edge_sleep.model import base
    from edge_sleep.system import base_record
    found = base.resolve(config.companion.model, config.companion.allow_download)
    if not place.base.is_file():
        return base.Base(found, base.fingerprint(found)[0], "float32")
    known = base_record.read(place)
    return base.Base(found, known["sha256"], known["compute_dtype"], place.cache, known["quantisation"])


def _is_here(place: Home, prefix: str) -> bool:
    from edge_sleep.checkpoint import store
    try:
        return bool(store.find(place, prefix))
    except UsageError:
        return False


def _make_current(place: Home, config: Config, adapter_id: str) -> dict:
    """Prove an adapter by loading it here, then make it current; why stands in received/used.json. Raises RemoteRefused."""
    from edge_sleep.checkpoint import store
    from edge_sleep.serve import proof
    from edge_sleep.sync import received
    from edge_sleep.system import lock
    from edge_sleep.system.clock import Clock
    clock = Clock()
    with lock.hold(place.night_lock, "a rollback"), output.libraries_to_stderr():
        if not place.base.is_file():
            _declare(place, config, clock.stamp())
        found = proof.of_adapter(place, config, adapter_id)
        if found["problems"]:
            raise RemoteRefused(f"{adapter_id} is not made current: {found['problems'][0]}", "what is current stays")
        origin = received.origin(place, adapter_id)
        whose = f"machine {origin['name']} ({origin['machine']})" if origin else "this machine"
        reason = f"asked for by `sync pull --use`; made on {whose}; it loads here and moves the base's logits by " \
                 f"{found['differs_from_base']:.4f}"
        entry = {"adapter": adapter_id, "before": store.incumbent(place), "machine": origin and origin["machine"],
                 "at": clock.stamp(), "reason": reason, "differs_from_base": found["differs_from_base"]}
        received.used(place, entry)                # before: what became current without a reason would be a riddle
        store.rollback(place, adapter_id, clock)
    return entry


def _declare(place: Home, config: Config, created: str) -> None:
    """Bind a home that had no night to its base, in the form that its first night would give it."""
    from edge_sleep.device import detect
    from edge_sleep.model import base
    from edge_sleep.stages import learn
    learn.declare(place, base.resolve(config.companion.model, config.companion.allow_download), config,
                  detect.choose(config.companion.compute_dtype), created)


def _one(prefix: str, ids: list[str]) -> str:
    matches = {found for found in ids if found.startswith(prefix)}
    if len(matches) != 1:
        raise UsageError(f"{len(matches)} of what this machine published begin with {prefix!r}",
                         "`edge-sleep sync status --json` lists it")
    return matches.pop()


def _pulled(done: Pulled, current: dict | None) -> str:
    rows = [*(("fetched", f"{item['kind']} {item['id']}") for item in done.fetched),
            *(("left", f"{item.get('id') or item['machine']}: {item['why']}") for item in done.left),
            *(("refused", f"{item.get('id') or item['machine']}: {item['why']}") for item in done.refused)]
    newest = [("current there", f"{machine['name']}: {machine['latest']}") for machine in done.machines if machine["latest"]]
    lines = [output.columns([*rows, *newest])] if rows or newest else ["nothing new"] if current is None else []
    if not done.machines and current is None:
        lines.append("no machine is paired with this one: `edge-sleep thor pair`")
    if done.fetched:
        lines.append("none of them is current by that: `edge-sleep sync pull --use ID` proves one and makes it so")
    if current is not None:
        lines.append(f"the next session loads {current['adapter']}: {current['reason']}")
    return "\n".join(lines)


def _status(found: dict) -> str:
    rows = [("remote", found["remote"] or "none: nothing leaves this machine"),
            ("sends by itself", f"{'yes' if found['sends'] else 'no'}: {found['why_sends']}"),
            ("fetches by itself", f"{'yes' if found['fetches'] else 'no'}: {found['why_fetches']}"),
            ("paired with", ", ".join(machine["name"] for machine in found["paired"]) or "nobody: `edge-sleep thor pair`"),
            ("waits", f"{len(found['waiting'])}, {output.size(sum(item['bytes'] for item in found['waiting']))}")]
    rows += [("", f"{item['kind']} {item['id']}, since {item['queued'][:16]}: {item['why']}") for item in found["waiting"]]
    if (backoff := found["backoff"]) is not None:
        rows.append(("last try", f"failed, {backoff['attempts']} in a row: {backoff['why']}; again in "
                     f"{output.span(backoff['next_try_in_seconds'])}"))
    rows.append(("published", f"{len(found['published']['parcels'])} parcels, list {found['published']['serial']}"))
    rows += [("seen of", f"{machine['name'] or machine['id']}: list {machine['serial']}, {machine['parcels']} parcels, current "
              f"there {machine['latest'] or 'the base'}") for machine in found["machines"]]
    rows += [("received", f"{item['id']} of {item['name']}, {item['at'][:16]}" + ("" if item["here"] else ", let go since"))
             for item in found["received"]]
    return output.columns(rows)
