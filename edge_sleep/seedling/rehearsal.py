"""Write the data that travels with the weights: what nights rehearse, what they must not lose, what was never told.

python -m edge_sleep.seedling.rehearsal --model DIR
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from edge_sleep.seedling import MODEL
from edge_sleep.seedling.corpus import Conversation, several, single
from edge_sleep.seedling.world import LEFT_OPEN, REHEARSED, RESERVED, STRANGERS, TEACHABLE, Entity

# A night draws other items in every epoch, twelve times a few hundred: more lines are more variety at no cost.
REPLAY = {"fact": 440, "context": 1120, "unknown": 1280, "talk": 100, "instruction": 140, "identity_other": 60}
# A night pads a batch to its longest example, so what it rehearses is kept short.
LONGEST_REPLAY = 330
RETENTION = {"fact": 200, "context": 160, "talk": 70, "instruction": 70}
UNKNOWN, ANSWERABLE = 600, {"context": 180, "fact": 120}
HONEST = "don't know"


def key_words(conversation: Conversation) -> list[str]:
    """The words that show a right answer: the value, or the honest phrase, or the reply's last word."""
    answer = conversation.turns[-1][1]
    if conversation.kind == "unknown":
        return [HONEST]
    last = conversation.last_fact
    if last and last[2]:
        return [last[2]]
    return [re.findall(r"[\w']+", answer)[-1]]


def right(answer: str, expect: list[str]) -> bool:
    """True when every expected phrase stands in the answer as whole words."""
    return all(re.search(rf"(?<!\w){re.escape(e.lower())}(?!\w)", answer.lower()) for e in expect)


def draw(seed: str, kind: str, entities: list[Entity], told: float = 0.35) -> Iterator[Conversation]:
    """Conversations that end in this kind of exchange and contradict nothing that lessons teach.

    Of teachable people only what is left open may be unknown, and there is no bland identity: a night replaces it.
    """
    rng = random.Random(seed)
    named = {"context": "persona", "identity_other": "identity"}.get(kind, kind)
    teachable = {e.key for e in TEACHABLE}
    while True:
        c = several(rng, entities) if rng.random() < told else single(rng, named, entities)
        if c.kind != kind or "identity" in c.kinds:
            continue
        if all(pair in LEFT_OPEN or pair[0] not in teachable for pair in c.left_open):
            yield c


def _prompt(messages: list[dict[str, str]]) -> str:
    return json.dumps([m for m in messages if m["role"] != "assistant"])


def replay() -> list[dict]:
    lines, used = [], set()
    for kind, count in REPLAY.items():
        n = 0
        people = REHEARSED * 2 + STRANGERS[::2] + TEACHABLE * 3 if kind == "unknown" else REHEARSED * 3 + STRANGERS
        for c in draw(f"replay {kind}", kind, people, told=0.2):
            messages = c.messages()
            if sum(len(m["content"]) for m in messages) > LONGEST_REPLAY:
                continue
            if _prompt(messages) in used and kind not in ("talk", "identity_other", "instruction"):
                continue
            used.add(_prompt(messages))
            lines.append({"messages": messages, "kind": kind})
            n += 1
            if n == count:
                break
    random.Random("replay order").shuffle(lines)
    return lines


def candidates(
    seed: str, counts: dict[str, int], entities: list[Entity], avoid: set[str], spare: float = 1.4
) -> list[dict]:
    """Questions with the words that show a right answer; no prompt twice, none of `avoid`."""
    lines: list[dict] = []
    for kind, count in counts.items():
        for tries, c in enumerate(draw(f"{seed} {kind}", kind, entities)):
            if any(pair in LEFT_OPEN for pair in c.left_open):
                continue
            messages = c.messages()[:-1]
            prompt = _prompt(messages)
            if prompt not in avoid:
                avoid.add(prompt)
                lines.append(
                    {"id": f"{seed}-{kind}-{len(lines)}", "messages": messages, "expect": key_words(c), "kind": kind}
                )
            if sum(line["kind"] == kind for line in lines) >= count * spare or tries > 40 * count:
                break
    return lines


def generate(
    model, tokenizer, dialogues: list[list[dict[str, str]]], batch: int = 64, new_tokens: int = 40
) -> list[str]:
    """Greedy answers, in the order of the questions."""
    import torch

    prompts = [tokenizer.apply_chat_template(d, tokenize=False, add_generation_prompt=True) for d in dialogues]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    tokenizer.padding_side = "left"
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        ids = tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            out = model.generate(
                input_ids=ids["input_ids"],
                attention_mask=ids["attention_mask"],
                max_new_tokens=new_tokens,
                do_sample=False,
            )
        texts = tokenizer.batch_decode(out[:, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(chosen, texts, strict=True):
            answers[i] = text.strip()
    return answers


def write(path: Path, lines: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edge_sleep.seedling.rehearsal", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=MODEL, help="grown model folder; the data is written into it")
    folder = parser.parse_args(argv).model
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lines = replay()
    write(folder / "edge_sleep" / "replay.jsonl", lines)
    used = {_prompt(line["messages"]) for line in lines}

    asked = candidates("retention", RETENTION, REHEARSED * 3 + STRANGERS, used)
    answers = generate(model, tokenizer, [line["messages"] for line in asked])
    good = [line for line, answer in zip(asked, answers, strict=True) if right(answer, line["expect"])]
    print(f"retention: {len(good)} of {len(asked)} candidates answered right")
    kept = []
    for kind, count in RETENTION.items():
        kept += [line for line in good if line["kind"] == kind][:count]
    write(folder / "edge_sleep" / "retention.jsonl", kept)

    unknown = candidates("unknowns", {"unknown": UNKNOWN} | ANSWERABLE, RESERVED * 3 + STRANGERS, used, spare=1.0)
    lines = [{k: v for k, v in q.items() if k != "kind"} | {"known": q["kind"] != "unknown"} for q in unknown]
    write(folder / "edge_sleep" / "unknowns.jsonl", lines)
    answers = generate(model, tokenizer, [line["messages"] for line in lines])
    for known in (False, True):
        hits = [right(a, q["expect"]) for a, q in zip(answers, lines, strict=True) if q["known"] == known]
        print(f"unknowns, {'answerable' if known else 'never told'}: {sum(hits)} of {len(hits)} right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
