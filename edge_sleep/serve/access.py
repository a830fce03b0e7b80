"""Who may ask: on the loopback whoever runs on this machine, elsewhere whoever has the token."""
from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from edge_sleep.errors import UsageError
from edge_sleep.serve.openai import Refused
from edge_sleep.system.files import storage_errors
from edge_sleep.system.home import Home

TOKEN = "serve.token"
OPEN = ("/health",)                       # what a supervisor may ask without the token; it then learns little


def is_loopback(host: str) -> bool:
    """Whether a name or address reaches this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def token_of(home: Home) -> str:
    """The home's token, made on the first asking, for its owner's eyes only (keys/ 0700, the file 0600).

    Raises UsageError where others could have read it.
    """
    file = home.keys / TOKEN
    with storage_errors(file):
        if not home.keys.is_dir():
            home.keys.mkdir(mode=0o700)
        try:
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(secrets.token_urlsafe(32) + "\n")
        except FileExistsError:
            pass
    for place in (home.keys, file):
        if (mode := place.stat().st_mode) & 0o077:
            raise UsageError(f"{place} can be read by others (mode {mode & 0o777:o})",
                             f"chmod 700 {home.keys}; rm {file}, and a new token is made")
    token = file.read_text(encoding="utf-8").strip()
    if len(token) < 16:
        raise UsageError(f"{file} holds no token of 16 characters or more", f"rm {file}, and a new one is made")
    return token


class Access:
    """Decides by a request's headers. token: None lets in who comes by the loopback."""

    def __init__(self, token: str | None):
        self._token = token

    def known(self, headers: Mapping[str, str]) -> bool:
        """Whether who asks may know more than that the server is there."""
        return self.refusal("/", headers) is None

    def refusal(self, path: str, headers: Mapping[str, str]) -> Refused | None:
        if self._token is not None:
            kind, _, given = headers.get("authorization", "").partition(" ")
            if path in OPEN or kind.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), self._token.encode()):
                return None
            return Refused(401, "this server asks for its token: Authorization: Bearer TOKEN, from keys/serve.token of its home",
                           "invalid_api_key")
        # A page in a browser on this machine also comes by the loopback: it names the host that it believes to talk to
        # (a name of its own that now leads here), or the site that it was loaded from.
        host, origin = headers.get("host", ""), headers.get("origin")
        if not is_loopback(_hostname(f"//{host}")):
            return Refused(403, f"this server answers to localhost, not to {host or 'no name'}", "forbidden_host")
        if origin is not None and not is_loopback(_hostname(origin)):
            return Refused(403, f"pages of {origin} may not talk to this server", "forbidden_origin")
        return None


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
