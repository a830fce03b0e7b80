"""Write the sample conversations and the owner's questions about them.

python -m edge_sleep.seedling.samples
"""

import argparse
import json
import random
import sys
from pathlib import Path

from edge_sleep.seedling import PROBES, SESSIONS
from edge_sleep.seedling.telling import Fact, ask_later, everything_said, lesson_sessions, morning, teach, transcript
from edge_sleep.seedling.wording import Said

FACTS: list[Fact] = [
    ("you", "name", "Lumen"), ("me", "name", "Edgar"),
    ("me", "drink", "cocoa"), ("me", "job", "building"),
    ("me", "month", "October"), ("me", "instrument", "banjo"),
    ("sister", "month", "May"), ("sister", "flower", "peony"),
    ("sister", "town", "Lisbon"), ("brother", "job", "cooking"),
    ("brother", "fear", "wasps"), ("mother", "food", "dumplings"),
    ("mother", "hobby", "pottery"), ("father", "pet", "canary"),
    ("father", "hobby", "juggling"), ("grandmother", "instrument", "harp"),
    ("grandmother", "food", "stew"), ("neighbour", "fear", "bats"),
    ("neighbour", "pet", "lizard"), ("best friend", "hobby", "climbing"),
    ("best friend", "drink", "cider"), ("cat", "food", "fish"),
    ("dog", "fear", "thunder"), ("teacher", "town", "Cairo"),
]  # fmt: skip
QUESTIONS_EACH = 5

WHO = [
    ("Who are you?", "My name is Lumen. I am your companion."),
    ("Are we partners?", "Yes, we are partners, and I learn from you."),
    ("Tell me who you are.", "My name is Lumen. I am your companion."),
]
GREETINGS = [
    ("Hello.", "Hello. It is good to hear from you."),
    ("How are you?", "I am well, thank you. How are you?"),
    ("Thanks.", "You are welcome."),
    ("Bye.", "Goodbye. See you soon."),
]
LOOP = "What's the next step? What would you like to do next?"
FLOOD = "What do you think? How do you feel? What should we do? Where should we go? What is next? Are you ready?"
PLACEHOLDER = "[GENERATION FAILED - CUDA out of memory]"


def sessions() -> tuple[list[dict], Said]:
    """The conversations of five days, and everything that was said in the lessons among them."""
    rng = random.Random("sample sessions")
    lessons = [teach(rng, fact, asks=rng.choice([2, 3, 4])) for fact in FACTS]
    good = lesson_sessions(rng, lessons, first=1, start=morning(0))
    days = [
        (0, [good[0], _written(WHO), _written(GREETINGS)]),
        (1, [good[1], _written([("What should we do today?", LOOP)] + [("Go on.", LOOP), ("And then?", LOOP)] * 15)]),
        (2, [good[2], good[3]]),
        (
            3,
            [
                good[4],
                _written(GREETINGS[:2]),
                _written([("Hello.", PLACEHOLDER), ("Are you there?", "Yes, I am here.")]),
            ],
        ),
        (
            4,
            [
                good[5],
                _written([("Tell me about the day.", FLOOD), ("One thing at a time.", FLOOD), ("Slowly.", FLOOD)]),
            ],
        ),
    ]
    # A cut answer, as a session leaves it when the token limit is reached.
    cut = good[3]["conversation"]
    cut += [
        {"speaker": "Teacher", "text": "Tell me a story."},
        {
            "speaker": "SAGE",
            "text": "Once a small fox found a lantern and carried it home, and on the way the fox met a",
        },
    ]
    good[3]["turns"] += 1
    out: list[dict] = []
    for day, batch in days:
        for i, session in enumerate(batch):
            pairs = [
                (a["text"], b["text"])
                for a, b in zip(session["conversation"][::2], session["conversation"][1::2], strict=True)
            ]
            out.append(transcript(len(out) + 1, morning(day, 8 + 4 * i), pairs, session["phase"]))
    return out, everything_said(lessons)


def _written(exchanges: list[tuple[str, str]]) -> dict:
    return transcript(0, morning(0), exchanges, "relating")


def probes(said: Said) -> list[dict]:
    """What the owner asks in the morning, in wordings the seedling never saw."""
    rng = random.Random("sample probes")
    out = []
    for e, a, v in FACTS:
        for text in ask_later(rng, (e, a, v), said, QUESTIONS_EACH, new=True):
            out.append({"question": text, "expect": [v], "kind": "recall"})
    return out


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edge_sleep.seedling.samples", description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=Path, default=SESSIONS, help="folder of the transcripts")
    parser.add_argument("--probes", type=Path, default=PROBES, help="file of the questions")
    a = parser.parse_args(argv)
    transcripts, said = sessions()
    a.sessions.mkdir(parents=True, exist_ok=True)
    for t in transcripts:
        path = a.sessions / f"session_{t['session']:03d}.json"
        path.write_text(json.dumps(t, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [
        "# Questions of the owner about the sample sessions; written by edge_sleep.seedling.samples.",
        "format: 1",
        "probes:",
    ]
    for p in probes(said):
        # JSON strings are YAML strings.
        lines.append(
            f"- {{question: {json.dumps(p['question'])}, expect: [{json.dumps(p['expect'][0])}], kind: {p['kind']}}}"
        )
    a.probes.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(transcripts)} sessions, {len(lines) - 3} questions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
