"""A server that speaks as Dropbox does, on loopback with TLS, for the real SDK: import this before anything imports `dropbox`.

`SERVER` is one for the process: its socket is bound here, because the SDK reads its hosts from the environment when it is imported.
Use the fixture `dropbox_server` (tests/remote/conftest.py does: `from tests.fake_dropbox import dropbox_server`), which empties it.
Another process reaches it with `SERVER.environment()`. `SERVER.faults` is asked before each request what shall go wrong with it.
"""
from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import secrets
import select
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from edge_sleep.system.clock import ManualClock

APP_KEY, REFRESH_TOKEN = "appkey000000000", "refresh-" + secrets.token_hex(24)
FAULTS = ("429", "500", "503", "cut_request", "cut_answer", "wrong_hash", "expired", "full", "stale", "silence", "busy", "foreign")
_HOSTS = ("DROPBOX_API_HOST", "DROPBOX_API_CONTENT_HOST", "DROPBOX_API_NOTIFY_HOST", "DROPBOX_WEB_HOST")
_BLOCK = 4 << 20


def hash_of(content: bytes) -> str:
    """Dropbox's content hash, written down a second time: by slices."""
    blocks = [hashlib.sha256(content[at:at + _BLOCK]).digest() for at in range(0, len(content), _BLOCK)]
    return hashlib.sha256(b"".join(blocks)).hexdigest()


