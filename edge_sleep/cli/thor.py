"""`edge-sleep thor pair|list|forget|rotate`: which machines trust each other's work."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit, RemoteRefused, UsageError

if TYPE_CHECKING:
    from edge_sleep.seal.keys import Keys
    from edge_sleep.seal.machine import Machine
    from edge_sleep.system.home import Home

_EVERY_SECONDS = 2.0

app = typer.Typer(help="Which machines trust each other's work.\n\nExample: edge-sleep thor pair", no_args_is_help=True,
                  rich_markup_mode=None)


@app.command("pair")
def pair(
    code: Annotated[str | None, typer.Option(
        "--code", metavar="CODE", help="The code that the other machine shows; both use thor.mailbox.")] = None,
    invite: Annotated[bool, typer.Option(
        "--invite", help="Print this machine's invitation, for a machine without a common mailbox.")] = False,
    given: Annotated[str | None, typer.Option(
        "--with", metavar="TEXT|FILE", help="The other machine's invitation: its text, a file with it, or - for stdin.")] = None,
    digits: Annotated[str | None, typer.Option(
        "--digits", metavar="DIGITS", help="With --with: the digits that the other machine shows; asked for otherwise.")] = None,
    wait: Annotated[str, typer.Option("--wait", metavar="TIME", help="How long the other machine is waited for.")] = "10m",
    name: Annotated[str | None, typer.Option("--name", help="What people call this machine.  [default: its host name]")] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Make two machines trust each other: by a code typed on the second one, or by comparing digits on both.

    Through a common thor.mailbox: `thor pair` here shows a code, `thor pair --code CODE` there answers. Without one: `--invite`
    on both, the text carried over by any way, `--with` on both, and the same digits must show on both.

    Example: edge-sleep thor pair --set thor.mailbox=folder:/mnt/mailbox
    """
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    keys = _keys(place, name)
    if invite:
        from edge_sleep.seal.pairing import invitation
        text = invitation(keys)
        output.answer({"machine": keys.own.id, "invitation": text}, text, as_json)
    elif given is not None:
        _answer(_by_comparing(keys, given, digits), as_json)
    else:
        _answer(_by_code(place, common, keys, code, wait, as_json), as_json)


@app.command("list")
def listed(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """This machine's id, and the machines it trusts.

    Example: edge-sleep thor list
    """
    keys = _keys(Common.of(home, profile, sets, as_json).existing_home())
    own, peers = keys.own, keys.peers
    rows = [("this machine", own.id, own.name, _age(own)), *(("trusts", peer.id, peer.name, _age(peer)) for peer in peers)]
    output.answer({"machine": _public(own), "peers": [_public(peer) for peer in peers]}, output.columns(rows), as_json)


@app.command("forget")
def forget(machine: Annotated[str, typer.Argument(metavar="MACHINE", help="Its id, or the beginning of it, or its name.")],
           home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Trust a machine no more: nothing is sealed for it, and nothing of it is believed.

    Example: edge-sleep thor forget 3f9a1c0d5b7e2468
    """
    keys = _keys(Common.of(home, profile, sets, as_json).existing_home())
    found = [peer for peer in keys.peers if peer.id.startswith(machine) or peer.name == machine]
    if len(found) != 1:
        raise UsageError(f"{machine} is {'no paired machine' if not found else 'the beginning of several ids'}",
                         "`edge-sleep thor list` has them")
    keys.forget(found[0].id)
    output.answer({"forgotten": found[0].id}, f"{found[0].name} ({found[0].id}) is trusted no more", as_json)


@app.command("rotate")
def rotate(compromised: Annotated[bool, typer.Option(
               "--compromised", help="Somebody else may have the old keys: nothing they signed counts any more.")] = False,
           home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """New keys for this machine; its peers follow by a statement that the old ones signed. Jobs that are away are lost with it.

    Example: edge-sleep thor rotate
    """
    own = _keys(Common.of(home, profile, sets, as_json).existing_home()).rotate(compromised)
    output.answer(_public(own), f"{own.name} ({own.id}) has new keys; its peers follow at the next document they read", as_json)


def _keys(home: Home, name: str | None = None) -> Keys:
    from edge_sleep.seal.keys import Keys
    return Keys.open(home.keys, name)


def _by_comparing(keys: Keys, given: str, typed: str | None) -> Machine:
    """The machine of an invitation, trusted once a person has compared the digits. Raises RemoteRefused where they differ."""
    from edge_sleep.seal.pairing import digits, invited
    text = sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8") if _is_file(given) else given
    other = invited(text)
    ours = digits(keys.own, other)
    if typed is None:
        output.say(f"{other.name} ({other.id})\n\n    {ours}\n")
        same = typer.confirm("Does the other machine show exactly these digits?", err=True)
    else:
        same = "".join(typed.split()) == "".join(ours.split())
    if not same:
        raise RemoteRefused("the digits differ: the invitation is not the one that was made there, or somebody altered it",
                            "carry the invitations over by another way, and compare again")
    keys.add(other)
    return other


def _by_code(place: Home, common: Common, keys: Keys, typed: str | None, wait: str, as_json: bool) -> Machine:
    """The machine at the other end of a code, through the mailbox. Raises SyncError where it does not come in time."""
    from edge_sleep import config as settings
    from edge_sleep.errors import SyncError
    from edge_sleep.remote.protocol import Missing
    from edge_sleep.seal.pairing import LIMIT_BYTES, Exchange, new_code
    from edge_sleep.system.clock import Clock
    from edge_sleep.thor.mailbox import Mailbox
    clock = Clock()
    config = context.configure(place, common)
    if not config.thor.mailbox:
        raise UsageError("no mailbox is configured, through which a code could be answered",
                         "`--set thor.mailbox=folder:/PATH` on both machines; without one: `edge-sleep thor pair --invite`")
    remote = Mailbox.open(place, config, clock).remote
    until = clock.monotonic() + _seconds(settings.parse_duration, wait)
    code = typed or new_code()
    exchange = Exchange(keys, code)
    if typed is None:
        remote.publish(exchange.invitation_name, exchange.invitation())
        output.say(f"on the other machine:\n\n    edge-sleep thor pair --code {code}\n\nwaiting for it ...")
    name = exchange.answer_name if typed is None else exchange.invitation_name
    while True:
        try:
            received = remote.read(name, LIMIT_BYTES)
            break
        except Missing:
            if clock.monotonic() >= until:
                raise SyncError("the other machine did not answer",
                                "begin anew with `edge-sleep thor pair`; both use one mailbox") from None
            remote.wait(f"{name.rpartition('/')[0]}/", min(_EVERY_SECONDS, max(0.1, until - clock.monotonic())))
    if typed is None:
        other = exchange.accept_answer(received)
    else:
        other, answer = exchange.answer(received)
        remote.publish(exchange.answer_name, answer)
    keys.add(other)
    return other


def _seconds(parse: Any, text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"--wait {error}", "ten minutes are 10m") from None


def _is_file(text: str) -> bool:
    return len(text) < 255 and "\n" not in text and Path(text).is_file()


def _answer(other: Machine, as_json: bool) -> None:
    output.answer({"paired": _public(other)}, f"paired with {other.name} ({other.id})", as_json)
    raise typer.Exit(Exit.OK)


def _public(machine: Machine) -> dict[str, Any]:
    return {"id": machine.id, "name": machine.name, "made": machine.made, "rotations": len(machine.rotations)}


def _age(machine: Machine) -> str:
    changed = f", keys changed {machine.rotations[-1].at[:10]}" if machine.rotations else ""
    return f"since {machine.made[:10]}{changed}"
