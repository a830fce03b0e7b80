"""Remotes of both kinds that take no real time, and everything that was logged."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sleep.remote.protocol import Remote
from edge_sleep.system.clock import ManualClock
from tests.fake_dropbox import APP_KEY, REFRESH_TOKEN, Server, dropbox_server, on_manual_clock

__all__ = ["dropbox_server", "on_manual_clock"]
CHUNK_BYTES, BLOCK_BYTES = 16_384, 4096
Open = Callable[..., Remote]


@pytest.fixture
def open_dropbox(dropbox_server: Server, on_manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A client of the server, in small chunks, that trusts it by `ca_certs` alone; another machine's is opened by another call."""
    from edge_sleep.remote import dropbox
    from edge_sleep.remote.token import Token
    monkeypatch.setattr(dropbox, "_BLOCK_BYTES", BLOCK_BYTES)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def opened(root: str = "/Apps/edge sleep", **more) -> Remote:
        return dropbox.DropboxRemote(root, Token(APP_KEY, REFRESH_TOKEN), ca_certs=dropbox_server.ca_certs,
                             **{"chunk_bytes": CHUNK_BYTES, "clock": on_manual_clock, **more})

    return opened


@pytest.fixture(params=["folder", "dropbox", "dropbox at its root"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    """A remote on a manual clock."""
    if request.param == "folder":
        from edge_sleep.remote.folder import FolderRemote
        (tmp_path / "remote").mkdir()
        return FolderRemote(tmp_path / "remote", clock=ManualClock())
    return request.getfixturevalue("open_dropbox")("/Apps/edge sleep" if request.param == "dropbox" else "")