@dataclass
class Stored:
    path: str                  # as it was written; the key is its lower case
    content: bytes
    rev: str
    hash: str


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A route says no: the error document."""


def _tag(*tags: str, **more: Any) -> dict:
    """{".tag": a, a: {".tag": b, ...}}: how Dropbox nests unions."""
    first, *rest = tags
    return {".tag": first, **({first: _tag(*rest, **more)} if rest else more)}


class Server:
    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.host = f"localhost:{self._socket.getsockname()[1]}"
        self._folder = tempfile.TemporaryDirectory(prefix="fake-dropbox-")
        self.ca_certs = str(Path(self._folder.name) / "ca.pem")
        self._web: ThreadingHTTPServer | None = None
        self._hush = socket.socketpair()
        self.lock = threading.Condition(threading.RLock())
        self.reset()

    def environment(self) -> dict[str, str]:
        """What another process needs in its environment to speak with this server."""
        return {**dict.fromkeys(_HOSTS, self.host), "REQUESTS_CA_BUNDLE": self.ca_certs, "NO_PROXY": "localhost"}

    def reset(self) -> None:
        with self.lock:
            self.files: dict[str, Stored] = {}
            self.log: list[tuple[str, Stored | None]] = []
            self.sessions: dict[str, bytearray] = {}
            self.closed: set[str] = set()
            self.cursors: dict[str, tuple[str, int, list[str]]] = {}
            self.good: set[str] = set()
            self.secrets: set[str] = {REFRESH_TOKEN}
            self.refresh_tokens = {REFRESH_TOKEN}
            self.codes: dict[str, str] = {}
            self.damaged: list[str] = []
            self.requests: list[str] = []
            self.faults: Callable[[str], str | None] = lambda route: None
            self.draw = random.Random(0)
            self.clock: ManualClock | None = None
            self.page = 3

    def start(self) -> None:
        if self._web is not None:
            return
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self.ca_certs)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslsocket_class = ssl.SSLSocket
        ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        self._web = ThreadingHTTPServer(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self._web.socket.close()
        self._web.socket = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._web.daemon_threads = True
        self._web.block_on_close = False
        self._web.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self._web.serve_forever, args=(0.05,), daemon=True).start()

    def place(self, path: str, content: bytes) -> None:
        """What another program of theirs puts there."""
        with self.lock:
            self._commit(path, content, "overwrite", False)

    # What a person does in a browser.
    def approve(self, url: str) -> str:
        """The code that a person gets who opens the login page and agrees."""
        asked = parse_qs(urlsplit(url).query)
        assert asked["code_challenge_method"] == ["S256"] and asked["token_access_type"] == ["offline"]
        code = secrets.token_urlsafe(20)
        self.codes[code] = asked["code_challenge"][0]
        return code

    # Routes. Each has the arguments of Dropbox's own and returns its result, or raises Refused.
    def token(self, form: dict[str, list[str]]) -> dict:
        kind = form["grant_type"][0]
        fresh: dict[str, Any] = {}
        if kind == "authorization_code":
            challenge = self.codes.pop(form["code"][0], None)
            verifier = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"][0].encode()).digest()).decode().rstrip("=")
            if challenge is None or verifier != challenge:
                raise Refused({"error": "invalid_grant"})
            refresh = "refresh-" + secrets.token_hex(24)
            self.refresh_tokens.add(refresh)
            self.secrets.add(refresh)
            fresh = {"refresh_token": refresh, "account_id": "dbid:x", "uid": "1"}
        elif form["refresh_token"][0] not in self.refresh_tokens:
            raise Refused({"error": "invalid_grant"})
        access = "sl." + secrets.token_urlsafe(30)
        self.good.add(access)
        self.secrets.add(access)
        return {"access_token": access, "expires_in": 14400, "token_type": "bearer", "scope": "", **fresh}

    def _commit(self, path: str, content: bytes, mode: Any, strict: bool) -> dict:
        key, kind = path.lower(), mode if isinstance(mode, str) else mode[".tag"]
        there = self.files.get(key)
        parts = key.split("/")
        if any("/".join(parts[:end]) in self.files for end in range(2, len(parts))):
            raise Refused(_tag("path", reason=_tag("conflict", "file_ancestor"), upload_session_id="x"))
        if any(other.startswith(key + "/") for other in self.files):
            raise Refused(_tag("path", reason=_tag("conflict", "folder"), upload_session_id="x"))
        same = there is not None and there.content == content
        free = there is None if kind == "add" else kind == "overwrite" or (there is not None and there.rev == mode["update"])
        if not free and (strict or not same):
            raise Refused(_tag("path", reason=_tag("conflict", "file"), upload_session_id="x"))
        if same and there is not None:
            return self._metadata(there)
        stored = Stored(path, content, f"{len(self.log) + 1:015x}", hash_of(content))
        self.files[key] = stored
        self.log.append((key, stored))
        self.lock.notify_all()
        return self._metadata(stored)

    def _metadata(self, stored: Stored) -> dict:
        return {".tag": "file", "name": stored.path.rpartition("/")[2], "id": f"id:{stored.rev:>022}", "rev": stored.rev,
                "path_lower": stored.path.lower(), "path_display": stored.path, "size": len(stored.content),
                "client_modified": "2026-01-17T23:00:00Z", "server_modified": "2026-01-17T23:00:00Z",
                "is_downloadable": True, "content_hash": stored.hash}

    def upload(self, argument: dict, body: bytes) -> dict:
        return self._commit(argument["path"], body, argument.get("mode", "add"), argument.get("strict_conflict", False))

    def upload_session_start(self, argument: dict, body: bytes) -> dict:
        session = "pid_upload_session:" + secrets.token_hex(8)
        self.sessions[session] = bytearray(body)
        return {"session_id": session}

    def _session(self, cursor: dict) -> bytearray:
        if cursor["session_id"] in self.closed:
            raise Refused(_tag("closed"))
        if cursor["session_id"] not in self.sessions:
            raise Refused(_tag("not_found"))
        found = self.sessions[cursor["session_id"]]
        if len(found) != cursor["offset"]:
            raise Refused(_tag("incorrect_offset", correct_offset=len(found)))
        return found

    def upload_session_append_v2(self, argument: dict, body: bytes) -> None:
        self._session(argument["cursor"]).extend(body)

    def upload_session_finish(self, argument: dict, body: bytes) -> dict:
        try:
            content = bytes(self._session(argument["cursor"])) + body
        except Refused as refused:
            raise Refused({".tag": "lookup_failed", "lookup_failed": refused.args[0]}) from None
        commit = argument["commit"]
        try:
            done = self._commit(commit["path"], content, commit.get("mode", "add"), commit.get("strict_conflict", False))
        except Refused as refused:
            raise Refused({".tag": "path", "path": refused.args[0]["reason"]}) from None
        self.closed.add(argument["cursor"]["session_id"])
        del self.sessions[argument["cursor"]["session_id"]]
        return done

    def _file(self, path: str, tag: str = "path") -> Stored:
        found = self.files.get(path.lower())
        if found is None:
            folder = any(other.startswith(path.lower() + "/") for other in self.files)
            raise Refused(_tag(tag, "not_file" if folder else "not_found"))
        return found

    def get_metadata(self, argument: dict) -> dict:
        path = argument["path"]
        if path.lower() not in self.files and self._holds(path):
            return {".tag": "folder", "name": path.rpartition("/")[2], "id": "id:f", "path_lower": path.lower(), "path_display": path}
        return self._metadata(self._file(path))

    def _holds(self, path: str) -> bool:
        """Whether a folder of that name is there; one that was emptied stays."""
        return path == "" or any(key.startswith(path.lower() + "/") for key, _ in self.log)

    def delete_v2(self, argument: dict) -> dict:
        stored = self._file(argument["path"], "path_lookup")
        del self.files[stored.path.lower()]
        self.log.append((stored.path.lower(), None))
        self.lock.notify_all()
        return {"metadata": self._metadata(stored)}

    def list_folder(self, argument: dict, stale: bool = False) -> dict:
        path = argument["path"].lower()
        if not self._holds(path):
            raise Refused(_tag("path", "not_found"))
        position = max(0, len(self.log) - (1 + self.draw.randrange(3))) if stale else len(self.log)
        latest = dict(self.log[:position])
        keys = [key for key, stored in latest.items() if stored and key.startswith(path + "/")]
        keys += keys[:1]                                           # a page may say a thing twice
        self.draw.shuffle(keys)
        return self._page(path, position, keys, latest)

    def _page(self, path: str, position: int, keys: list[str], latest: dict[str, Stored | None]) -> dict:
        cursor = secrets.token_hex(8)
        now, rest = keys[:self.page], keys[self.page:]
        self.cursors[cursor] = path, position, rest
        entries = [self._metadata(stored) if (stored := latest[key]) else
                   {".tag": "deleted", "name": key.rpartition("/")[2], "path_lower": key, "path_display": key} for key in now]
        return {"entries": entries, "cursor": cursor, "has_more": bool(rest)}

    def list_folder_continue(self, argument: dict) -> dict:
        if argument["cursor"] not in self.cursors:
            raise Refused(_tag("reset"))
        path, position, rest = self.cursors[argument["cursor"]]
        if rest:
            return self._page(path, position, rest, dict(self.log[:position]))
        changed = [key for key, _ in self.log[position:] if key.startswith(path + "/")]
        return self._page(path, len(self.log), list(dict.fromkeys(changed)), dict(self.log))

    def list_folder_get_latest_cursor(self, argument: dict) -> dict:
        if not self._holds(argument["path"]):
            raise Refused(_tag("path", "not_found"))
        return {"cursor": self._page(argument["path"].lower(), len(self.log), [], {})["cursor"]}

    def list_folder_longpoll(self, argument: dict) -> dict:
        if argument["cursor"] not in self.cursors:
            raise Refused(_tag("reset"))
        path, position, _ = self.cursors[argument["cursor"]]

        def changed() -> bool:
            return any(key.startswith(path + "/") for key, _ in self.log[position:])

        if self.clock is not None:
            if not changed():
                self.clock.advance(argument["timeout"])
        else:
            self.lock.wait_for(changed, argument["timeout"])
        return {"changes": changed()}

    # What a client of ManualClock does not hear.
    def fall_silent(self) -> None:
        self._hush[1].send(b"x")

    def listen(self, client: ssl.SSLSocket) -> None:
        """Before a client reads: where the server fell silent, its whole patience passes on the manual clock, and nothing comes."""
        if client.pending() or self.clock is None:
            return
        ready, _, _ = select.select([client.fileno(), self._hush[0]], [], [], client.gettimeout())
        if self._hush[0] in ready:
            self._hush[0].recv(1)
            self.clock.advance(client.gettimeout() or 0.0)
            raise TimeoutError("The read operation timed out")


class _Patient(ssl.SSLSocket):
    """A client's socket on the injected clock: the SDK, requests and urllib3 above it are the real ones."""

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        SERVER.listen(self)
        return super().recv_into(*arguments, **more)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Nothing: what is logged in these tests is the client's."""

    def do_POST(self) -> None:
        route = self.path.removeprefix("/2/files/").replace("/", "_")
        with SERVER.lock:
            SERVER.requests.append(route)
            fault = SERVER.faults(route)
        length = int(self.headers.get("Content-Length") or 0)
        if fault == "cut_request":
            part = self.rfile.read(length // 2)
            if route == "upload_session_append_v2" and SERVER.draw.random() < .5:
                self._carried_out(route, part, None, verify=False)
            return self._gone()
        body = self.rfile.read(length)
        answer = self._answer(route, body, fault)
        if answer is None:
            return self._gone()
        head = f"HTTP/1.1 {answer.status} x\r\n" + "".join(f"{name}: {value}\r\n" for name, value in {
            "Content-Type": "application/json", "x-dropbox-request-id": "r", **answer.headers,
            "Content-Length": str(len(answer.body))}.items()) + "\r\n"
        if fault == "cut_answer":
            self.connection.sendall(head.encode() + answer.body[:len(answer.body) // 2])
            return self._gone()
        self.connection.sendall(head.encode() + answer.body)

    def _gone(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _answer(self, route: str, body: bytes, fault: str | None) -> Answer | None:
        """None: nothing is answered. Half of what fails was carried out all the same."""
        done = SERVER.draw.random() < .5
        if fault in ("500", "503"):
            if done:
                self._carried_out(route, body, None)
            return Answer(int(fault), b"<html>sorry</html>", {"Content-Type": "text/html"})
        if fault == "silence":
            if done:
                self._carried_out(route, body, None)
            SERVER.fall_silent()
            return None
        if fault == "429":
            document = {"error_summary": "too_many_requests/", "error": {"reason": {".tag": "too_many_requests"}, "retry_after": 7}}
            return Answer(429, json.dumps(document).encode(), {"Retry-After": "7"}) if done else \
                Answer(429, b"slow down", {"Retry-After": "300", "Content-Type": "text/plain"})
        if fault == "foreign":
            return Answer(200, b"<html>please log in to this cafe</html>", {"Content-Type": "text/html"})
        return self._carried_out(route, body, fault)

    def _carried_out(self, route: str, body: bytes, fault: str | None, verify: bool = True) -> Answer:
        if self.path == "/oauth2/token":
            with SERVER.lock:
                try:
                    return Answer(200, json.dumps(SERVER.token(parse_qs(body.decode()))).encode())
                except Refused as refused:
                    return Answer(400, json.dumps(refused.args[0]).encode())
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if fault == "expired":
            SERVER.good.clear()
        if route != "list_folder_longpoll" and token not in SERVER.good:
            if not token.startswith("sl."):
                # Dropbox quotes what it did not understand.
                return Answer(400, f'Invalid authorization value in HTTP header "Authorization": "Bearer {token}".'.encode(),
                              {"Content-Type": "text/plain"})
            tag = "expired_access_token" if token in SERVER.secrets else "invalid_access_token"
            return Answer(401, json.dumps({"error_summary": f"{tag}/", "error": {".tag": tag}}).encode())
        style_of_content = "Dropbox-API-Arg" in self.headers
        argument = json.loads(self.headers["Dropbox-API-Arg"] if style_of_content else body)
        with SERVER.lock:
            try:
                if route == "download":
                    return self._download(argument, fault)
                if not style_of_content:
                    if fault == "busy" and route == "delete_v2":
                        raise Refused(_tag("too_many_write_operations"))
                    more = {"stale": True} if fault == "stale" and route == "list_folder" else {}
                    result = getattr(SERVER, route)(argument, **more)
                else:
                    result = self._upload(route, argument, body, fault, verify)
            except Refused as refused:
                return Answer(409, json.dumps({"error_summary": "no/", "error": refused.args[0]}).encode())
        return Answer(200, json.dumps(result).encode())

    def _upload(self, route: str, argument: dict, body: bytes, fault: str | None, verify: bool) -> Any:
        commits = route in ("upload", "upload_session_finish")
        nested = route == "upload_session_finish"
        if fault in ("full", "busy") and commits:
            reason = _tag("insufficient_space" if fault == "full" else "too_many_write_operations")
            raise Refused({".tag": "path", "path": reason} if nested else
                          {".tag": "path", "reason": reason, "upload_session_id": "x"})
        if fault == "wrong_hash" and body and SERVER.draw.random() < .5:
            body = bytes([body[0] ^ 1]) + body[1:]                 # damaged before it came here: the hash sees it
        if verify and "content_hash" in argument and argument["content_hash"] != hash_of(body):
            raise Refused(_tag("content_hash_mismatch"))
        before = len(SERVER.log)
        result = getattr(SERVER, route)(argument, body)
        if fault == "wrong_hash" and nested and len(SERVER.log) > before:
            key, stored = SERVER.log[-1]                           # put together wrongly: no hash of the whole was sent
            assert stored is not None
            stored.content = bytes([stored.content[0] ^ 1]) + stored.content[1:] if stored.content else b"x"
            stored.hash = hash_of(stored.content)
            SERVER.damaged.append(key)
            return SERVER._metadata(stored)
        return result

    def _download(self, argument: dict, fault: str | None) -> Answer:
        stored = SERVER._file(argument["path"])
        content, headers, status = stored.content, {"Content-Type": "application/octet-stream"}, 200
        if (wanted := self.headers.get("Range")) and fault != "stale":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return Answer(416, b"", {"Content-Type": "text/plain"})
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content, status = content[start:], 206
        if fault == "wrong_hash" and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        return Answer(status, content, {**headers, "Dropbox-API-Result": json.dumps(SERVER._metadata(stored))})


SERVER = Server()
assert "dropbox" not in sys.modules, "import tests.fake_dropbox before anything imports dropbox: the SDK reads its hosts then"
os.environ.update(dict.fromkeys(_HOSTS, SERVER.host))


@pytest.fixture
def dropbox_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, empty, with nothing going wrong; whoever is given no `ca_certs` trusts it too."""
    SERVER.start()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", SERVER.ca_certs)
    monkeypatch.setenv("NO_PROXY", "localhost")
    SERVER.reset()
    yield SERVER
    SERVER.reset()


@pytest.fixture
def on_manual_clock(dropbox_server: Server, monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The server's silence, and a client's patience with it, on a manual clock: for one client at a time."""
    dropbox_server.clock = ManualClock()
    monkeypatch.setattr(ssl.SSLContext, "sslsocket_class", _Patient)
    return dropbox_server.clock


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait on the real clock."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
