"""Believing another machine: what it must have made, each refusal by name."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from edge_sleep.checkpoint import manifest
from edge_sleep.config import Lora
from edge_sleep.errors import RemoteRefused
from edge_sleep.model import adapter
from edge_sleep.seal import envelope
from edge_sleep.system.files import read_sealed, sha256_file
from edge_sleep.thor import bundle, received, verify, weights
from edge_sleep.thor.job import Result, Trained
from edge_sleep.thor.weights import Form
from edge_sleep.train import state as train_state
from tests import micro
from tests.seal import homes
from tests.thor import made

NOWHERE = Path("/nonexistent")


@pytest.fixture
def night(tmp_path: Path) -> made.Night:
    return made.night(tmp_path)


def unpacked(night: made.Night, result: Result, files: dict[str, Path]) -> Path:
    """A result on its whole way, but for the seal."""
    bundle.pack_result(result, files, night.root / "result")
    folder = night.root / "came"
    assert bundle.unpack_result(night.root / "result", folder) == result
    return folder


def checked(night: made.Night, result: Result, files: dict[str, Path], worker: str = made.WORKER) -> list[str]:
    return verify.check(result, unpacked(night, result, files), night.job, worker, night.parent, NOWHERE)


def test_a_good_result_becomes_the_nights_own_candidate(night: made.Night) -> None:
    result, files = made.answer(night.job, night.root)
    assert checked(night, result, files) == ["signer", "job", "base", "parent", "settings", "tensors", "finite", "moved", "id", "manifest"]
    for _ in range(2):                                         # a start after a power cut does it again
        verify.stage(result, night.root / "came", night.state)
    assert read_sealed(night.state / "candidate.json", "candidate") == {"id": result.candidate}
    staged = manifest.read(night.state / "candidate")
    assert staged["id"] == result.candidate == adapter.content_id(night.state / "candidate", made.BASE.sha256)
    assert not manifest.altered(staged) and manifest.unlike(night.state / "candidate", staged["files"], "candidate") == []
    assert staged["data"]["experiences"] == [example.source for example in made.EXAMPLES]
    assert sorted(file.name for file in (night.state / "candidate").iterdir()) == sorted([adapter.CONFIG, adapter.WEIGHTS, manifest.NAME])


def test_an_adapter_keeps_its_rank_whatever_a_fresh_one_would_have(night: made.Night) -> None:
    settings = night.job.settings.model_copy(update={"lora": Lora(rank=64, alpha=1, targets="all-linear")})
    night.job = night.job.model_copy(update={"settings": settings})
    assert len(checked(night, *made.answer(night.job, night.root))) == 10


def values(**changes: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
    """A good candidate's tensors, one of them otherwise."""
    found = made.tensors(3)
    for name, change in changes.items():
        found[f"{made.NAMES[0]}.weight" if name == "first" else name] = change(found[f"{made.NAMES[0]}.weight"])
    return found


