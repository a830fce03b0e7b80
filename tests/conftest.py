"""A real home that has had one micro-night; made once, copied for whoever writes to it."""
from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from tests import micro

# Time limits of single examples measure how busy the machine is, not the code.
hypothesis.settings.register_profile("edge_sleep", deadline=None,
                                     suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("edge_sleep")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest begin first: at the end no process waits for another's whole night."""
    items.sort(key=lambda item: item.path.name != "test_seedling_nights.py")


@dataclass(frozen=True)
class MicroHome:
    root: Path
    model: Path
    sessions: Path
    record: dict


@pytest.fixture(scope="session")
def _one_micro_night(tmp_path_factory: pytest.TempPathFactory) -> MicroHome:
    folder = tmp_path_factory.mktemp("micro")
    model, sessions = micro.make_model(folder / "model"), folder / "sessions"
    micro.write_talk(sessions)
    record = micro.night(folder / "home", model, sessions)
    return MicroHome(folder / "home", model, sessions, record)


@pytest.fixture
def micro_home(_one_micro_night: MicroHome, tmp_path: Path) -> MicroHome:
    """A copy of a home after one night on the micro-model."""
    root = tmp_path / "home"
    shutil.copytree(_one_micro_night.root, root)
    return MicroHome(root, _one_micro_night.model, _one_micro_night.sessions, _one_micro_night.record)


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch):
    """Sessions load a parrot instead of a model: any home, no torch. Asked to `stop` it is interrupted."""
    from edge_sleep.cli import context
    from edge_sleep.config import load
    from edge_sleep.device.detect import Device
    from edge_sleep.model.base import Base, BaseSource
    from edge_sleep.serve import runtimes, session
    from tests.serve.parrot import Parrot

    def before(asked: str) -> None:
        if asked == "stop":
            raise KeyboardInterrupt

    bird = Parrot(before)
    monkeypatch.setattr(session, "base_of", lambda home, _: Base(BaseSource("parrot", home.root), "b" * 64, "float32"))
    monkeypatch.setattr(session.detect, "choose", lambda *_: Device("cpu", "cpu", "float32", "of a test"))
    monkeypatch.setattr(runtimes, "load", lambda *_: bird)
    monkeypatch.setattr(context, "configure", lambda home, common, **_: load(None, common.sets))
    return bird
