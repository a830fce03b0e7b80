"""A real HTTP server that speaks Ollama's calls: /api/ps, /api/generate without a prompt, /api/embed."""
from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Ollama(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, **loaded: str) -> None:
        """loaded: name of a model -> when it would be unloaded."""
        super().__init__(("127.0.0.1", 0), _Answers)
        self.loaded = dict(loaded)
        self.there = set(loaded)                       # on its disk
        self.embeds: set[str] = set()                  # models that do not speak
        self.busy: set[str] = set()                    # models that are kept
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[Ollama]:
        thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class _Answers(BaseHTTPRequestHandler):
    server: Ollama

    def log_message(self, *_: Any) -> None:
        pass

    def _say(self, code: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        assert self.path == "/api/ps"
        self._say(200, {"models": [{"name": name, "model": name, "size": 1, "expires_at": expires, "context_length": 2048}
                                   for name, expires in self.server.loaded.items()]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["model"]
        self.server.asked.append((self.path, asked))
        if name not in self.server.there:
            self._say(404, {"error": f"model '{name}' not found"})
        elif asked.get("keep_alive") == 0:
            if name not in self.server.busy:
                self.server.loaded.pop(name, None)
            self._say(200, {"model": name, "done": True, "done_reason": "unload"})
        elif self.path == "/api/generate" and name in self.server.embeds:
            self._say(400, {"error": f'"{name}" does not support generate'})
        else:
            self.server.loaded[name] = "2318-01-01T00:00:00Z"
            self._say(200, {"model": name, "done": True, "done_reason": "load"})
