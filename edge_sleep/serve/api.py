"""The HTTP side: OpenAI's chat completions and model list, health, metrics. Knows requests and the engine, no model."""
from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_sleep.config import Serve
from edge_sleep.errors import Busy, EdgeSleepError, UsageError
from edge_sleep.serve import openai
from edge_sleep.serve.access import Access
from edge_sleep.serve.engine import Engine, Job, Others
from edge_sleep.serve.metrics import Metrics
from edge_sleep.serve.openai import Refused
from edge_sleep.system import lock

_BODY_SECONDS = 10.0                      # for a request's body to arrive
_LOOK_SECONDS = 0.5                       # between two looks whether the client is still there
_RETRY_SECONDS = 10


def app(engine: Engine, access: Access, metrics: Metrics, settings: Serve, tell: Callable[[str], None]) -> ASGIApp:
    """The ASGI application of one server."""

    async def completions(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # Also what keeps a browser from sending it unasked: with this type it asks for leave first.
            raise Refused(415, "send the request as application/json", "unsupported_media_type")
        asked = openai.parse(await _body(request, settings.max_request_bytes), settings)
        events: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(event: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(events.put_nowait, event)

        job = Job(asked.messages, asked.options, asked.adapter, asked.record, put if asked.stream else None)
        job.done.add_done_callback(put)
        if not engine.submit(job):
            raise Refused(429, f"{settings.queue} requests wait already", "queue_full", retry_after=_RETRY_SECONDS)
        try:
            first = await _first(request, events, job)
        except BaseException:
            job.cancelled.set()
            raise
        if not asked.stream:
            return JSONResponse(openai.Reply().whole(*first.result()))
        return StreamingResponse(_stream(first, events, job, asked.include_usage, tell), media_type="text/event-stream",
                                 headers={"cache-control": "no-cache", "x-accel-buffering": "no"})

    async def models(_: Request) -> Response:
        return JSONResponse(openai.models(engine.state.identity))

    async def model(request: Request) -> Response:
        found = [one for one in openai.models(engine.state.identity)["data"] if one["id"] == request.path_params["name"]]
        if not found:
            raise Refused(404, f"no model is called {request.path_params['name']}", "model_not_found", "model")
        return JSONResponse(found[0])

    async def health(request: Request) -> Response:
        state = engine.state
        status = "failing" if state.failure else "degraded" if state.problems else "ok"
        document: dict[str, Any] = {"status": status}
        if access.known(request.headers):
            document |= {"loaded": state.identity is not None, "identity": state.identity, "problems": state.problems,
                         "notes": state.notes, "failure": state.failure, "runtime_reason": state.runtime_reason,
                         "session_lock": lock.holder(engine.home.session_lock), "night_lock": lock.holder(engine.home.night_lock)}
        return JSONResponse(document, 503 if state.failure else 200)

    async def page(_: Request) -> Response:
        body, kind = metrics.page()
        return Response(body, media_type=kind)

    async def refused(_: Request, error: Exception) -> Response:
        return _response(error if isinstance(error, Refused) else _refusal(error, tell))

    routes = [Route("/v1/chat/completions", completions, methods=["POST"]), Route("/v1/models", models),
              Route("/v1/models/{name}", model), Route("/health", health), Route("/metrics", page)]
    known = {route.path for route in routes}
    inner = Starlette(routes=routes, exception_handlers={
        Refused: refused, EdgeSleepError: refused, HTTPException: refused, ClientDisconnect: refused, Exception: refused})
    return _Door(inner, access, metrics, known)


class _Door:
    """Lets in who may ask, and counts what came of it."""

    def __init__(self, inner: ASGIApp, access: Access, metrics: Metrics, known: set[str]):
        self._inner, self._access, self._metrics, self._known = inner, access, metrics, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"] if scope["path"] in self._known else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(path, str(message["status"])).inc()
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._access.refusal(scope["path"], headers)
        inner: Callable[[Scope, Receive, Send], Awaitable[None]] = self._inner if refusal is None else _response(refusal)
        await inner(scope, receive, counted)


async def _body(request: Request, most: int) -> bytes:
    """The request's body. Raises Refused where it is too large, or does not come."""
    too_large = Refused(413, f"the request is larger than {most} bytes", "request_too_large")
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > most:
        raise too_large

    async def read() -> bytes:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise too_large
            parts.append(part)
        return b"".join(parts)

    try:
        return await asyncio.wait_for(read(), _BODY_SECONDS)
    except asyncio.TimeoutError:
        raise Refused(408, f"the body did not come within {_BODY_SECONDS:.0f} s", "timeout") from None


async def _first(request: Request, events: asyncio.Queue[Any], job: Job) -> Any:
    """The first event, while the client is there: a piece of text, or the future that is done. Raises what the future holds."""
    while True:
        try:
            event = await asyncio.wait_for(events.get(), _LOOK_SECONDS)
        except asyncio.TimeoutError:
            if await request.is_disconnected():
                raise ClientDisconnect from None
            continue
        if isinstance(event, Future):
            event.result()
        return event


async def _stream(event: Any, events: asyncio.Queue[Any], job: Job, include_usage: bool,
                  tell: Callable[[str], None]) -> AsyncIterator[bytes]:
    """Server-sent events. An error after the first piece can no longer change the status: it is an event of its own."""
    reply = openai.Reply()
    try:
        yield _event(reply.first())
        while not isinstance(event, Future):
            yield _event(reply.piece(event))
            event = await events.get()
        try:
            answer, recorded = event.result()
        except Exception as error:
            yield _event(_refusal(error, tell).document())
            return
        yield _event(reply.last(answer, recorded))
        if include_usage:
            yield _event(reply.usage(answer))
        yield b"data: [DONE]\n\n"
    finally:
        job.cancelled.set()                # a client that left ends its answer; after the end it changes nothing


def _event(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


def _refusal(error: Exception, tell: Callable[[str], None]) -> Refused:
    """The HTTP answer to an error from below."""
    if isinstance(error, ClientDisconnect):
        return Refused(499, "the client went away", "client_closed_request")
    if isinstance(error, HTTPException):
        return Refused(error.status_code, error.detail, "not_found" if error.status_code == 404 else "invalid_request")
    if isinstance(error, Busy):
        return Refused(503, str(error), "busy", retry_after=_RETRY_SECONDS)
    if isinstance(error, Others):
        return Refused(404, str(error), "model_not_found", "model")
    if isinstance(error, UsageError):
        return Refused(400, str(error), "invalid_value", "messages")
    if isinstance(error, EdgeSleepError):
        return Refused(503, str(error), type(error).__name__, retry_after=_RETRY_SECONDS)
    tell("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    return Refused(500, f"a bug in edge_sleep: {type(error).__name__}: {error}", "bug")


def _response(refused: Refused) -> Response:
    headers = {"retry-after": str(refused.retry_after)} if refused.retry_after is not None else {}
    if refused.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(refused.document(), refused.status, headers)
