"""A model that Ollama has loaded: unloaded for the night, loaded again after it.

GET /api/ps says what is loaded; a request without a prompt loads a model, and with `keep_alive` 0 unloads it.
"""
from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from typing import Any

from edge_sleep.errors import DeviceError
from edge_sleep.system.loan import Gone, Item

BY = "ollama "                                         # and the address
UNLOADED = {"loaded": False}
_SECONDS, _LOAD_SECONDS = 10.0, 120.0                  # loading gigabytes from a slow card
_UNLOAD_SECONDS = 30.0                                 # an answer that is being given may end first
_UP_SECONDS = 10.0                                     # an Ollama that was only just started
_FOR_EVER_SECONDS = 10 * 365 * 86400.0                 # Ollama gives what it keeps for ever a date centuries ahead
_POLL_SECONDS = 0.1


class NotThere(DeviceError):
    """Nobody listens at that address."""


class Model(Item):
    """setting: its name. loaded: how it was when it was lent, as `loaded_now` tells it."""

    def __init__(self, url: str, name: str, loaded: dict[str, Any]):
        self.url, self.setting, self.by, self.loaded = url, name, BY + url, loaded

    def read(self) -> dict[str, Any]:
        until = time.monotonic() + _UP_SECONDS
        while True:
            try:
                return self.loaded if self.setting in _names(self.url) else UNLOADED
            except NotThere:
                if time.monotonic() > until:
                    raise
                time.sleep(_POLL_SECONDS)

    def set(self, value: dict[str, Any]) -> str:
        if not value["loaded"]:
            return self._unload()
        asked: dict[str, Any] = {"model": self.setting}
        if value.get("keep_alive") is not None:
            asked["keep_alive"] = value["keep_alive"]
        if value.get("context") is not None:
            asked["options"] = {"num_ctx": value["context"]}
        try:
            _call(self.url, "/api/generate", asked, _LOAD_SECONDS)
        except _Said as said:
            if said.code == 404:
                raise Gone(f"Ollama has no model {self.setting} any more") from said
            if said.code != 400:
                return str(said)
            _call(self.url, "/api/embed", asked, _LOAD_SECONDS)          # a model that makes embeddings does not speak
        return "loaded"

    def _unload(self) -> str:
        try:
            _call(self.url, "/api/generate", {"model": self.setting, "keep_alive": 0}, _SECONDS)
        except _Said as said:
            return str(said)
        until = time.monotonic() + _UNLOAD_SECONDS
        while self.setting in _names(self.url) and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        return "it keeps it: somebody is talking with it"


def loaded_now(url: str) -> list[Model]:
    """Every model that is loaded; none where no Ollama listens. Raises DeviceError where what listens does not answer as one.

    What a model is lent with: seconds that it would have been kept, -1 for ever; the length of its context, where known.
    """
    try:
        listed = _list(url)
    except NotThere:
        return []
    return [Model(url, entry["name"], {"loaded": True, "keep_alive": _kept(entry.get("expires_at")),
                                       "context": entry.get("context_length")}) for entry in listed]


def is_way(by: str) -> bool:
    return by.startswith(BY)


def _kept(expires: Any) -> int | None:
    """Seconds until Ollama would have unloaded it; -1 for never, None where it does not say."""
    try:
        if int(str(expires)[:4]) > 2200:               # beyond what a datetime adds up
            return -1
        left = (datetime.fromisoformat(_plain(str(expires))) - datetime.now(timezone.utc)).total_seconds()
    except (ValueError, TypeError):
        return None
    return -1 if left > _FOR_EVER_SECONDS else max(1, round(left))


def _plain(stamp: str) -> str:
    """RFC 3339 with nanoseconds, as Go writes it, in the form that Python 3.10 reads."""
    date, point, rest = stamp.replace("Z", "+00:00").partition(".")
    zone = rest.lstrip("0123456789")
    return f"{date}.{rest[:len(rest) - len(zone)][:6]:0<6}{zone}" if point else date


def _names(url: str) -> set[str]:
    return {entry["name"] for entry in _list(url)}


def _list(url: str) -> list[dict[str, Any]]:
    try:
        document = _call(url, "/api/ps", None, _SECONDS)
        listed = document["models"] or []
        if all(isinstance(entry["name"], str) for entry in listed):
            return listed
    except (LookupError, TypeError):
        pass
    except _Said as said:
        raise DeviceError(f"Ollama at {url}: {said}") from said
    raise DeviceError(f"what listens at {url} does not answer as Ollama does", "correct neighbours.ollama, or leave it out")


class _Said(Exception):
    """An answer with an error in it."""

    def __init__(self, code: int, text: str):
        super().__init__(f"{code} {text}".strip())
        self.code = code


class _Stays(urllib.request.HTTPRedirectHandler):
    """What is asked stays at the address that was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stays)


def _call(url: str, path: str, document: dict[str, Any] | None, seconds: float) -> Any:
    """What it answers to a POST, or to a GET without a document. Raises _Said, NotThere, DeviceError."""
    body = None if document is None else json.dumps({**document, "stream": False}).encode()
    request = urllib.request.Request(url.rstrip("/") + path, body, {"Content-Type": "application/json"} if body else {})
    try:
        with _OPENER.open(request, timeout=seconds) as answer:
            return json.loads(answer.read(1 << 20))
    except urllib.error.HTTPError as error:
        raise _Said(error.code, error.read(400).decode("utf-8", "replace")) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            raise NotThere(f"no Ollama listens at {url}", "start it, or leave neighbours.ollama out") from error
        raise DeviceError(f"Ollama at {url} does not answer: {error.reason}") from error
    except (OSError, ValueError) as error:
        raise DeviceError(f"Ollama at {url} does not answer: {error}") from error
