"""The same two machines through Dropbox's own SDK, and a server that speaks as Dropbox does."""
from __future__ import annotations

import pytest

from tests.fake_dropbox import APP_KEY, REFRESH_TOKEN, dropbox_server, on_manual_clock
from tests.sync.homes import WORDS

__all__ = ["dropbox_server", "on_manual_clock"]


@pytest.fixture
def open_dropbox(dropbox_server, on_manual_clock, monkeypatch: pytest.MonkeyPatch):
    from edge_sleep.remote.dropbox import DropboxRemote
    from edge_sleep.remote.token import Token
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return lambda: DropboxRemote("/Apps/companion", Token(APP_KEY, REFRESH_TOKEN), ca_certs=dropbox_server.ca_certs,
                                 clock=on_manual_clock, chunk_bytes=16_384)


def test_through_dropbox_and_back(two, open_dropbox) -> None:
    made = [two.orin.night(seed) for seed in range(2)]
    assert [item["id"] for item in two.orin.push(open_dropbox()).sent if item["kind"] == "adapter"] == made
    assert [item["id"] for item in two.thor.pull(open_dropbox()).fetched] == made
    assert two.orin.push(open_dropbox()).sent == [] and two.thor.pull(open_dropbox()).fetched == []
    made.append(two.orin.night(7))
    two.orin.push(open_dropbox())
    assert two.thor.pull(open_dropbox()).machines[0]["latest"] == made[-1]
    assert WORDS and {folder.name for folder in two.thor.home.adapters.iterdir()} == set(made)
