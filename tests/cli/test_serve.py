"""`serve` ends by name where it cannot begin."""
from __future__ import annotations

import hashlib
import json
import socket
import sys

import pytest

from edge_sleep.system import lock
from edge_sleep.system.files import canonical_json
from edge_sleep.system.home import Home


def test_a_port_that_is_taken(cli, parrot, tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = cli("serve", "--home", tmp_path / "home", "--port", taken.getsockname()[1])
    assert ran.code == 2 and "cannot be listened on" in ran.err
    assert not lock.is_held(Home(tmp_path / "home").session_lock)


@pytest.mark.parametrize("missing", ["uvicorn", "starlette.applications", "prometheus_client"])
def test_without_the_extra(cli, parrot, tmp_path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delitem(sys.modules, "edge_sleep.serve.api", raising=False)
    monkeypatch.delattr("edge_sleep.serve.api", raising=False)     # the package remembers what another test imported
    monkeypatch.setitem(sys.modules, missing, None)
    ran = cli("serve", "--home", tmp_path / "home", "--json")
    assert ran.code == 22 and "edge_sleep[serve]" in ran.document["error"]["do"]


@pytest.mark.night
def test_a_base_that_is_not_what_it_was(cli, micro_home) -> None:
    base = json.loads((micro_home.root / "base.json").read_text())
    files = {name: "0" * 64 for name in base["files"]}
    sha256 = hashlib.sha256(canonical_json(files)).hexdigest()
    (micro_home.root / "base.json").write_text(json.dumps(base | {"files": files, "sha256": sha256}))
    ran = cli("serve", "--home", micro_home.root, "--port", "0")
    assert ran.code == 30 and "changed since this home began" in ran.err
    assert not lock.is_held(Home(micro_home.root).session_lock)
