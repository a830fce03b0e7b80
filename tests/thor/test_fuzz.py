"""Good bundles, envelopes and documents, altered at random: whoever reads them says RemoteRefused, or reads what was sent.

Two kinds of alteration: bytes (what a broken or a careless sender makes), and values inside of JSON with every hash made right again
(what somebody makes who knows the format). `-m long` runs many and counts what came of them.
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edge_sleep.errors import RemoteRefused
from edge_sleep.seal import envelope, pairing
from edge_sleep.system import foreign
from edge_sleep.thor import bundle, job, received, verify, weights
from edge_sleep.thor.weights import Form
from tests.fuzz.altering import altered_bytes, altered_values
from tests.seal import homes
from tests.thor import made

SHORT, LONG = 25, 1000
def written(document: Any) -> bytes:
    return json.dumps(document).encode()


@dataclass
class Reader:
    """strategy: alterations; read: raises RemoteRefused, or gives what was read; same: what that must then be (None: anything)."""

    strategy: st.SearchStrategy
    read: Callable[[Any], Any]
    same: Any = None


def readers(root: Path) -> dict[str, Reader]:
    night = made.night(root)
    packed, contents = night.pack().read_bytes(), made.of_zip(root / "bundle")
    result, files = made.answer(night.job, root)
    bundle.pack_result(result, files, root / "result")
    answer, answered = (root / "result").read_bytes(), made.of_zip(root / "result")
    one, two = homes.paired(root / "homes", "one", "two")
    one.rotate()
    envelope.seal(root / "result", root / "sealed", one, [two.own], "result:1")
    sealed, signed, line = (root / "sealed").read_bytes(), envelope.sign({"job": "1", "n": [1, 2.5]}, one, "lease:1"), pairing.invitation(one)
    code = pairing.new_code()
    exchange = pairing.Exchange(one, code)
    _, reply = pairing.Exchange(two, code).answer(exchange.invitation())
    forms = {name: Form("F32", tuple(value.shape)) for name, value in made.tensors(1).items()}
    file, out = root / "read", root / "out"

    def on_file(act: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        def read(content: bytes) -> Any:
            file.write_bytes(content)
            return act(file)
        return read

    def unpacked(act: Callable[[Path, Path], Any]) -> Callable[[bytes], Any]:
        def read(content: bytes) -> Any:
            shutil.rmtree(out, ignore_errors=True)
            file.write_bytes(content)
            try:
                return act(file, out), {name: what for name, what in homes.tree(out).items() if not what.startswith("4")}
            except RemoteRefused:
                assert not out.exists() and not list(root.glob(".tmp-*")), "nothing is left"
                raise
        return read

    def of_values(name: str, document: str, contents: dict[str, bytes], act: Callable[[Path, Path], Any]) -> Callable[[Any], Any]:
        """An archive with this JSON in it, everything that is a hash made right again."""
        def read(altered: Any) -> Any:
            shutil.rmtree(out, ignore_errors=True)
            changed = contents | {name: written(altered)}
            if name != document:
                changed = made.relisted(changed, document)
            elif isinstance(altered, dict) and document == "job.json" and "id" in altered:
                changed[name] = written(altered | {"id": hashlib.sha256(job.canonical_json(json.loads(written(altered)) | {"id": None}))
                                                   .hexdigest()[:32]}) if encodes(altered) else changed[name]
            return act(made.zipped(changed, file), out)
        return read

    def check_result(packed: Path, folder: Path) -> Any:
        return verify.check(bundle.unpack_result(packed, folder), folder, night.job, made.WORKER, night.parent, Path("/nonexistent"))

    def check_job(packed: Path, folder: Path) -> Any:
        """As `verify.check_job`, with the forms of a base that is not there."""
        asked = bundle.unpack(packed, folder)
        received.check_settings(asked)
        received.check_examples(folder / bundle.EXAMPLES, asked.settings.train.epochs)
        verify.check_adapter(folder / "parent", asked, made.CONFIG, forms, "parent")
        received.check_state(folder / "state", asked, forms)

    def tensors(path: Path) -> Any:
        weights.forms(path, "x")
        return list(weights.tensors(path, "x"))

    def state(content: bytes) -> Any:
        return check_job(made.zipped(made.relisted(contents | {bundle.STATE[1]: content, bundle.STATE[0]: written(
            json.loads(contents[bundle.STATE[0]]) | {"sha256": hashlib.sha256(content).hexdigest()})}), file), fresh_out())

    def fresh_out() -> Path:
        shutil.rmtree(out, ignore_errors=True)
        return out

    adapter_file, manifest_file = contents["parent/adapter_model.safetensors"], json.loads(answered["candidate/manifest.json"])
    header = json.loads(adapter_file[8:8 + int.from_bytes(adapter_file[:8], "little")])
    data = adapter_file[8 + int.from_bytes(adapter_file[:8], "little"):]
    good_job, good_result = (unpacked(act)(content) for act, content in ((bundle.unpack, packed), (bundle.unpack_result, answer)))
    return {
        "bundle, bytes": Reader(altered_bytes(packed), unpacked(bundle.unpack), good_job),
        "result, bytes": Reader(altered_bytes(answer), unpacked(bundle.unpack_result), good_result),
        "job.json, values": Reader(altered_values(json.loads(contents["job.json"])),
                                   of_values("job.json", "job.json", contents, check_job)),
        "result.json, values": Reader(altered_values(json.loads(answered["result.json"])),
                                      of_values("result.json", "result.json", answered, check_result)),
        "adapter_config.json, values": Reader(altered_values(json.loads(answered["candidate/adapter_config.json"])),
                                              of_values("candidate/adapter_config.json", "result.json", answered, check_result)),
        "manifest.json, values": Reader(altered_values(manifest_file),
                                        of_values("candidate/manifest.json", "result.json", answered, check_result)),
        "progress.json, values": Reader(altered_values(json.loads(contents[bundle.STATE[0]])),
                                        of_values(bundle.STATE[0], "job.json", contents, check_job)),
        "safetensors, bytes": Reader(altered_bytes(adapter_file), on_file(tensors)),
        "safetensors, values": Reader(altered_values(header).map(lambda found: made.safetensors(found, data)), on_file(tensors)),
        "training state, bytes": Reader(altered_bytes(contents[bundle.STATE[1]]), state),
        "examples, bytes": Reader(altered_bytes(contents["examples.jsonl"]), on_file(lambda path: received.check_examples(path, 2))),
        "examples, values": Reader(altered_values(json.loads(contents["examples.jsonl"].split(b"\n")[0])).map(lambda found: written(found) + b"\n"),
                                   on_file(lambda path: received.check_examples(path, 2))),
        "sealed file, bytes": Reader(altered_bytes(sealed), on_file(lambda path: (
            envelope.unseal(path, root / "plain", two, "result:1", 1 << 20).id, (root / "plain").read_bytes())), (one.own.id, answer)),
        "signed document, bytes": Reader(altered_bytes(signed), lambda content: envelope.opened(content, two, "lease:1")[0],
                                         {"job": "1", "n": [1, 2.5]}),
        "invitation, bytes": Reader(altered_bytes(line.encode()).map(lambda content: content.decode("utf-8", "replace")), pairing.invited,
                                    one.own),
        "answer to a code, bytes": Reader(altered_bytes(reply), exchange.accept_answer, two.own),
        "JSON, bytes": Reader(altered_bytes(contents["job.json"]), lambda content: foreign.document(content, "x", limit_bytes=1 << 20)),
    }


def encodes(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def campaign(reader: Reader, examples: int) -> Counter:
    """What came of that many alterations. Anything but RemoteRefused, or something else read than was sent, fails."""
    came: Counter = Counter()

    @settings(max_examples=examples, database=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
    @given(reader.strategy)
    def alter(content: Any) -> None:
        try:
            found = reader.read(content)
        except RemoteRefused as error:
            assert error.message.isprintable(), "what a stranger wrote does not steer a terminal"
            came["refused"] += 1
        else:
            came["read"] += 1
            assert reader.same is None or found == reader.same
    alter()
    return came


NAMES = ["bundle, bytes", "result, bytes", "job.json, values", "result.json, values", "adapter_config.json, values", "manifest.json, values",
         "progress.json, values", "safetensors, bytes", "safetensors, values", "training state, bytes", "examples, bytes", "examples, values",
         "sealed file, bytes", "signed document, bytes", "invitation, bytes", "answer to a code, bytes", "JSON, bytes"]


@pytest.fixture(scope="module")
def all_readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Reader]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)            # no power is cut here
        found = readers(tmp_path_factory.mktemp("fuzz"))
        assert list(found) == NAMES
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_altered_it_is_refused(name: str, all_readers: dict[str, Reader]) -> None:
    came = campaign(all_readers[name], SHORT)
    assert came["refused"] > SHORT // 4


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_altered_very_often(name: str, all_readers: dict[str, Reader]) -> None:
    begin = time.process_time()
    came = campaign(all_readers[name], LONG)
    print(f"\nfuzz | {name} | {sum(came.values())} | {came['refused']} | {came['read']} | {time.process_time() - begin:.0f} s")
