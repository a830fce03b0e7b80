import pytest

from edge_sleep.data.origin import ModelName, contradicts, foreign, in_path, parse
from edge_sleep.model.base import resolve
from edge_sleep.model.identity import own

HALF = ModelName("qwen", "2.5", 0.494)


@pytest.mark.parametrize(("name", "stated"), [
    ("Qwen/Qwen2.5-14B-Instruct", ("qwen", "2.5", 14)), ("qwen2.5:0.5b", ("qwen", "2.5", 0.5)), ("phi4:14b", ("phi", "4", 14)),
    ("gemma3:12b", ("gemma", "3", 12)), ("google/gemma-2-2b-it", ("gemma", "2", 2)), ("Llama-3.2-1B", ("llama", "3.2", 1)),
    ("tinyllama:latest", ("tinyllama", None, None)), ("Qwen 0.5B + LoRA cycle_012", ("qwen", None, 0.5)),
    ("SmolLM2-135M-Instruct", ("smollm", "2", 0.135)), ("mixtral-8x7b", ("mixtral", None, 56)), ("Qwen3-30B-A3B", ("qwen", "3", 30)),
    ("qwen-14b", ("qwen", None, 14)), ("14b", (None, None, 14)), ("epistemic-pragmatism", (None, None, None)),
    ("introspective-qwen-0.5b-v2.1", ("qwen", None, 0.5)), ("gpt-4o-mini", ("gpt", "4", None)), ("claude-3-5-sonnet", ("claude", "3", None)),
    ("cycle_001", (None, None, None)), ("model-20260213", (None, None, None)), ("", (None, None, None)), ("phi-3-mini-4k", ("phi", "3", None))])
def test_what_a_name_states(name, stated):
    assert parse(name) == ModelName(*stated)


@pytest.mark.parametrize(("stated", "taken"), [
    (None, True), ("qwen2.5:0.5b", True), ("Qwen/Qwen2.5-0.5B-Instruct", True), ("qwen2:0.5b", True), ("epistemic-pragmatism", True),
    ("Qwen 0.5B + LoRA cycle_012", True), ("0.5b", True),
    ("Qwen/Qwen2.5-14B-Instruct", False), ("qwen3.5:0.8b", False), ("qwen3:0.6b", False), ("phi4:14b", False), ("tinyllama:latest", False),
    ("14b", False), ("gpt-4o", False)])
def test_only_a_contradiction_keeps_a_session_out(stated, taken):
    evidence = foreign(stated, HALF)
    assert (evidence is None) == taken
    assert taken or (stated in evidence and "qwen2.5 of 0.494 B" in evidence and "companion.models" in evidence)


def test_other_models_can_be_asked_for():
    for also, taken in ((["phi4*"], True), (["*14B*"], True), (["*"], True), (["gemma*"], False), ([], False)):
        assert (foreign("phi4:14b", HALF, also) is None) == taken
    assert foreign("qwen2.5:0.5b", HALF, ["phi4*"]) is None, "asking for another does not leave out one's own"
    assert foreign("phi4:14b", None) is None, "nothing is known of the base"


@pytest.mark.parametrize(("path", "model"), [
    ("instances/sprout-qwen2.5-0.5b/sessions/session_001.json", "qwen2.5-0.5b"), ("tracks/raising-14b/experiments/x.json", "raising-14b"),
    ("a/R14B_021_phase4.json", "14B"), ("a/r14b_session.json", "14b"), ("a/raising_14b_session/S1.json", "raising_14b"),
    ("nomad-gemma3-4b/dream.jsonl", "gemma3-4b"), ("a/session_014b.json", None), ("a/T012.json", None), ("exp_3b/trial_2b.json", None),
    ("1e89-412b-9b3b.json", None), ("qwen-7b/a/b/c/d/session.json", None), ("my-14b-notes/s.json", None), ("raising_0.5b_buffer.json", None)])
def test_what_a_path_states(path, model):
    assert in_path(path) == model


def test_contradiction_is_mutual():
    names = [parse(name) for name in ("qwen2.5:0.5b", "qwen2", "14b", "phi4", "x", "qwen2.5-7b", "llama")]
    for one in names:
        for other in names:
            assert contradicts(one, other) == contradicts(other, one)
        assert not contradicts(one, one)


def test_a_base_is_known_by_its_name_and_its_shape(tmp_path):
    seedling = own(resolve("seedling"))
    assert seedling.family == "seedling" and 0.001 < seedling.billions < 0.02
    assert foreign("phi4:14b", seedling) and foreign("seedling", seedling) is None and foreign(None, seedling) is None
    folder = tmp_path / "epistemic-pragmatism"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,'
                                        '"num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": true}')
    for name in ("tokenizer.json", "model.safetensors"):
        (folder / name).write_text("")
    found = own(resolve(str(folder)))
    assert (found.family, found.version) == ("qwen", "2") and found.billions == pytest.approx(0.494, abs=0.001)
    assert foreign("Qwen/Qwen2.5-14B-Instruct", found) and foreign("qwen2.5:0.5b", found) is None
    (folder / "config.json").write_text("{")
    assert own(resolve(str(folder))) == ModelName()
