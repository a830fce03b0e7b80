"""Asking Dropbox: what its SDK raises becomes the errors of a remote, and what passes is asked again after a pause.

The SDK's own repeating is switched off: it sleeps on the real clock, for ever on 429, and not at all where a connection breaks.
No error of the SDK or of requests is handed on or chained: their texts quote answers, and an answer may quote the token.
"""
from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_sleep.errors import SyncError
from edge_sleep.remote.backoff import REQUEST, Policy, goes_on, pause
from edge_sleep.remote.protocol import Full, NotAllowed, Unreachable
from edge_sleep.remote.token import LOGIN, hidden, sdk
from edge_sleep.system.clock import Clock

T = TypeVar("T")
_LATER = "what waits is kept, and tried again later"
_AGAIN = {"too_many_write_operations", "content_hash_mismatch", "internal_error"}
_NO_ROOM = {"insufficient_space", "team_folder_insufficient_space", "member_folder_insufficient_space"}
_NOT_LET = {"no_write_permission", "access_restricted", "operation_suppressed", "disallowed_name", "team_folder"}


class Refusal(SyncError):
    """Dropbox answered no. tags: from the outer kind in. uncertain: an earlier attempt may have been carried out."""

    def __init__(self, tags: tuple[str, ...], value: Any, uncertain: bool):
        super().__init__(f"Dropbox refuses: {'/'.join(tags)}", _LATER)
        self.tags, self.value, self.uncertain = tags, value, uncertain


@dataclass(frozen=True)
class Trouble:
    """error: what to raise. again: whether asking again may help. uncertain: whether the request may have been carried out."""

    error: SyncError
    again: bool
    uncertain: bool = False


class Calls:
    """client: the SDK's. draw: uniform in [0, 1), for the pauses."""

    def __init__(self, client: Any, clock: Clock, draw: Callable[[], float] = random.random, policy: Policy = REQUEST):
        self.client, self._clock, self._draw, self._policy = client, clock, draw, policy

    def ask(self, what: Callable[[Any], T], progress: Callable[[], int] = lambda: 0) -> T:
        """What `what(client)` returns. Raises Refusal, Unreachable, NotAllowed, Full, SyncError.

        progress: a number that grows with what came; attempts are counted from where it last grew.
        """
        attempt, uncertain, reached = 0, False, progress()
        while True:
            try:
                return what(self.client)
            except _foreign() as error:
                trouble = classified(error, uncertain)
            attempt = 1 if progress() > reached else attempt + 1
            reached, uncertain = progress(), uncertain or trouble.uncertain
            wait = pause(attempt, getattr(trouble.error, "retry_after_seconds", None), self._draw(), self._policy)
            if not trouble.again or not goes_on(attempt, wait, self._policy):
                raise trouble.error
            self._clock.sleep(wait)


def classified(error: Exception, uncertain: bool = False) -> Trouble:
    """What an exception of the SDK, or of what it stands on, means. uncertain: what is known of the attempts before."""
    import requests
    known = sdk().exceptions
    if isinstance(error, known.ApiError):
        return _refused(*tags_of(error.error), uncertain)
    if isinstance(error, known.RateLimitError):
        return Trouble(Unreachable("Dropbox asks for a pause", _LATER, error.backoff), again=True)
    if isinstance(error, known.AuthError):
        return _unknown(*tags_of(error.error))
    if isinstance(error, known.InternalServerError):
        return Trouble(Unreachable(f"Dropbox answers with {error.status_code}", _LATER), again=True, uncertain=True)
    if isinstance(error, known.BadInputError):
        return Trouble(SyncError(f"Dropbox does not understand: {hidden(str(error.message))[:300]}", "see whether there is a "
                                 "newer edge_sleep; a missing permission is ticked in Dropbox's app console"), again=False)
    if isinstance(error, known.HttpError):
        return Trouble(Unreachable(f"something on the way to Dropbox answers with {error.status_code}", _LATER), again=False)
    if isinstance(error, requests.ConnectTimeout):
        return Trouble(Unreachable("Dropbox cannot be reached: no connection in time", _LATER), again=True)
    if isinstance(error, requests.Timeout):
        return Trouble(Unreachable("Dropbox is silent", _LATER), again=True, uncertain=True)
    if isinstance(error, requests.exceptions.SSLError):
        return Trouble(Unreachable("no trusted connection to Dropbox", "see whether this machine's clock is right, and whether "
                                   "the network asks for a login"), again=True, uncertain=True)
    if isinstance(error, requests.RequestException) and not isinstance(error, ValueError):
        what, do = f"the connection to Dropbox broke ({type(error).__name__})", _LATER
    else:
        what, do = f"that is no answer of Dropbox ({type(error).__name__})", "see whether the network asks for a login"
    return Trouble(Unreachable(what, do), again=True, uncertain=True)


def tags_of(error: Any) -> tuple[tuple[str, ...], Any]:
    """The kinds of an error from the outside in, and what the innermost one holds."""
    found: list[str] = []
    while hasattr(error, "_tag"):
        found.append(error._tag)
        error = error._value
        error = getattr(error, "reason", error)
    return tuple(found), error


def _refused(tags: tuple[str, ...], value: Any, uncertain: bool) -> Trouble:
    kinds = set(tags)
    if kinds & _AGAIN:
        return Trouble(Unreachable(f"Dropbox could not do it just now: {'/'.join(tags)}", _LATER), again=True)
    if kinds & _NO_ROOM:
        return Trouble(Full("the Dropbox is full", "make room there; what waits is sent later"), again=False)
    if kinds & _NOT_LET:
        return Trouble(NotAllowed(f"Dropbox does not let this app write there: {'/'.join(tags)}",
                                  "choose another place, or tick the permission in Dropbox's app console"), again=False)
    return Trouble(Refusal(tags, value, uncertain), again=False)


def _unknown(tags: tuple[str, ...], value: Any) -> Trouble:
    if "expired_access_token" in tags:
        return Trouble(Unreachable("Dropbox calls every token it gives expired", _LATER), again=True)
    if "missing_scope" in tags:
        return Trouble(NotAllowed("the app at Dropbox lacks a permission", "tick files.content.read, files.content.write and "
                                  f"files.metadata.read in Dropbox's app console, then {LOGIN}"), again=False)
    return Trouble(NotAllowed(f"Dropbox no longer takes this home's login ({'/'.join(tags) or 'unknown'})", LOGIN), again=False)


def _foreign() -> tuple[type[Exception], ...]:
    """What may come out of the SDK: its own, the network's, and what parsing somebody else's answer raises in it."""
    import requests
    from stone.backends.python_rsrc.stone_validators import ValidationError
    return (sdk().exceptions.DropboxException, requests.RequestException, ValidationError, ValueError, KeyError, TypeError,
            AttributeError, AssertionError)
