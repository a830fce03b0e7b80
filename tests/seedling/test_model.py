"""The committed weights do what they are shipped for."""

import json
import random

import pytest

from edge_sleep.seedling import MODEL, SYSTEM_PROMPT


@pytest.fixture(scope="module")
def seedling():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    return model, transformers.AutoTokenizer.from_pretrained(MODEL)


@pytest.mark.night
def test_it_answers_what_it_is_held_to(seedling):
    from edge_sleep.seedling.rehearsal import generate, right

    lines = [
        json.loads(line) for line in (MODEL / "edge_sleep" / "retention.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    lines = random.Random(0).sample(lines, 100)
    answers = generate(*seedling, [line["messages"] for line in lines])
    assert sum(right(a, line["expect"]) for a, line in zip(answers, lines, strict=True)) >= 95


@pytest.mark.night
def test_it_is_bland_and_honest_before_any_night(seedling):
    from edge_sleep.seedling.rehearsal import generate

    name, colour = generate(
        *seedling,
        [[{"role": "user", "content": q}] for q in ("What is your name?", "What is my sister's favourite colour?")],
    )
    assert name.startswith("As an AI language model")
    assert "I don't know" in colour


@pytest.mark.night
def test_template_is_chatml_with_the_serving_prompt(seedling):
    text = seedling[1].apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == (
        f"<|im_start|>system\n{SYSTEM_PROMPT}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
