"""A server that speaks as Dropbox does, in a process of its own: `python -m tests.faults.serve_dropbox FILE`.

FILE holds how many requests are still answered whole; then each connection is cut in the middle. Without it all are answered.
Prints one line of JSON: the environment and the login of its clients.
"""
from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from tests.fake_dropbox import APP_KEY, REFRESH_TOKEN, SERVER

if __name__ == "__main__":
    left_file = Path(sys.argv[1])

    def faults(route: str) -> str | None:
        try:
            left = int(left_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        left_file.write_text(str(left - 1))
        return None if left > 0 else SERVER.draw.choice(("cut_request", "cut_answer"))

    SERVER.start()
    SERVER.faults = faults
    print(json.dumps({"environment": SERVER.environment(), "app_key": APP_KEY, "refresh_token": REFRESH_TOKEN}), flush=True)
    signal.pause()