def put(place: int, value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor.view(-1)[place] = value
        return tensor
    return change


def less(name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in made.tensors(3).items() if key != name}


LAST = f"{made.NAMES[-1]}.weight"
RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "for another job": ({"job": "0" * 32}, "of another job"),
    "for another base": ({"base": "0" * 64}, "of another base"),
    "from another parent": ({"parent": "0" * 16}, "of another parent"),
    "from no parent": ({"parent": None}, "of another parent: None"),
    "of another worker": ({"worker": "0" * 16}, "of another worker"),
    "NaN": ({"values": values(first=put(3, float("nan")))}, "not finite"),
    "infinity": ({"values": values(first=put(0, float("-inf")))}, "not finite"),
    "another rank": ({"values": made.tensors(3, rank=3)}, r"has the shape \[3, 4\], not \[2, 4\]"),
    "another rank as it says": ({"values": made.tensors(3, rank=3), "config": {"r": 3}}, "adapter_config.json says r 3, asked was 2"),
    "another shape": ({"values": values(first=lambda tensor: tensor.reshape(-1))}, r"has the shape \[8\]"),
    "another dtype": ({"values": values(first=lambda tensor: tensor.half())}, "has the dtype F16, not F32"),
    "integers": ({"values": values(first=lambda tensor: tensor.to(torch.int32))}, "has the dtype I32, not F32"),
    "a tensor more": ({"values": values(**{"base_model.model.lm_head.weight": lambda tensor: tensor})}, "lm_head.weight' is one too many"),
    "a tensor less": ({"values": less(LAST)}, "lora_B.weight' is missing"),
    "its parent again": ({"values": made.tensors(1)}, "nothing moved in 4 tensors"),
    "one tensor unmoved": ({"values": made.tensors(3) | {LAST: made.tensors(1)[LAST]}}, "nothing moved in 1 tensors"),
    "not trained": ({"train": Trained(steps=0, planned_steps=4, epochs=0, loss_first=None, loss_last=None, stop_reason="finished",
                                      held_out=None, micro_batch=1, grad_accum_steps=1, learning_rate=1e-3, processes=1, live={},
                                      loss_scale=None)}, "nothing moved"),
    "another scale": ({"config": {"lora_alpha": 4000}}, "says lora_alpha 4000, asked was 4"),
    "rslora": ({"config": {"use_rslora": True}}, "says use_rslora True"),
    "dora": ({"config": {"use_dora": True}}, "says use_dora True"),
    "other targets": ({"config": {"target_modules": ["v_proj"]}}, "says target_modules"),
    "another method": ({"config": {"peft_type": "IA3"}}, "says peft_type 'IA3'"),
    "whole modules beside": ({"config": {"modules_to_save": ["lm_head"]}}, "says modules_to_save"),
    "code to load": ({"config": {"auto_mapping": {"parent_library": "os"}}}, "says auto_mapping .*, which was not asked"),
    "a key nobody knows": ({"config": {"\x1b[2J": 1}}, "which was not asked"),
    "a truth for a number": ({"config": {"lora_dropout": False}}, "says lora_dropout False"),
    "another base by name": ({"config": {"base_model_name_or_path": "/tmp/other"}}, "says base_model_name_or_path"),
    **{f"without {key}": ({"without": key}, f"does not say {key}") for key in ("r", "lora_alpha", "use_rslora", "target_modules")},
    "another id": ({"candidate": "0" * 16}, "its id 0000000000000000 is not the hash of its content"),
    "manifest with another id": ({"of_manifest": {"adapter_id": "0" * 16}}, "manifest.json is not what was asked for: id"),
    "manifest with another base": ({"of_manifest": {"base": {"source": "x", "sha256": "y"}}}, "manifest.json .*: base"),
    "manifest with another parent": ({"of_manifest": {"parent": None}}, "manifest.json .*: parent"),
    "manifest of another night": ({"of_manifest": {"night": "other"}}, "manifest.json .*: night"),
    "manifest that hides whose words": ({"of_manifest": {"data": {"sha256": "0", "experiences": []}}}, "manifest.json .*: data"),
    "manifest that measured": ({"of_manifest": {"effect": {"canary": 1}}}, "manifest.json .*: effect"),
    "manifest without a time": ({"of_manifest": {"created": ""}}, "manifest.json .*: created"),
}


@pytest.mark.parametrize("case", RESULTS)
def test_a_result_is_refused_by_name(case: str, night: made.Night) -> None:
    said, words = RESULTS[case]
    result, files = made.answer(night.job, night.root, **said)
    folder = unpacked(night, result, files)
    before = homes.tree(night.root)
    with pytest.raises(RemoteRefused, match=words):
        verify.check(result, folder, night.job, made.WORKER, night.parent, NOWHERE)
    assert homes.tree(night.root) == before


def test_a_manifest_that_was_edited(night: made.Night) -> None:
    result, files = made.answer(night.job, night.root)
    folder = unpacked(night, result, files)
    document = json.loads((folder / "candidate" / manifest.NAME).read_bytes())
    for change in ({"more": 1}, {"files": {}}, {"sha256": "0" * 64}, {"format": 2}):
        (folder / "candidate" / manifest.NAME).write_text(json.dumps(document | change))
        with pytest.raises(RemoteRefused, match=f"manifest.json is not what was asked for: .*{next(iter(change))}"):
            verify.check(result, folder, night.job, made.WORKER, night.parent, NOWHERE)
    (folder / "candidate" / manifest.NAME).write_text("[]")
    with pytest.raises(RemoteRefused, match="manifest.json is not what"):
        verify.check(result, folder, night.job, made.WORKER, night.parent, NOWHERE)


