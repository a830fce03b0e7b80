"""The morning page in headless Chromium: on a phone and on a desktop, light and dark, with no network at all."""
from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from edge_sleep.evaluate.page.render import as_html
from tests.evaluate.test_page import bare, rich

NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")
# None of these is needed by a page; each of them asks the network by itself.
QUIET = ("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars",
         "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9", "--remote-debugging-pipe")


def chromium() -> str | None:
    """EDGE_SLEEP_CHROMIUM, else the first of the usual names that is installed."""
    named = os.environ.get("EDGE_SLEEP_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium: `apt-get install chromium`, or name one in "
                                "EDGE_SLEEP_CHROMIUM")


class Browser:
    """Chromium over its debugging pipe: messages of JSON, each ended by a zero byte. It opens no port."""

    def __init__(self, program: str, folder: Path):
        out, self._said = _high(os.pipe())
        self._asked, back = _high(os.pipe())
        # Chromium reads its commands from descriptor 3 and answers on 4; as root it runs only without its sandbox.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{out} 4>&{back}', "bash", program, *QUIET, *sandbox, f"--user-data-dir={folder}"],
            pass_fds=(out, back), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)})
        os.close(out)
        os.close(back)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self.events: list[dict] = []

    def close(self) -> None:
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (OSError, EOFError, TimeoutError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self._said)
        os.close(self._asked)

    def call(self, method: str, session: str | None = None, **parameters) -> dict:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self._said, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(30.0)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def until(self, method: str) -> None:
        """Wait for an event."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next(30.0))

    def _next(self, seconds: float) -> dict:
        limit = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            if not select.select([self._asked], [], [], max(0.0, limit - time.monotonic()))[0]:
                raise TimeoutError(f"Chromium said nothing for {seconds:.0f} s")
            part = os.read(self._asked, 1 << 16)
            if not part:
                raise EOFError("Chromium ended")
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(line)


def _high(ends: tuple[int, int]) -> tuple[int, int]:
    """The same pipe on descriptors that 3 and 4 do not meet."""
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


class Shown:
    """A file in a window of this width and theme, with everything it asked for and complained of."""

    def __init__(self, browser: Browser, file: Path, width: int, theme: str):
        self.browser, self.file = browser, file
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.events.clear()
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=2 if width < 600 else 1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self.call("Page.navigate", url=file.as_uri())
        browser.until("Page.loadEventFired")

    def call(self, method: str, **parameters) -> dict:
        return self.browser.call(method, self.session, **parameters)

    def value(self, expression: str):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open_all(self) -> None:
        self.value("document.querySelectorAll('details').forEach(one => { one.open = true })")

    def of(self, method: str) -> list[dict]:
        return [event["params"] for event in self.browser.events if event.get("method") == method]

    def asked(self) -> list[str]:
        return [event["request"]["url"] for event in self.of("Network.requestWillBeSent")]

    def complaints(self) -> list:
        return [*self.of("Log.entryAdded"), *self.of("Runtime.exceptionThrown"), *self.of("Runtime.consoleAPICalled")]

    def picture(self, file: Path) -> None:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1})["data"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(data))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    program = chromium()
    assert program is not None
    running = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    files = {"rich": folder / "rich.html", "bare": folder / "bare.html"}
    files["rich"].write_bytes(as_html(rich()).encode())
    files["bare"].write_bytes(as_html(bare("nothing_to_do")).encode())
    return files


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 1200])
@pytest.mark.parametrize("name", ["rich", "bare"])
def test_it_is_read_on_every_screen_and_asks_nobody(browser, pages, name, width, theme) -> None:
    shown = Shown(browser, pages[name], width, theme)
    for opened in (False, True):
        if opened:
            shown.open_all()
        assert shown.value("window.innerWidth") == width
        assert shown.value("document.documentElement.scrollWidth") <= width, "something is wider than the screen"
    assert shown.asked() == [pages[name].as_uri()]
    assert shown.complaints() == []
    if folder := os.environ.get("EDGE_SLEEP_SCREENSHOTS"):
        shown.value("document.querySelectorAll('details').forEach(one => { one.open = false })")
        shown.picture(Path(folder) / f"{name}-{width}-{theme}.png")


@pytest.mark.parametrize("theme, ground", [("light", "rgb(251, 250, 247)"), ("dark", "rgb(22, 25, 28)")])
def test_the_theme_is_the_persons(browser, pages, theme, ground) -> None:
    shown = Shown(browser, pages["rich"], 360, theme)
    assert shown.value("getComputedStyle(document.body).backgroundColor") == ground


def test_the_verdict_is_seen_first(browser, pages) -> None:
    shown = Shown(browser, pages["rich"], 360, "light")
    assert shown.value("document.querySelector('h1').getBoundingClientRect().bottom") < 400
    assert "learned 14 exchanges" in shown.value("document.querySelector('h1').innerText")


def test_letters_in_a_plot_stay_legible_on_a_phone(browser, pages) -> None:
    shown = Shown(browser, pages["rich"], 360, "light")
    heights = shown.value("[...document.querySelectorAll('svg text')].map(one => one.getBoundingClientRect().height)")
    assert len(heights) > 20 and min(heights) >= 9.0


def test_what_a_transcript_says_is_shown_and_does_nothing(browser, pages) -> None:
    """The browser itself refuses scripts and requests, should the escaping ever fail."""
    shown = Shown(browser, pages["rich"], 1200, "light")
    assert shown.value("document.scripts.length") == 0 and shown.value("document.images.length") == 0
    assert shown.value("document.body.textContent.includes('<script>alert(1)</script>')") is True
    shown.value("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://192.0.2.1/x.png\">')")
    time.sleep(0.2)
    assert [event.get("blockedReason") for event in shown.of("Network.loadingFailed")] == ["csp"]
