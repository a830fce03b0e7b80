"""A night elsewhere through Dropbox's own SDK, and a server that speaks as Dropbox does and breaks off as networks do."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.checkpoint import store
from edge_sleep.thor import ledger, mailbox
from tests.fake_dropbox import APP_KEY, REFRESH_TOKEN, Server, dropbox_server, on_manual_clock
from tests.thor import machines

__all__ = ["dropbox_server", "on_manual_clock"]


@pytest.fixture
def through_dropbox(dropbox_server: Server, on_manual_clock, monkeypatch: pytest.MonkeyPatch) -> Server:
    from edge_sleep.remote.dropbox import DropboxRemote
    from edge_sleep.remote.token import Token
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(mailbox, "open_remote", lambda place, **_: DropboxRemote(
        "/Apps/companion", Token(APP_KEY, REFRESH_TOKEN), ca_certs=dropbox_server.ca_certs, clock=on_manual_clock, chunk_bytes=16_384))
    return dropbox_server


@pytest.mark.night
def test_a_night_is_shipped_trained_and_promoted_through_dropbox(tmp_path: Path, through_dropbox: Server) -> None:
    place = machines.make(tmp_path)
    there, always = "thor.mailbox=dropbox:/companion", "thor.ship=always"        # the server's memory is this process's, too
    place.pair("edge", "thor")
    assert place.night("edge", there, always, memory=0)["outcome"] == "shipped"
    assert "no worker has taken it yet" in place.night("edge", there, always, memory=0)["reason"]
    assert place.work("thor", there)[0] == 1
    record = place.night("edge", there, always, memory=0)
    assert record["outcome"] == "promoted" and record["candidate"] == store.incumbent(place.home("edge"))
    [edge], [thor] = place.jobs("edge", "edge"), place.jobs("worker", "thor")
    assert {key: edge[key] for key in ledger.SHARED} == {key: thor[key] for key in ledger.SHARED}
    assert not list((place.root / "mailbox").iterdir())