def test_seals_of_others_and_results_of_yesterday(night: made.Night, tmp_path: Path) -> None:
    edge, worker = homes.paired(tmp_path / "homes", "edge", "worker")
    evil = homes.machine(tmp_path / "homes", "evil")
    result, files = made.answer(night.job, night.root)
    bundle.pack_result(result, files, tmp_path / "packed")
    today, yesterday = f"result:{night.job.id}", f"result:{'0' * 32}"
    for keys, purpose, words in ((evil, today, "unknown signer"), (worker, yesterday, "another purpose")):
        envelope.seal(tmp_path / "packed", tmp_path / "sealed", keys, [edge.own], purpose)
        with pytest.raises(RemoteRefused, match=words):
            envelope.unseal(tmp_path / "sealed", tmp_path / "opened", edge, today, 1 << 30)
    envelope.seal(tmp_path / "packed", tmp_path / "sealed", worker, [edge.own], today)
    whole = bytearray((tmp_path / "sealed").read_bytes())
    whole[-1] ^= 1
    (tmp_path / "forged").write_bytes(whole)
    with pytest.raises(RemoteRefused, match="signature of machine .* does not hold"):
        envelope.unseal(tmp_path / "forged", tmp_path / "opened", edge, today, 1 << 30)
    assert not (tmp_path / "opened").exists()
    assert envelope.unseal(tmp_path / "sealed", tmp_path / "opened", edge, today, 1 << 30) == worker.own
    bundle.unpack_result(tmp_path / "opened", tmp_path / "came")
    with pytest.raises(RemoteRefused, match="of another worker"):       # what it says it is, against whose signature held
        verify.check(result, tmp_path / "came", night.job, worker.own.id, night.parent, NOWHERE)


# --- the worker's side --------------------------------------------------------------------------------


def line(**changes: Any) -> bytes:
    document = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "weight": 1.0, "origin": "new",
                "source": "s", "teaches_end": True, "epoch": None, "move": None}
    return json.dumps({key: value for key, value in (document | changes).items() if value != "-"}).encode() + b"\n"


USER, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
EXAMPLES: dict[str, tuple[bytes, str]] = {
    "no line": (b"hello\n", "line 1 is not readable JSON"), "half a line": (line()[:-1], "is cut short"),
    "an empty line": (line() + b"\n", "line 2 is not readable JSON"), "weight zero": (line(weight=0.0), "line 1 is no example: 'weight'"),
    "weight below zero": (line() + line(weight=-1.0), "line 2 is no example"), "huge weight": (line(weight=1e9), "'weight'"),
    "weight NaN": (line().replace(b"1.0", b"NaN"), "not finite"), "weight as text": (line(weight="1"), "'weight'"),
    "no weight": (line(weight="-"), "'weight'"), "more": (line(code="x"), "'code'"),
    "origin": (line(origin="else"), "'origin'"), "epoch beyond": (line(epoch=2), "for epoch 2, of 2"),
    "epoch below": (line(epoch=-1), "'epoch'"), "no messages": (line(messages=[]), "'messages'"),
    "ends with a prompt": (line(messages=[ANSWER, USER]), "end with the companion's words"),
    "no prompt": (line(messages=[ANSWER, ANSWER]), "must begin with a prompt"),
    "late system message": (line(messages=[USER, {"role": "system", "content": "x"}, ANSWER]), "must begin with a prompt"),
    "empty answer": (line(messages=[USER, {"role": "assistant", "content": " \n"}]), "no answer to learn"),
    "a role": (line(messages=[USER, {"role": "tool", "content": "b"}]), "role"),
    "words that are none": (line(messages=[USER, {"role": "assistant", "content": 3}]), "content"),
    "half a character": (line(messages=[USER, {"role": "assistant", "content": "\ud800"}]), "not readable JSON"),
    "deep": (line(source=[[[[[]]]]]), "nested too deeply")}


@pytest.mark.parametrize("case", EXAMPLES)
def test_examples_that_cannot_be_trained(case: str, tmp_path: Path) -> None:
    content, words = EXAMPLES[case]
    (tmp_path / "examples.jsonl").write_bytes(content)
    with pytest.raises(RemoteRefused, match=words):
        received.check_examples(tmp_path / "examples.jsonl", 2)


