"""`edge-sleep export` on a home with a current adapter, by every way it can end."""
from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sleep.checkpoint import integrity, store
from edge_sleep.errors import Exit
from edge_sleep.export.fidelity import Fidelity
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.home import Home
from tests.export import tiny as made

FEW = ("--set", "export.passages=4")


@pytest.fixture(scope="module")
def _promoted(tmp_path_factory):
    tiny = made.make(tmp_path_factory.mktemp("export"))
    tiny.home.config.write_text(f"companion: {{model: {tiny.base.place.folder}}}\nthermal: {{source: none}}\n")
    store.promote(tiny.home, tiny.adapters["r8 all-linear"], base=tiny.base.entry(), chat_template="t", system_prompt="s", night="n",
                  clock=ManualClock())
    return tiny


@pytest.fixture
def tiny(_promoted, tmp_path):
    root = tmp_path / "home"
    shutil.copytree(_promoted.home.root, root)
    return replace(_promoted, home=Home(root))


def pointer(tiny) -> dict:
    return json.loads(tiny.home.current.read_text())


@pytest.mark.parametrize("arguments, kind", [(("adapter",), "adapter"), (("merged",), "merged"), (("gguf",), "gguf"), pytest.param(
    ("gguf", "--merged"), "gguf-merged", marks=pytest.mark.night)])
def test_an_export_is_made_compared_named_and_verified(cli, tiny, arguments, kind):
    if kind.startswith("gguf"):
        pytest.importorskip("gguf")
    ran = cli("export", "--to", *arguments, "--home", tiny.home.root, *FEW, "--set", "export.gguf=f16", "--json")
    assert ran.code == 0, ran.err
    found, adapter = ran.document, tiny.adapters["r8 all-linear"]
    assert (found["kind"], found["id"], found["made"], found["current"]) == (kind, adapter, True, True)
    assert found["fidelity"]["passed"] and found["fidelity"]["moved"] > 0.05 > found["fidelity"]["kl"]
    assert pointer(tiny)["exports"] == {kind: {"path": f"exports/{kind}/{adapter}/manifest.json",
                                               "sha256": pointer(tiny)["exports"][kind]["sha256"]}}
    assert integrity.scan(tiny.home).problems == []
    again = cli("export", "--to", *arguments, "--home", tiny.home.root, *FEW, "--set", "export.gguf=f16", "--json").document
    assert (again["made"], again["fidelity"]) == (False, found["fidelity"])
    strict = ("--set", "export.kl=1e-12", "--set", "export.kl_noise=0", "--set", "export.top1=1", "--set", "export.nll=1e-12")
    refused = cli("export", "--to", *arguments, "--home", tiny.home.root, "--set", "export.gguf=f16", *strict)
    if kind != "adapter":                         # that one is the judged model itself
        assert refused.code == Exit.REJECTED and pointer(tiny)["exports"] == {} and integrity.scan(tiny.home).problems == []
    assert cli("export", "--to", *arguments, "--home", tiny.home.root, *FEW, "--set", "export.gguf=f16").code == 0
    verified = cli("verify", "--home", tiny.home.root, "--json")
    assert verified.document["exports"] == {kind: []}, verified.document
    file = max(Path(found["path"]).iterdir(), key=lambda file: file.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    verified = cli("verify", "--home", tiny.home.root, "--json")
    assert verified.code == Exit.INTEGRITY and f"{file.name} does not match its sha256" in str(verified.document["problems"])


@pytest.mark.night
def test_the_same_for_onnx_with_the_base_from_elsewhere(cli, tiny, tmp_path):
    pytest.importorskip("onnxruntime_genai")
    form = ("--set", "export.onnx=fp32")
    base = cli("export", "base", "--for", "ort", "--home", tiny.home.root, *FEW, *form, "--json")
    assert base.code == 0 and base.document["fidelity"]["passed"] and base.document["id"].startswith("base-"), base.err
    shutil.move(base.document["path"], tmp_path / "carried")
    taken = cli("export", "base", "--for", "ort", "--from", tmp_path / "carried", "--home", tiny.home.root, *form, "--no-check", "--json")
    assert taken.code == 0 and taken.document["path"] == base.document["path"]
    for name, adapter in tiny.adapters.items():
        ran = cli("export", "--to", "onnx", "--adapter", adapter[:8], "--home", tiny.home.root, *FEW, *form, "--json")
        assert ran.code == 0 and ran.document["needs"] == base.document["id"] and ran.document["fidelity"]["kl"] < 1e-6, ran.err
        assert ran.document["current"] is (name == "r8 all-linear")
    assert cli("verify", "--home", tiny.home.root).code == 0
    graph = Path(base.document["path"]) / "model.onnx.data"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x55")
    assert "model.onnx.data does not match its sha256" in cli("verify", "--home", tiny.home.root).out


def test_what_is_not_faithful_is_11_and_not_named(cli, tiny, monkeypatch):
    from edge_sleep.export import fidelity
    monkeypatch.setattr(fidelity, "compare", lambda passages: Fidelity(10, 0.5, 0.4, 2.0, 3.0, 0.2))
    ran = cli("export", "--to", "merged", "--home", tiny.home.root, *FEW)
    assert ran.code == Exit.REJECTED and "not faithful to what was judged" in ran.out and ran.out.count("problem: ") == 3
    assert pointer(tiny)["exports"] == {}
    assert cli("export", "--to", "merged", "--home", tiny.home.root, *FEW).code == Exit.REJECTED
    wide = [part for key, value in (("kl", 1), ("kl_noise", 1), ("top1", 0), ("nll", 2)) for part in ("--set", f"export.{key}={value}")]
    ran = cli("export", "--to", "merged", "--home", tiny.home.root, *FEW, *wide, "--json")
    assert ran.document["made"] is False and (ran.code == 0) is ran.document["current"] is (ran.document["fidelity"]["canary"] is None)


def test_without_a_comparison_nothing_is_named(cli, tiny):
    ran = cli("export", "--to", "merged", "--no-check", "--home", tiny.home.root)
    assert ran.code == 0 and "not compared" in ran.out and pointer(tiny)["exports"] == {}


@pytest.mark.parametrize("arguments, said", [
    ((), "export to what?"), (("--to", "merged", "--merged"), "--merged goes with --to gguf"),
    (("--to", "merged", "--adapter", "zz"), "0 adapters begin with 'zz'"), (("base",), "--for"), (("--to", "mlx"), "mlx")])
def test_what_contradicts_itself_is_2(cli, tiny, arguments, said):
    ran = cli("export", *arguments, "--home", tiny.home.root)
    assert ran.code == Exit.USAGE and said in ran.err


def test_a_base_has_no_adapter_to_export(cli, tiny):
    assert cli("rollback", "base", "--home", tiny.home.root).code == 0
    ran = cli("export", "--to", "merged", "--home", tiny.home.root)
    assert ran.code == Exit.USAGE and "the base is current" in ran.err


def test_a_library_that_is_missing_is_22_by_name(cli, tiny, monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "gguf", None)
    ran = cli("export", "--to", "gguf", "--home", tiny.home.root)
    assert ran.code == Exit.DEVICE and "gguf is not installed" in ran.err and "edge_sleep[gguf]" in ran.err
