"""The login: who can read it, and where it never shows."""
from __future__ import annotations

import json
import os
import stat
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from edge_sleep.errors import SyncError
from edge_sleep.remote import token as module
from edge_sleep.remote.choose import open_remote
from edge_sleep.remote.protocol import NotAllowed, Unreachable
from edge_sleep.remote.token import Login, Token, forget, hidden, load, save
from tests.fake_dropbox import APP_KEY

TOKEN = Token(APP_KEY, "a-refresh-token")


@pytest.fixture(params=[0o022, 0o000, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_a_token_is_for_its_owner_alone(tmp_path, umask):
    file = save(tmp_path / "home" / "keys", TOKEN)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert load(tmp_path / "home" / "keys") == TOKEN
    assert [entry.name for entry in file.parent.iterdir()] == ["dropbox.json"]


def test_a_folder_that_was_open_is_closed(tmp_path):
    (tmp_path / "keys").mkdir(mode=0o755)
    save(tmp_path / "keys", TOKEN)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_token_that_others_can_read_is_not_used(tmp_path, mode):
    save(tmp_path, TOKEN).chmod(mode)
    with pytest.raises(NotAllowed, match="chmod 600"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"app_key": "x"}', '"a-refresh-token"', '{"refresh_token": "a-refresh-token"'])
def test_a_damaged_token_is_named_and_not_shown(tmp_path, content):
    save(tmp_path, TOKEN).write_text(content)
    with pytest.raises(NotAllowed, match="sync login") as caught:
        load(tmp_path)
    assert "a-refresh-token" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_forgotten(tmp_path):
    save(tmp_path, TOKEN)
    assert forget(tmp_path) is True and forget(tmp_path) is False
    with pytest.raises(NotAllowed, match="sync login"):
        load(tmp_path)


def test_a_token_is_not_shown():
    for text in (repr(TOKEN), str(TOKEN), f"{TOKEN}", f"{[TOKEN]}", f"{TOKEN!r}"):
        assert TOKEN.refresh_token not in text and TOKEN.app_key not in text


@pytest.mark.parametrize("text, shown", [
    ('in HTTP header "Authorization": "Bearer abc-1". Expecting', 'in HTTP header "Authorization": "Bearer [hidden]". Expecting'),
    ("token sl.AbC-d_e and so on", "token sl.[hidden] and so on"), ("nothing here", "nothing here"),
    ("the a-refresh-token itself", "the [hidden] itself")])
def test_words_of_others_are_shown_without_tokens(text, shown):
    assert hidden(text, TOKEN.refresh_token, "") == shown


@given(some.text(max_size=30), some.text("abcXYZ019-_.", min_size=8, max_size=40), some.text(max_size=30))
def test_no_known_token_gets_through(before, secret, after):
    assert secret not in hidden(before + secret + after, secret)
    assume(secret not in f"{before} {after} [hidden]")
    for unknown in (f"{before} Bearer {secret} {after}", f"{before} sl.{secret} {after}"):
        assert secret not in hidden(unknown)


def test_a_login_from_the_page_to_the_first_request(tmp_path, dropbox_server, monkeypatch):
    login = Login(APP_KEY)
    assert login.url.startswith("https://") and "token_access_type=offline" in login.url and "client_secret" not in login.url
    save(tmp_path / "keys", login.finish(f"  {dropbox_server.approve(login.url)}\n"))
    remote = open_remote("dropbox:/Apps/x", keys=tmp_path / "keys")
    assert remote.publish("a", b"x").name == "a" and remote.read("a", 1) == b"x"
    assert set(json.loads((tmp_path / "keys" / "dropbox.json").read_text())) == {"format", "app_key", "refresh_token"}


def test_a_code_is_good_once_and_for_one_login(dropbox_server):
    login, other = Login(APP_KEY), Login(APP_KEY)
    code = dropbox_server.approve(login.url)
    for asked, given_code in ((other, code), (login, "no-such-code")):
        with pytest.raises(NotAllowed, match="does not take that code") as caught:
            asked.finish(given_code)
        assert given_code not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("fault, error", [("500", "answers with 500"), ("foreign", "no answer of Dropbox"), ("cut_request", "cannot be reached")])
def test_a_login_that_cannot_be_finished_now(dropbox_server, fault, error):
    login = Login(APP_KEY)
    code = dropbox_server.approve(login.url)
    dropbox_server.faults = lambda route: fault
    with pytest.raises(Unreachable, match=error) as caught:
        login.finish(code)
    assert code not in "".join(traceback.format_exception(caught.value)) and caught.value.__context__ is None


@pytest.mark.parametrize("key", ["", "x", "has space", "a/b", "k" * 65])
def test_what_is_no_app_key_is_refused_before_anything_is_asked(key):
    with pytest.raises(NotAllowed, match="app console"):
        Login(key)


def test_a_login_that_was_revoked(open_dropbox, dropbox_server):
    dropbox_server.refresh_tokens.clear()
    with pytest.raises(NotAllowed, match="sync login"):
        open_dropbox().list("")


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dropbox", None)
    save(tmp_path, TOKEN)
    with pytest.raises(SyncError, match=r"pip install 'edge_sleep\[sync\]'"):
        open_remote("dropbox:/x", keys=tmp_path)
    with pytest.raises(SyncError, match="pip install"):
        Login(APP_KEY)


def test_a_file_system_that_is_full_keeps_the_old_token(tmp_path, monkeypatch):
    save(tmp_path, TOKEN)

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", fails)
    with pytest.raises(Exception, match="no space left"):
        save(tmp_path, Token(APP_KEY, "another"))
    monkeypatch.undo()
    assert load(tmp_path) == TOKEN and [file.name for file in Path(tmp_path).iterdir()] == ["dropbox.json"]