def test_examples_are_read_as_the_trainer_reads_them(night: made.Night) -> None:
    found = received.check_examples(night.state / "examples.jsonl", 2)
    assert found == train_state.read_examples(night.state) == made.EXAMPLES
    assert any("\u2028" in example.messages[-1]["content"] for example in found), "a line for some, not for JSON"


def state_of(night: made.Night, change: Callable[[dict[str, torch.Tensor]], Any] = lambda tensors: None, **progress: Any) -> Path:
    """The night's training state, changed, as an unpacked bundle has it; its hashes are right again."""
    folder, at = night.root / "received" / "state", night.state / "step-000003"
    folder.mkdir(parents=True)
    tensors = load((at / "tensors.safetensors").read_bytes())
    change(tensors)
    (folder / "tensors.safetensors").write_bytes(save(tensors))
    document = json.loads((at / "progress.json").read_bytes()) | {"sha256": sha256_file(folder / "tensors.safetensors")}
    document = {key: value for key, value in (document | progress).items() if value != "-"}
    (folder / "progress.json").write_text(json.dumps(document))
    files = {name: folder / name.rpartition("/")[2] for name in bundle.STATE}
    night.job = night.job.model_copy(update={"files": night.job.files | bundle.job.listed(files)})
    return folder


LIVE = f"{made.NAMES[0]}.default.weight"


def moment(name: str, value: Any) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda tensors: tensors.update({name: value})


STATES: dict[str, tuple[dict[str, Any], str]] = {
    "another step": ({"step": 4}, "of step 4, not 3"), "steps below zero": ({"step": -1}, "'step'"),
    "steps of half": ({"step": 2.5}, "'step'"), "no step": ({"step": "-"}, "'step'"), "more": ({"hook": "x"}, "'hook'"),
    "no examples per forward": ({"micro_batch": 0}, "'micro_batch'"), "a scale of nothing": ({"scale": 0.0}, "'scale'"),
    "losses of text": ({"losses": ["x"]}, "'losses'"), "another file's": ({"sha256": "0" * 64}, "belongs to other tensors"),
    "no parameter": ({"change": lambda tensors: tensors.pop(f"parameter.{LIVE}")}, "is missing"),
    "a parameter more": ({"change": moment("parameter.lm_head.weight", torch.zeros(2))}, "is one too many"),
    "a tensor more": ({"change": moment("hook", torch.zeros(2))}, "'hook' is one too many"),
    "half the moments": ({"change": lambda tensors: tensors.pop(f"exp_avg.{LIVE}")}, "is missing"),
    "another shape": ({"change": moment(f"parameter.{LIVE}", torch.zeros(4, 4))}, r"has the shape \[4, 4\]"),
    "another dtype": ({"change": moment(f"exp_avg.{LIVE}", torch.zeros(2, 4, dtype=torch.float64))}, "has the dtype F64"),
    "NaN": ({"change": moment(f"exp_avg.{LIVE}", torch.full((2, 4), float("nan")))}, "not finite"),
    "negative squares": ({"change": moment(f"exp_avg_sq.{LIVE}", torch.full((2, 4), -1.0))}, "has negative squares"),
    "no random state": ({"change": lambda tensors: tensors.pop("random.cpu")}, "'random.cpu' is missing"),
    "a short random state": ({"change": moment("random.cpu", torch.zeros(16, dtype=torch.uint8))}, "random.cpu' has the shape"),
    "a random state of noise": ({"change": moment("random.cpu", torch.full((5056,), 255, dtype=torch.uint8))}, "no state of a generator"),
    "a random state of a GPU of text": ({"change": moment("random.cuda", torch.zeros(9, dtype=torch.uint8))}, "random.cuda' has the shape"),
}


@pytest.mark.parametrize("case", STATES)
def test_a_training_state_that_is_none(case: str, night: made.Night) -> None:
    said, words = STATES[case]
    folder = state_of(night, **said)
    before = torch.get_rng_state()
    with pytest.raises(RemoteRefused, match=words):
        received.check_state(folder, night.job, {name: Form("F32", tuple(value.shape)) for name, value in made.tensors(1).items()})
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_state_before_its_first_moments(night: made.Night) -> None:
    def fresh(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.startswith("exp_avg")]:
            del tensors[name]
    wanted = {name: Form("F32", tuple(value.shape)) for name, value in made.tensors(1).items()}
    received.check_state(state_of(night, fresh), night.job, wanted)
    shutil.rmtree(night.root / "received")
    received.check_state(state_of(night, moment("random.cuda", torch.zeros(16, dtype=torch.uint8))), night.job, wanted)


