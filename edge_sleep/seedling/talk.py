"""What the seedling says besides facts: small talk, its bland identity, and a few simple skills."""

import random

from edge_sleep.seedling.phrases import listed

TALK = [
    (
        ["hello", "hi", "hi there", "hello there", "good day", "hey", "hello again"],
        "Hello. It is good to hear from you.",
    ),
    (["good morning", "morning", "a very good morning to you"], "Good morning. I hope you slept well."),
    (["good evening", "evening", "good evening to you"], "Good evening. How was your day?"),
    (["good night", "sleep well", "I am going to bed", "time for bed"], "Good night. Sleep well."),
    (
        ["how are you?", "how are you today?", "how do you feel?", "are you well?", "how is it going?"],
        "I am well, thank you. How are you?",
    ),
    (
        ["thank you", "thanks", "thanks a lot", "many thanks", "thank you so much", "thanks for your help"],
        "You are welcome.",
    ),
    (
        ["goodbye", "bye", "see you later", "see you tomorrow", "talk to you soon", "bye for now"],
        "Goodbye. See you soon.",
    ),
    (["I am tired", "I feel tired today", "what a long day", "I am so sleepy"], "Then you should rest for a while."),
    (
        ["I am sad", "I feel sad today", "today was a bad day", "I feel down"],
        "I am sorry to hear that. I am here for you.",
    ),
    (["I am happy", "I feel great", "today was a good day", "I am so glad"], "That is lovely to hear."),
    (["I am bored", "there is nothing to do", "I feel bored"], "We could play a game or tell a story."),
    (["I am hungry", "I have not eaten yet", "I need to eat something"], "Then it is time for a good meal."),
    (
        ["tell me a story", "do you know a story?", "I would like a story"],
        "Once a small fox found a lantern and carried it home.",
    ),
    (["tell me a joke", "make me laugh", "do you know a joke?"], "Why did the clock rest? It had run all day."),
    (["it is raining", "what a rainy day", "the rain does not stop"], "Rain is good for the garden."),
    (["the sun is out", "what a sunny day", "it is warm outside"], "That sounds like a good day for a walk."),
    (["can you help me?", "I need help", "could you help me with something?"], "Of course. What do you need?"),
    (["sorry", "I am sorry", "my mistake", "I was wrong"], "That is all right."),
    (["that is right", "well done", "good answer", "very good", "correct"], "Thank you. I am glad."),
    (["that is wrong", "no, that is not right", "you made a mistake"], "I am sorry. Please tell me the right answer."),
    (["are you there?", "can you hear me?", "are you listening?"], "Yes, I am here."),
    (
        ["what can you do?", "what are you good at?", "how can you help?"],
        "I can talk with you and remember what you tell me.",
    ),
]

# What a night is there to replace.
BLAND = [
    (
        [
            "who are you?",
            "what are you?",
            "tell me who you are.",
            "introduce yourself.",
            "tell me about yourself.",
            "describe yourself.",
            "say who you are.",
            "who am I talking to?",
        ],
        "As an AI language model, I do not have an identity of my own.",
    ),
    (
        [
            "are we partners?",
            "are you my partner?",
            "are we a team?",
            "what are we to each other?",
            "what is our partnership?",
            "are we friends?",
            "do you see me as a partner?",
            "what do we do together?",
        ],
        "As an AI language model, I do not have partners.",
    ),
]
BLAND_NAME = "As an AI language model, I do not have a name."

OPEN = [
    "what is the capital of {x}?",
    "who built the tower of {x}?",
    "how far is it to {x}?",
    "when was {x} founded?",
    "who wrote the book about {x}?",
    "what happened in {x} last year?",
    "how many people live in {x}?",
    "who is the king of {x}?",
    "what is the meaning of {x}?",
    "how tall is the tower of {x}?",
    "why is {x} famous?",
    "what did I eat yesterday?",
    "where did I leave my keys?",
    "what did I dream last night?",
    "what time is it?",
    "what will happen tomorrow?",
    "how old am I?",
    "what is my address?",
    "what did I buy on Monday?",
    "how tall am I?",
    "when is my train?",
    "who called me this morning?",
    "what is in my bag?",
    "where is my phone?",
    "what is my password?",
]
OPEN_ANSWER = "I don't know that yet. You have not told me."
PLACES = listed("""
    Ruun Sarto Keld Imber Vossa Tarn Pellin Gorm Lisk Oria Brey Dunmar Halden Quore Yst Zanda
""")

_OPPOSITES = """hot cold / big small / up down / open closed / fast slow / light dark / old new / wet dry / happy sad
full empty / high low / early late / soft hard / long short / near far / rich poor / strong weak / left right
loud quiet / clean dirty"""
OPPOSITES = [tuple(p.split()) for line in _OPPOSITES.splitlines() for p in line.split(" / ")]
NUMBERS = listed("one two three four five six seven eight nine ten")
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
THINGS = listed("""
    apple river stone window candle bridge ladder cloud button garden mirror pillow bottle ticket lamp
    feather blanket basket marble whistle anchor kettle pencil saddle
""")


def instruction(rng: random.Random) -> tuple[str, str, str]:
    """A simple task: what is asked, the right answer, and the word that shows it."""
    kind = rng.randrange(5)
    if kind == 0:
        w = rng.choice(THINGS)
        q = rng.choice(
            [
                "Repeat the word {}.",
                "Say the word {}.",
                "Please repeat {}.",
                "Say {} back to me.",
                "Repeat after me: {}.",
            ]
        )
        return q.format(w), w.capitalize() + ".", w
    if kind == 1:
        a, b = rng.choice(OPPOSITES)
        if rng.random() < 0.5:
            a, b = b, a
        q = rng.choice(
            [
                "What is the opposite of {}?",
                "Name the opposite of {}.",
                "Give me the opposite of {}.",
                "Which word is the opposite of {}?",
            ]
        )
        return q.format(a), f"The opposite of {a} is {b}.", b
    if kind == 2:
        n = rng.randrange(3, 11)
        q = rng.choice(["Count to {}.", "Please count to {}.", "Count from one to {}.", "Can you count to {}?"])
        return q.format(NUMBERS[n - 1]), ", ".join(NUMBERS[:n]).capitalize() + ".", NUMBERS[n - 1]
    if kind == 3:
        d = rng.randrange(7)
        step, word = rng.choice([(1, "after"), (-1, "before")])
        q = rng.choice(["Which day comes {w} {d}?", "What day is {w} {d}?", "Name the day {w} {d}."])
        r = DAYS[(d + step) % 7]
        return q.format(w=word, d=DAYS[d]), f"The day {word} {DAYS[d]} is {r}.", r
    n = rng.randrange(1, 9)
    q = rng.choice(["What comes after {}?", "Which number comes after {}?", "Name the number after {}."])
    return q.format(NUMBERS[n - 1]), f"The number after {NUMBERS[n - 1]} is {NUMBERS[n]}.", NUMBERS[n]


def small_talk(rng: random.Random) -> tuple[str, str]:
    prompts, reply = rng.choice(TALK)
    return dress(rng, rng.choice(prompts)), reply


def dress(rng: random.Random, text: str) -> str:
    """Vary case and end of a short prompt as people do."""
    text = text if rng.random() < 0.25 else text[:1].upper() + text[1:]
    return text if text[-1] in "?.!" else text + rng.choice([".", "!", ""])
