"""What edge_sleep runs on may be shipped with it; the bill of materials and the audit say what is there and what they did not see."""
from __future__ import annotations

import importlib.util
import re
from importlib import metadata
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PERMISSIVE = {"Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "ISC", "PSF-2.0", "Zlib",
              "CC0-1.0", "BSL-1.0", "CNRI-Python", "Unlicense"}
# Neither copied nor changed here, and named for what they ask.
NAMED = {
    "certifi": ("MPL-2.0", "Mozilla's list of authorities; a change of that very file would have to be published"),
    "tqdm": ("MPL-2.0", "transformers' progress bars; a change of its files would have to be published"),
    "nvidia-": (None, "NVIDIA's runtime libraries: they come with torch's wheels for CUDA, under NVIDIA's own terms"),
    "cuda-": (None, "the same, under newer names"),
}


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, TOP / ".ci" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sbom, audit = script("sbom"), script("audit")


def parts(expression: str) -> set[str]:
    return {part.strip("() ") for part in re.split(r" AND | OR ", expression)}


def test_every_dependency_may_be_shipped() -> None:
    found = sbom.closure(sbom.asked())
    assert {"torch", "transformers", "pydantic", "starlette", "pynacl"} <= set(found)
    for name, one in found.items():
        if one is None:                         # an extra that is not installed here, or not made for this Python
            continue
        wanted, _ = next((entry for begin, entry in NAMED.items() if name.startswith(begin)), ("", ""))
        if wanted is not None:
            assert parts(sbom.licence(one)) <= PERMISSIVE | {wanted}, f"{name} {one.version}: {sbom.licence(one)}"


def test_the_copyleft_extra_is_no_dependency() -> None:
    assert "jetson-stats" not in sbom.closure(sbom.asked()) and "jetson" not in sbom.EXTRAS


def test_the_bill_names_version_licence_and_hash(tmp_path: Path) -> None:
    one = metadata.distribution("typing-inspection")
    bill, odd = sbom.document([one])
    entry = bill["components"][0]
    assert (entry["name"], entry["version"], entry["purl"]) == ("typing-inspection", one.version, f"pkg:pypi/typing-inspection@{one.version}")
    assert entry["licenses"] == [{"expression": "MIT"}] and odd == [] and re.fullmatch("[0-9a-f]{64}", entry["hashes"][0]["content"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6") and bill["metadata"]["component"]["name"] == "edge_sleep"


def test_a_file_that_was_changed_changes_the_hash_and_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "thing-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\nLicense: MIT\n")
    (tmp_path / "thing.py").write_text("x = 1\n")
    (folder / "RECORD").write_text("thing.py,sha256=nia_NpkRxFwkPGhBR7I_yeHc_PJX0pmhxjIBam_NM_Q,6\nthing-1.0.dist-info/RECORD,,\n")
    first, odd = sbom.component(metadata.Distribution.at(folder))
    assert odd == []
    (tmp_path / "thing.py").write_text("x = 2\n")
    second, changed = sbom.component(metadata.Distribution.at(folder))
    assert first["hashes"] != second["hashes"] and changed == ["thing.py"]


@pytest.mark.parametrize("dependency, known, code, words", [
    ({"name": "a", "version": "1", "vulns": []}, {}, 0, "audited 1 distributions: 0"),
    ({"name": "a", "skip_reason": "not found"}, {}, 0, "not audited: a: not found"),
    ({"name": "a", "version": "1", "vulns": [{"id": "X-1", "aliases": ["C-2"], "fix_versions": ["2"]}]}, {}, 1, "a 1: X-1, C-2; fixed in 2"),
    ({"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": []}]}, {}, 1, "fixed in no version yet"),
    ({"name": "a", "version": "1", "vulns": [{"id": "X-1", "aliases": ["C-2"]}]}, {"C-2": "never called"}, 0, "accepted: never called")])
def test_what_an_audit_says(dependency: dict, known: dict, code: int, words: str) -> None:
    found, said = audit.judge({"dependencies": [dependency]}, known)
    assert found == code and words in "\n".join(said)


def test_without_a_network_nothing_fails_and_it_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(audit.socket, "create_connection", refuse)
    assert audit.main() == 0
    assert capsys.readouterr().out == "not audited: api.osv.dev cannot be reached: no route\n"


def test_an_accepted_advisory_has_a_reason() -> None:
    assert audit.accepted("# why\n\nX-1 not reached: we never parse it\n") == {"X-1": "not reached: we never parse it"}
    with pytest.raises(SystemExit, match="without a reason"):
        audit.accepted("X-1\n")


