"""OpenAI's chat completions: a request's body to what is asked of the engine, an answer to the documents that clients read.

What would change the answer and is not done here is refused by name; what only describes the request (`user`, `metadata`)
is left unread. Pure: no server, no model.
"""
from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_sleep.config import Serve
from edge_sleep.data.experience import Message
from edge_sleep.data.shapes import text_of
from edge_sleep.serve.runtime import Options
from edge_sleep.serve.session import Answer

MODEL = "companion"
_ADAPTER = re.compile(r"[0-9a-f]{16}")
_FINISH = {"stop": "stop", "stop_sequence": "stop"}        # every other end is OpenAI's `length`
_NOT_DONE = ("tools", "functions", "tool_choice", "function_call", "logprobs", "top_logprobs", "logit_bias", "audio",
             "prediction", "presence_penalty", "frequency_penalty", "web_search_options")


class Refused(Exception):
    """A request that gets no answer: HTTP status, and OpenAI's error document."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None, retry_after: int | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after

    def document(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "rate_limit_error" if self.status == 429 else \
            "authentication_error" if self.status in (401, 403) else "invalid_request_error"
        # What a client sent may be quoted in it, lone surrogates included, which no JSON document in UTF-8 can hold.
        message = self.message.encode("utf-8", "replace").decode()
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.code}}


class _Said(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]]


class _Stream(BaseModel):
    include_usage: bool = False


class _Request(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[_Said] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: _Stream | None = None
    store: bool | None = None
    response_format: dict[str, Any] | None = None


@dataclass(frozen=True)
class Asked:
    """A request as the engine takes it. adapter: the only one that may answer; None whichever is current."""

    messages: list[Message]
    options: Options
    adapter: str | None
    record: bool
    stream: bool
    include_usage: bool


def parse(body: bytes, settings: Serve) -> Asked:
    """Raises Refused (400, 404)."""
    try:
        given = _Request.model_validate(json.loads(body))
    except (ValueError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            raise Refused(400, f"the body is not JSON: {error}", "invalid_json") from None
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Refused(400, f"{place or 'the body'}: {first['msg']}", "invalid_value", place or None) from None
    if given.model != MODEL and not _ADAPTER.fullmatch(given.model):
        raise Refused(404, f"no model is called {given.model:.80}: ask for `{MODEL}`, or for an adapter by its id",
                      "model_not_found", "model")
    extra = given.model_extra or {}
    for name in _NOT_DONE:
        if extra.get(name) not in (None, False, 0, 0.0, [], {}, "none", "auto"):
            raise Refused(400, f"{name} is not supported: this companion speaks, and does nothing else",
                          "unsupported_parameter", name)
    if given.response_format is not None and given.response_format.get("type") != "text":
        raise Refused(400, "response_format can only be text", "unsupported_parameter", "response_format")
    stops = [given.stop] if isinstance(given.stop, str) else given.stop or []
    if len(stops) > 4 or any(not stop or len(stop) > 100 for stop in stops):
        raise Refused(400, "stop takes up to four strings of 1 to 100 characters", "invalid_value", "stop")
    system, messages = _messages(given.messages)
    record = settings.record and given.store is not False
    if system and settings.system_messages == "refuse":
        raise Refused(400, "this companion has its own system prompt: send no system message", "unsupported_value", "messages")
    if system and settings.system_messages == "follow":
        # Said in a part that was played: the night would learn it under the companion's own prompt.
        messages, record = [{"role": "system", "content": system}, *messages], False
    wanted = given.max_completion_tokens or given.max_tokens or settings.max_new_tokens
    options = Options(min(wanted, settings.max_new_tokens), given.temperature or 0.0, given.top_p or 1.0, tuple(stops),
                      given.seed, settings.answer_time)
    return Asked(messages, options, None if given.model == MODEL else given.model, record, bool(given.stream),
                 bool(given.stream_options and given.stream_options.include_usage))


def _messages(given: list[_Said]) -> tuple[str, list[Message]]:
    """(system words, the conversation): neighbours of one role are one utterance, as the night reads them."""
    system: list[str] = []
    said: list[Message] = []
    for number, one in enumerate(given):
        if isinstance(one.content, list) and any(part.get("type") != "text" for part in one.content):
            raise Refused(400, "content can only be text", "unsupported_value", f"messages.{number}.content")
        content = text_of(one.content) or ""
        if one.role in ("system", "developer"):
            system.append(content)
        elif said and said[-1]["role"] == one.role:
            said[-1] = {"role": said[-1]["role"], "content": f"{said[-1]['content']}\n{content}".strip()}
        else:
            said.append({"role": "user" if one.role == "user" else "assistant", "content": content})
    if not said or said[-1]["role"] != "user" or not said[-1]["content"]:
        raise Refused(400, "the last message must be the user's, with words in it", "invalid_value", "messages")
    return "\n".join(filter(None, system)), said


class Reply:
    """The documents of one answer: whole, or chunk by chunk."""

    def __init__(self) -> None:
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())

    def whole(self, answer: Answer, recorded: bool) -> dict[str, Any]:
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        return self._head("chat.completion") | {
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}],
            "usage": _usage(answer), **_stamp(answer, recorded)}

    def first(self) -> dict[str, Any]:
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> dict[str, Any]:
        return self._chunk({"content": text})

    def last(self, answer: Answer, recorded: bool) -> dict[str, Any]:
        return self._chunk({}, _finish(answer)) | _stamp(answer, recorded)

    def usage(self, answer: Answer) -> dict[str, Any]:
        return self._head("chat.completion.chunk") | {"choices": [], "usage": _usage(answer)}

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        return self._head("chat.completion.chunk") | {
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": MODEL}


def models(identity: dict[str, Any] | None) -> dict[str, Any]:
    """The list of models: the companion, and its adapter by id, for who wants no other to answer."""
    entry = {"object": "model", "created": 0, "owned_by": "edge_sleep", "edge_sleep": identity}
    names = [MODEL, *([identity["adapter"]] if identity and identity["adapter"] else [])]
    return {"object": "list", "data": [{"id": name} | entry for name in names]}


def _finish(answer: Answer) -> str:
    return _FINISH.get(answer.finish, "length")


def _usage(answer: Answer) -> dict[str, int]:
    return {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens,
            "total_tokens": answer.prompt_tokens + answer.completion_tokens}


def _stamp(answer: Answer, recorded: bool) -> dict[str, Any]:
    who = answer.identity
    return {"system_fingerprint": f"{who['adapter'] or 'base'}@{who['base'][:16]}",
            "edge_sleep": who | {"recorded": recorded, "finish": answer.finish}}
