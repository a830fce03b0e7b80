"""The same two machines through Dropbox's own SDK, and a server that speaks as Dropbox does."""
from __future__ import annotations

import json
import re

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


def test_login_then_push_and_pull_by_the_command(two, dropbox_server, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """The token is where nobody else can read it, and in no word that is said."""
    from edge_sleep.cli import sync
    from edge_sleep.cli.main import run
    said, secrets = [], []

    def prompt(what: str, **_) -> str:
        if "key" in what:
            return APP_KEY
        said.append(capsys.readouterr().err)
        return dropbox_server.approve(re.search(r"https://\S+", said[-1])[0])

    monkeypatch.setattr(sync.typer, "prompt", prompt)
    remote = ["--set", "sync.remote=dropbox:/companion", "--set", f"companion.model={two.orin.base.place.folder}"]
    made = two.orin.night(1)
    assert run(["sync", "push", "--home", str(two.orin.home.root), *remote]) == 40
    assert "edge-sleep sync login" in capsys.readouterr().err
    for one in (two.orin, two.thor):
        assert run(["sync", "login", "--home", str(one.home.root), *remote]) == 0
        token = one.home.keys / "dropbox.json"
        assert token.stat().st_mode & 0o777 == 0o600
        secrets.append(json.loads(token.read_text())["refresh_token"])
    assert run(["sync", "push", "--home", str(two.orin.home.root), *remote]) == 0
    assert run(["sync", "pull", "--home", str(two.thor.home.root), *remote]) == 0
    told = capsys.readouterr()
    assert made in told.out and len(set(secrets)) == 2
    assert not any(secret in told.out + told.err + "".join(said) for secret in secrets)
    assert (two.thor.home.adapter(made) / "manifest.json").is_file()
    for one in (two.orin, two.thor):
        for name in ("outbox", "received", "adapters"):
            everything = b"".join(file.read_bytes() for file in (one.home.root / name).rglob("*") if file.is_file())
            assert not any(secret.encode() in everything for secret in secrets)