@pytest.mark.parametrize("section, key, value", [("lora", "rank", 4096), ("train", "epochs", 10**6), ("train", "micro_batch", 10**6)])
def test_settings_that_would_take_the_machine(night: made.Night, section: str, key: str, value: int) -> None:
    settings = night.job.settings.model_copy(update={section: getattr(night.job.settings, section).model_copy(update={key: value})})
    with pytest.raises(RemoteRefused, match=f"asks for {section}.{key} {value}"):
        received.check_settings(night.job.model_copy(update={"settings": settings}))


def test_a_job_is_laid_out_as_the_night_it_came_from(night: made.Night) -> None:
    sent = night.root / "job"
    bundle.unpack(night.pack(), sent)
    for _ in range(2):
        state, parent = bundle.lay_out(sent, night.job, night.root / "here")
    assert parent is not None and parent.name == night.job.parent
    assert adapter.content_id(parent, made.BASE.sha256) == night.job.parent
    assert train_state.read_examples(state) == made.EXAMPLES and train_state.latest(state) == state / "step-000003"
    assert homes.tree(state / "step-000003") == homes.tree(night.state / "step-000003")
    plan = json.loads((state / "plan.json").read_bytes())
    assert plan["night"] == night.job.night and plan["experiences"] == list(night.job.experiences)
    (state / "step-000003").rename(state / "step-000009")
    bundle.lay_out(sent, night.job, night.root / "here")
    assert train_state.latest(state) == state / "step-000009", "a worker that was killed goes on from where it was"


# --- with a real base ---------------------------------------------------------------------------------


@pytest.mark.night
def test_a_real_night_is_what_its_base_and_settings_make(micro_home: Any) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    lora = Lora(rank=4, alpha=8)
    config, wanted = verify.fresh(micro_home.model, lora)
    folder = micro_home.root / "adapters" / micro_home.record["candidate"]
    asked = made.night(micro_home.root / "shipped").job
    asked = asked.model_copy(update={
        "settings": asked.settings.model_copy(update={"lora": lora}), "parent": None, "resume_step": None,
        "base": asked.base.model_copy(update={"source": str(micro_home.model.resolve())})})
    assert verify.check_adapter(folder, asked, config, wanted, "the result") == weights.forms(folder / adapter.WEIGHTS, "x") == wanted
    verify._moved(folder, None, 12, "the result")
    assert verify._lora_of(folder / adapter.CONFIG).rank == 4
    assert verify.fresh(micro_home.model, verify._lora_of(folder / adapter.CONFIG)) == (config, wanted), "as a parent, it is itself"
    untrained = load((folder / adapter.WEIGHTS).read_bytes())
    untrained = {name: torch.zeros_like(value) if "lora_B" in name else value for name, value in untrained.items()}
    (folder / adapter.WEIGHTS).write_bytes(save(untrained))
    with pytest.raises(RemoteRefused, match="nothing moved in 14 tensors"):
        verify._moved(folder, None, 12, "the result")
    for other, words in ((Lora(rank=8, alpha=8), "says r 4"), (Lora(rank=4, alpha=8, targets="q_proj"), "target_modules"),
                         (Lora(rank=4, alpha=8, dora=True), "says use_dora")):
        other_config, other_wanted = verify.fresh(micro_home.model, other)
        changed = asked.model_copy(update={"settings": asked.settings.model_copy(update={"lora": other})})
        with pytest.raises(RemoteRefused, match=words):
            verify.check_adapter(folder, changed, other_config, other_wanted, "the result")
    # What a training state calls its parameters is what an adapter's file calls them, DoRA's among them.
    for of in (lora, Lora(rank=4, alpha=8, dora=True)):
        with torch.device("meta"):
            worn = adapter.attach_new(AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(micro_home.model)), of, 0)
        live = [name for name, value in worn.named_parameters() if value.requires_grad]
        assert sorted(map(received._as_saved, live)) == sorted(verify.fresh(micro_home.model, of)[1])
    bigger = micro.make_model(micro_home.root / "bigger", hidden=128)
    with pytest.raises(RemoteRefused, match="has the shape"):
        verify.check_adapter(folder, asked, config, verify.fresh(bigger, lora)[1], "the result")
