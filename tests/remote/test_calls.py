"""What an exception of the SDK, or below it, is called, and whether it is tried again."""
from __future__ import annotations

import pytest
import requests

from edge_sleep.errors import SyncError
from edge_sleep.remote.backoff import Policy
from edge_sleep.remote.calls import Calls, Refusal, classified, tags_of
from edge_sleep.remote.protocol import Full, NotAllowed, Unreachable
from edge_sleep.system.clock import ManualClock
from tests import fake_dropbox  # noqa: F401  before dropbox

import dropbox  # isort: skip

FILES, AUTH, ERRORS = dropbox.files, dropbox.auth, dropbox.exceptions


def api(error):
    return ERRORS.ApiError("r", error, None, None)


def write(reason):
    return api(FILES.UploadError.path(FILES.UploadWriteFailed(reason, "session")))


@pytest.mark.parametrize("error, kind, again, uncertain", [
    (ERRORS.InternalServerError("r", 503, "secret"), Unreachable, True, True),
    (ERRORS.RateLimitError("r", None, 7), Unreachable, True, False),
    (ERRORS.AuthError("r", AUTH.AuthError.expired_access_token), Unreachable, True, False),
    (ERRORS.AuthError("r", AUTH.AuthError.invalid_access_token), NotAllowed, False, False),
    (ERRORS.AuthError("r", AUTH.AuthError.user_suspended), NotAllowed, False, False),
    (ERRORS.AuthError("r", AUTH.AuthError.missing_scope(AUTH.TokenScopeError("files.content.write"))), NotAllowed, False, False),
    (ERRORS.AuthError("r", None), NotAllowed, False, False),
    (ERRORS.BadInputError("r", "secret: Bearer secret"), SyncError, False, False),
    (ERRORS.HttpError("r", 407, "secret"), Unreachable, False, False),
    (requests.ConnectTimeout("secret"), Unreachable, True, False),
    (requests.ReadTimeout("secret"), Unreachable, True, True),
    (requests.exceptions.SSLError("secret"), Unreachable, True, True),
    (requests.ConnectionError("secret"), Unreachable, True, True),
    (requests.exceptions.ChunkedEncodingError("secret"), Unreachable, True, True),
    (KeyError("secret"), Unreachable, True, True),
    (ValueError("secret"), Unreachable, True, True),
    (write(FILES.WriteError.insufficient_space), Full, False, False),
    (api(FILES.UploadSessionFinishError.path(FILES.WriteError.insufficient_space)), Full, False, False),
    (write(FILES.WriteError.no_write_permission), NotAllowed, False, False),
    (write(FILES.WriteError.too_many_write_operations), Unreachable, True, False),
    (api(FILES.DeleteError.too_many_write_operations), Unreachable, True, False),
    (api(FILES.UploadError.content_hash_mismatch), Unreachable, True, False),
    (write(FILES.WriteError.conflict(FILES.WriteConflictError.file)), Refusal, False, False),
    (api(FILES.DownloadError.path(FILES.LookupError.not_found)), Refusal, False, False)], ids=repr)
def test_every_kind_has_a_name(error, kind, again, uncertain):
    trouble = classified(error)
    assert (type(trouble.error), trouble.again, trouble.uncertain) == (kind, again, uncertain)
    assert trouble.error.do and "secret" not in str(trouble.error).replace("secret: Bearer [hidden]", "")


@pytest.mark.parametrize("error, tags", [
    (FILES.UploadError.path(FILES.UploadWriteFailed(FILES.WriteError.conflict(FILES.WriteConflictError.folder), "s")),
     ("path", "conflict", "folder")),
    (FILES.UploadSessionFinishError.lookup_failed(FILES.UploadSessionLookupError.closed), ("lookup_failed", "closed")),
    (FILES.ListFolderContinueError.reset, ("reset",)), (None, ())])
def test_tags(error, tags):
    assert tags_of(error) == (tags, None)


def test_the_right_offset_is_found():
    offset = FILES.UploadSessionLookupError.incorrect_offset(FILES.UploadSessionOffsetError(77))
    assert tags_of(FILES.UploadSessionFinishError.lookup_failed(offset))[1].correct_offset == 77


class Failing:
    def __init__(self, *errors):
        self.errors, self.asked = list(errors), 0

    def __call__(self, client):
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_it_is_asked_again_as_the_service_wishes():
    clock, what = ManualClock(), Failing(ERRORS.RateLimitError("r", None, 30), requests.ReadTimeout())
    assert Calls(None, clock, lambda: 0.5).ask(what) == "done"
    assert what.asked == 3 and clock.seconds == pytest.approx(31.5 + 1.5)


def test_a_long_wait_is_left_to_the_caller():
    clock, what = ManualClock(), Failing(ERRORS.RateLimitError("r", None, 300))
    with pytest.raises(Unreachable) as caught:
        Calls(None, clock, lambda: 0.5).ask(what)
    assert caught.value.retry_after_seconds == 300 and clock.seconds == 0 and what.asked == 1


def test_attempts_end_and_begin_anew_where_something_came():
    policy, clock = Policy(attempts=3), ManualClock()
    what = Failing(*[requests.ConnectionError()] * 9)
    with pytest.raises(Unreachable):
        Calls(None, clock, lambda: 0, policy).ask(what)
    assert what.asked == 3
    what, came = Failing(*[requests.ConnectionError()] * 9), iter(range(1000))
    assert Calls(None, clock, lambda: 0, policy).ask(what, lambda: next(came)) == "done"


def test_what_was_lost_before_a_refusal_is_told():
    refused = write(FILES.WriteError.conflict(FILES.WriteConflictError.file))
    for before, uncertain in (([], False), ([ERRORS.RateLimitError("r", None, 1)], False), ([requests.ReadTimeout()], True)):
        with pytest.raises(Refusal) as caught:
            Calls(None, ManualClock(), lambda: 0).ask(Failing(*before, refused))
        assert caught.value.uncertain is uncertain and caught.value.__context__ is None


def test_a_bug_of_ours_is_not_the_networks():
    with pytest.raises(ZeroDivisionError):
        Calls(None, ManualClock(), lambda: 0).ask(lambda client: 1 / 0)
