"""The login at Dropbox: a refresh token, in a file of the home's keys/ that nobody else can read, and nowhere else.

A person registers an app of their own (an "App folder" is enough) and types its key; PKCE needs no app secret. The access tokens
that the refresh token is changed for live for hours, in memory only.
"""
from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sleep.errors import SyncError
from edge_sleep.remote.protocol import NotAllowed, Unreachable
from edge_sleep.system import private
from edge_sleep.system.files import storage_errors

SCOPES = ["files.content.read", "files.content.write", "files.metadata.read"]
LOGIN = "`edge-sleep sync login`"
_FILE = "dropbox.json"
_TOKENS = re.compile(r"(?i)(bearer\s+|\bsl\.)[^\s\"'\\]+")


@dataclass(frozen=True, repr=False)
class Token:
    """app_key: of the person's own app, no secret. refresh_token: a secret."""

    app_key: str
    refresh_token: str

    def __repr__(self) -> str:
        return "Token(...)"


def save(keys: Path, token: Token) -> Path:
    """Write the token for its owner alone; the file's mode is right before its first byte is there."""
    file = keys / _FILE
    content = json.dumps({"format": 1, "app_key": token.app_key, "refresh_token": token.refresh_token}).encode()
    with storage_errors(file):
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.chmod(0o700)
    private.write(file, content)
    return file


def load(keys: Path) -> Token:
    """The saved token. Raises NotAllowed where there is none, or where others could have read it."""
    file = keys / _FILE
    try:
        with open(file, "rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            content = stream.read()
    except FileNotFoundError:
        raise NotAllowed("this home has no login at Dropbox", LOGIN) from None
    except PermissionError:
        raise NotAllowed(f"{file} belongs to another user", f"run as its owner, or {LOGIN} anew") from None
    if mode & 0o077:
        raise NotAllowed(f"{file} can be read by others (mode {mode:o})",
                         f"`chmod 600 {file}`; if others use this machine, disconnect the app at Dropbox and {LOGIN} anew")
    try:
        found = json.loads(content)
        return Token(str(found["app_key"]), str(found["refresh_token"]))
    except (ValueError, KeyError, TypeError):
        pass                   # outside of the handler: what failed to parse holds a token
    raise NotAllowed(f"{file} is not what {LOGIN} writes", LOGIN)


def forget(keys: Path) -> bool:
    """Remove the saved token; False where there was none. Dropbox is not asked."""
    file = keys / _FILE
    there = file.exists()
    with storage_errors(file):
        file.unlink(missing_ok=True)
    return there


def hidden(text: str, *known: str) -> str:
    """Somebody else's words, without anything that looks like a token or is one of those known."""
    for secret in known:
        if secret:
            text = text.replace(secret, "[hidden]")
    return _TOKENS.sub(lambda found: f"{found[1]}[hidden]", text)


class Login:
    """One try at logging in: show `url` to a person, who comes back with a code."""

    def __init__(self, app_key: str, *, timeout: float = 60.0, ca_certs: str | None = None):
        if not re.fullmatch(r"[A-Za-z0-9]{4,64}", app_key):
            raise NotAllowed("that is not the key of an app at Dropbox",
                             "register one (scoped, App folder) in Dropbox's app console; its settings show the app key")
        self.app_key = app_key
        self._flow: Any = sdk().DropboxOAuth2FlowNoRedirect(app_key, use_pkce=True, token_access_type="offline", scope=SCOPES,
                                                            timeout=timeout, ca_certs=ca_certs)
        self.url: str = self._flow.start()

    def finish(self, code: str) -> Token:
        """Change the code for a token. Raises NotAllowed where Dropbox does not take it, Unreachable where it does not answer."""
        import requests
        try:
            refresh_token = self._flow.finish(code.strip()).refresh_token
        except requests.HTTPError as error:
            failure = _not_taken(error.response.status_code if error.response is not None else 0)
        except (ValueError, KeyError, TypeError) as error:     # before the next: what requests cannot parse is both
            failure = Unreachable(f"that is no answer of Dropbox ({type(error).__name__})",
                                  "see whether the network asks for a login")
        except requests.RequestException as error:
            failure = Unreachable(f"Dropbox cannot be reached ({type(error).__name__})", "see whether this machine has a network")
        else:
            if refresh_token:
                return Token(self.app_key, refresh_token)
            failure = NotAllowed("Dropbox gave no token that lasts", f"{LOGIN} anew")
        raise failure          # outside of the handlers: their errors hold the request, and that the code


def _not_taken(status: int) -> SyncError:
    if status >= 500 or status == 429:
        return Unreachable(f"Dropbox answers with {status}", "try again later; the code may still be good")
    return NotAllowed(f"Dropbox does not take that code ({status})", f"a code is good once, and for minutes: {LOGIN} anew")


def sdk() -> Any:
    """Dropbox's SDK, imported when somebody asks for it. Raises SyncError where it is not installed."""
    try:
        import dropbox
    except ImportError:
        raise SyncError("the library for Dropbox is not installed", "pip install 'edge_sleep[sync]'") from None
    return dropbox
