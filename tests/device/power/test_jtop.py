"""Through the real jtop service of jetson-stats, on a board of files."""
from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Iterator

import pytest
from edge_sleep.benchmarks.fake_board.service import SOCKET, Service, impossible

from edge_sleep.device.power.actuator import PowerError, UnknownName
from edge_sleep.device.power.lease import known
from edge_sleep.system import intent

pytestmark = pytest.mark.alone


@pytest.fixture
def service(bench) -> Iterator[Service]:
    if (why := impossible()) is not None:
        pytest.skip(f"no jtop service here: {why}")
    bench.machine = dataclasses.replace(bench.machine, root=False, socket=SOCKET, seconds=20)
    with Service(bench.board) as running:
        yield running


def fan(bench) -> str:
    return next(line.split()[1] for line in (bench.board.root / "etc-upper/nvfancontrol.conf").read_text().splitlines()
                if "FAN_DEFAULT_PROFILE" in line)


def test_mode_fan_and_clocks_without_root(bench, service):
    for asked, kind, said in (({"mode": "9W"}, UnknownName, "it offers 15W, 25W, MAXN_SUPER, 7W"),
                              ({"mode": "7W"}, PowerError, "needs a reboot .*offers 15W, 25W, MAXN_SUPER"),
                              ({"fan_profile": "loud"}, UnknownName, "it offers cool, quiet"),
                              ({"fan_profile": "manual"}, UnknownName, "it offers cool, quiet")):
        with pytest.raises(kind, match=said):
            bench.power(**asked).check()
    with bench.power(mode="15W", fan_profile="cool", jetson_clocks=True) as power:
        assert (bench.board.mode, fan(bench), bench.clocks_held) == ("15W", "cool", True)
        assert [one.by for one in intent.read(bench.intent, known)] == ["jtop"] * 3
        assert [one["reason"] for one in power.changes] == [
            "by the jtop service; not by nvpmodel: not root", "by the jtop service: no program sets a fan's profile",
            "by the jtop service; not by jetson_clocks: not root"]
    assert (bench.board.mode, fan(bench), bench.clocks_held) == ("25W", "quiet", False)
    assert not bench.intent.exists()


def test_a_mode_the_board_declines_is_named(bench, service):
    (bench.board.root / "nvpmodel/golden").touch()
    with pytest.raises(PowerError, match="did not take it and is at 25W .the service says that the board refused it"):
        bench.power(mode="15W").__enter__()
    assert bench.board.mode == "25W" and not bench.intent.exists()


def test_a_service_that_hangs_or_is_gone_keeps_the_intent_until_it_is_back(bench, service):
    with bench.power(fan_profile="cool"):
        service.signal(signal.SIGSTOP)
        bench.machine = dataclasses.replace(bench.machine, seconds=3)
        began = time.monotonic()
        (told,) = bench.next_start()
        assert told["state"] == "not restored" and "did not end within 3 s" in told["reason"]
        assert time.monotonic() - began < 6
        service.signal(signal.SIGCONT)
    assert fan(bench) == "quiet" and not bench.intent.exists()

    with bench.power(fan_profile="cool"):
        service.end()
    assert bench.states()[-1] == ("fan_profile", "not restored") and "no jtop service" in bench.told[-1]["reason"]
    service.start()
    (told,) = bench.next_start()
    assert told["state"] == "restored"
    assert not bench.intent.exists()
