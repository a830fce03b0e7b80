"""Who may ask, as a table: by the token where there is one, by host and origin where there is none."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.errors import UsageError
from edge_sleep.serve.access import TOKEN, Access, is_loopback, token_of
from edge_sleep.system.home import Home

TOLD = "a" * 43


@pytest.mark.parametrize("host, loopback", [("127.0.0.1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False), ("", False),
                                            ("192.168.1.4", False), ("localhost.example.org", False), ("::", False)])
def test_what_reaches_this_machine_only(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("path, headers, status", [
    ("/v1/models", {"authorization": f"Bearer {TOLD}"}, None), ("/v1/models", {"authorization": f"bearer  {TOLD} "}, None),
    ("/v1/models", {"authorization": f"Basic {TOLD}"}, 401), ("/v1/models", {"authorization": TOLD}, 401), ("/v1/models", {}, 401),
    ("/v1/models", {"authorization": "Bearer "}, 401), ("/v1/models", {"authorization": f"Bearer {TOLD[:-1]}"}, 401),
    ("/health", {}, None), ("/health", {"authorization": "Bearer wrong"}, None)])
def test_with_a_token(path: str, headers: dict, status: int | None) -> None:
    refused = Access(TOLD).refusal(path, headers)
    assert (refused and refused.status) == status
    assert Access(TOLD).known(headers) is (headers.get("authorization", "").lower().startswith("bearer") and TOLD in headers["authorization"])


@pytest.mark.parametrize("headers, status", [
    ({"host": "127.0.0.1:8327"}, None), ({"host": "[::1]:8327", "origin": "http://localhost:3000"}, None), ({}, 403),
    ({"host": "evil.example:8327"}, 403), ({"host": "[::1"}, 403), ({"host": "localhost", "origin": "https://evil.example"}, 403),
    ({"host": "localhost", "origin": "null"}, 403), ({"host": "localhost", "origin": "http://[::1"}, 403)])
def test_on_the_loopback(headers: dict, status: int | None) -> None:
    refused = Access(None).refusal("/v1/models", headers)
    assert (refused and refused.status) == status and Access(None).known(headers) is (status is None)


def test_a_token_is_made_once_and_read_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").make()
    made = token_of(home)
    assert len(made) == 43 and token_of(home) == made
    assert (home.keys / TOKEN).stat().st_mode & 0o777 == 0o600 and home.keys.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("spoil, said", [
    (lambda home: home.keys.chmod(0o750), "can be read by others"), (lambda home: (home.keys / TOKEN).chmod(0o604), "can be read by others"),
    (lambda home: (home.keys / TOKEN).write_text("short\n"), "holds no token of 16 characters")])
def test_a_token_that_is_none(tmp_path: Path, spoil, said: str) -> None:
    home = Home(tmp_path / "home").make()
    token_of(home)
    spoil(home)
    with pytest.raises(UsageError, match=said):
        token_of(home)
