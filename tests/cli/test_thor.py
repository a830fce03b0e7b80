"""`thor`, `ship` and `worker` as they are typed."""
from __future__ import annotations

import json
import re
import shlex
import threading
from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.cli import ship as shipping
from edge_sleep.cli.main import run
from edge_sleep.errors import Exit
from edge_sleep.seal.keys import Keys
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from edge_sleep.thor import ledger
from edge_sleep.thor.mailbox import Mailbox
from tests.documents import parse, shell_lines

ROOT = Path(__file__).parent.parent.parent
JOB = "0123456789abcdef" * 2


def test_the_guide_s_commands_exist() -> None:
    lines = [line for line in shell_lines("docs/thor.md") if line.startswith("edge-sleep")]
    assert {tuple(line.split()[1:3])[0] for line in lines} >= {"thor", "worker", "ship", "night", "timer"}
    for line in lines:
        parse(shlex.split(line)[1:])


def said(capsys: pytest.CaptureFixture, *arguments: str, code: int = 0) -> dict:
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def peers(home: Path) -> list[str]:
    return [peer.name for peer in Keys.open(home / "keys").peers]


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "mailbox").mkdir()
    return tmp_path / "edge", tmp_path / "thor"


def test_pairing_by_comparing(homes: tuple[Path, Path], capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    edge, thor = homes
    invitations = {home.name: said(capsys, "thor", "pair", "--invite", "--home", str(home), "--name", home.name)["invitation"]
                   for home in homes}
    file = tmp_path / "invitation.txt"
    file.write_text(invitations["thor"])
    assert run(["thor", "pair", "--home", str(edge), "--with", str(file), "--digits", "0" * 40]) == Exit.REMOTE_REFUSED
    assert peers(edge) == []
    from edge_sleep.seal.pairing import digits, invited
    shown = digits(Keys.open(edge / "keys").own, invited(invitations["thor"]))
    assert run(["thor", "pair", "--home", str(edge), "--with", str(file), "--digits", shown]) == 0
    assert run(["thor", "pair", "--home", str(thor), "--with", invitations["edge"], "--digits", shown.replace(" ", "")]) == 0
    assert (peers(edge), peers(thor)) == (["thor"], ["edge"])
    capsys.readouterr()
    known = said(capsys, "thor", "list", "--home", str(edge))
    assert [peer["name"] for peer in known["peers"]] == ["thor"]
    before = Keys.open(edge / "keys").own
    assert said(capsys, "thor", "rotate", "--home", str(edge))["rotations"] == 1
    assert Keys.open(edge / "keys").own.id == before.id and Keys.open(edge / "keys").own.sign_key != before.sign_key
    assert run(["thor", "forget", "nobody", "--home", str(edge)]) == Exit.USAGE
    assert run(["thor", "forget", known["peers"][0]["id"][:6], "--home", str(edge)]) == 0 and peers(edge) == []


def test_pairing_by_a_code(homes: tuple[Path, Path], capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    edge, thor = homes
    sets = ("--set", f"thor.mailbox=folder:{tmp_path / 'mailbox'}", "--wait", "60s")
    codes: list[int] = []
    first = threading.Thread(target=lambda: codes.append(run(["thor", "pair", "--home", str(edge), "--name", "edge", *sets])))
    first.start()
    shown = ""
    while first.is_alive() and not (found := re.search(r"--code (\S+)", shown)):
        shown += capsys.readouterr().err
    assert found, shown
    assert run(["thor", "pair", "--home", str(thor), "--name", "thor", "--code", found[1], *sets]) == 0
    first.join(60)
    assert codes == [0] and (peers(edge), peers(thor)) == (["thor"], ["edge"])
    # A code is good for one exchange.
    assert run(["thor", "pair", "--home", str(tmp_path / "third"), "--code", found[1], *sets]) != 0
    assert peers(tmp_path / "third") == []


def test_a_code_that_nobody_answers(homes: tuple[Path, Path], capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    mailbox = f"thor.mailbox=folder:{tmp_path / 'mailbox'}"
    assert run(["thor", "pair", "--home", str(homes[0]), "--set", mailbox, "--wait", "0s"]) == Exit.SYNC
    assert run(["thor", "pair", "--home", str(homes[0]), "--set", mailbox, "--code", "abc"]) == Exit.USAGE
    assert run(["thor", "pair", "--home", str(homes[0])]) == Exit.USAGE
    assert "--invite" in capsys.readouterr().err


@pytest.mark.parametrize("sets, why", [
    ((), "no mailbox"), (("thor.mailbox=folder:/nowhere", "thor.ship=never"), "never"), (("thor.mailbox=folder:/nowhere",), "paired")])
def test_ship_says_at_once_why_nothing_can_be_shipped(sets: tuple[str, ...], why: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    given = [part for one in sets for part in ("--set", one)]
    assert run(["ship", "--home", str(tmp_path / "home"), *given]) == Exit.USAGE
    assert why in capsys.readouterr().err and not list((tmp_path / "home" / "nights").iterdir())


def test_a_worker_without_bases_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(["worker", "--home", str(tmp_path), "--set", "thor.mailbox=folder:/nowhere"]) == Exit.USAGE
    assert "thor.bases" in capsys.readouterr().err
    assert run(["worker", "--home", str(tmp_path), "--set", "thor.bases=[seedling]", "--once"]) == Exit.SYNC


def test_status_cancel_and_prune(homes: tuple[Path, Path], tmp_path: Path) -> None:
    home = Home(homes[0]).make()
    keys = {place.name: Keys.open(place / "keys", place.name) for place in homes}
    keys["edge"].add(keys["thor"].own)
    keys["thor"].add(keys["edge"].own)
    settings = config.load(None, [f"thor.mailbox=folder:{tmp_path / 'mailbox'}"])
    edge, thor = (Mailbox.open(Home(place).make(), settings, Clock()) for place in homes)
    sealed = tmp_path / "sealed"
    sealed.write_bytes(b"sealed")
    edge.offer(JOB, sealed, [keys["thor"].own], tmp_path / "note")
    ledger.write(home, ledger.blank("edge", JOB, ledger.SENT) | {"packed": "2026-01-17", "shipped": "2026-01-17", "night": "n",
                                                                "workers": [keys["thor"].own.id]})
    assert [one["said"] for one in shipping.standing(home, settings)] == ["no worker has taken it yet"]
    offer = thor.waiting(JOB)
    thor.take(offer, 1)
    thor.beat(offer, 1, 1, step=2, steps=7)
    assert shipping.standing(home, settings)[0]["said"] == "thor has it (lease 1), step 2 of 7"
    assert shipping.pruned(home, settings) == []                        # what is away stays
    assert shipping.taken_back(home, settings)[0]["state"] == ledger.CANCELLED
    assert thor.seen(offer).closed == "it was taken back" and shipping.taken_back(home, settings) == []
    assert "5 files" in shipping.pruned(home, settings)[0]["said"] and not edge.remote.list("jobs/")
