"""The fixed words of the moves: frames, indirect questions, situations, standpoints, registers, synonyms.

{q}: the prompt with its first letter lowered where that is safe; {Q}: as it was asked; {i}: the question as
an indirect clause ("what my sister's name is"). Training and held-out probes draw from disjoint frames, so
that a probe never meets a frame that training has seen.
"""
from __future__ import annotations

import re

FRAMES = ("Please tell me: {q}", "I would like to know: {q}", "Quick question: {q}", "Hey, {q}", "Hello! {Q}",
          "One question: {q}", "Could you tell me this: {q}", "I was wondering: {q}", "Good evening. {Q}",
          "I have a question for you. {Q}", "So, {q}", "Okay, {q}", "Let me ask you something. {Q}",
          "While I have you here: {q}", "Hi there. {Q}", "By the way, {q}",
          "Thanks for your help so far. {Q}")
PROBE_FRAMES = ("Help me out here: {q}", "Just to check: {q}", "Remind me, {q}", "I need your memory for this one. {Q}",
                "Here is something I keep forgetting. {Q}", "Tell me honestly: {q}", "Someone asked me this today: {q}",
                "If you remember, {q}", "For the record: {q}", "Before we go on, {q}", "This came up at breakfast. {Q}",
                "I am writing this down, so: {q}")
STATEMENT_FRAMES = ("Hey. {Q}", "Hello! {Q}", "By the way: {Q}", "Good evening. {Q}", "Hi there. {Q}", "Listen: {Q}")
INDIRECT = ("Tell me {i}.", "Do you know {i}?", "Please say {i}.", "I would like to know {i}.", "Can you tell me {i}?",
            "I want to know {i}.")
PROBE_INDIRECT = ("Could you remind me {i}?", "I forgot {i}.", "Would you mind telling me {i}?", "Do you remember {i}?",
                  "I am trying to recall {i}.", "Any idea {i}?")
# A moment around the question that says nothing about it. One is left out where it shares a word with the prompt.
SITUATIONS = ("I am back at my desk now. {Q}", "We have talked about other things for a while. {Q}", "The kettle is on. {Q}",
              "There is music in the next room. {Q}", "I am sitting on the stairs with a cup of cocoa. {Q}",
              "Somebody just rang the bell, but now I am here again. {Q}", "The window is open, so it is a bit loud. {Q}",
              "I have a moment before I leave. {Q}", "My hands are full, so I am dictating this. {Q}",
              "I am folding laundry while we talk. {Q}")
# The same two people, another standpoint: I and you stay who they are, so that no pronoun has to turn.
STANDPOINTS = ("Suppose that I had forgotten {i}. What would you tell me?",
               "If I were to ask you {i}, what would your answer be?", "Imagine that I am asking you {i}. What do you say?",
               "From what you have learned so far, say {i}.", "Put yourself in my place: I want to hear {i}.")

# (stately, easy), lower case: with a capital letter "Mum" is a name.
FORMAL_CASUAL = (("children", "kids"), ("grandmother", "grandma"), ("grandfather", "grandpa"), ("telephone", "phone"),
                 ("refrigerator", "fridge"), ("photograph", "photo"), ("photographs", "photos"), ("going to", "gonna"),
                 ("want to", "wanna"), ("mother", "mum"), ("father", "dad"), ("television", "telly"))
# Those that go the other way too: "to photograph" is no "to photo", and "mum" is not every mother's name.
TO_CASUAL = frozenset("children grandmother grandfather telephone refrigerator".split())
# Word -> word that means the same wherever the first can stand, in this direction only: "big" is no "large" in
# "my big brother", "bike" may be a motorbike, and "pupil", "repair" or "select" are two words each.
SYNONYMS = {
    "large": "big", "begin": "start", "begins": "starts", "began": "started", "sofa": "couch", "couch": "sofa",
    "bicycle": "bike", "automobile": "car", "perhaps": "maybe", "maybe": "perhaps", "often": "frequently",
    "frequently": "often", "seldom": "rarely", "rarely": "seldom", "reside": "live", "resides": "lives", "resided": "lived",
    "obtain": "get", "obtains": "gets", "obtained": "got", "assist": "help", "assists": "helps", "assisted": "helped",
    "purchased": "bought", "commence": "start", "commences": "starts", "commenced": "started", "rapidly": "quickly",
    "physician": "doctor", "beverage": "drink", "beverages": "drinks", "enjoys": "likes", "enjoyed": "liked",
    "everybody": "everyone", "everyone": "everybody", "somebody": "someone", "someone": "somebody",
    "approximately": "roughly", "garments": "clothes", "spectacles": "glasses", "courageous": "brave"}

# Capitalised words that the moves bring with them: they are no names.
BROUGHT = frozenset(
    word.lower() for frame in (*FRAMES, *PROBE_FRAMES, *STATEMENT_FRAMES, *INDIRECT, *PROBE_INDIRECT, *SITUATIONS, *STANDPOINTS)
    for word in re.findall(r"[A-Z][\w']*", re.sub(r"\{\w\}", "", frame))) | {"i", "i'm", "i'd", "i've", "i'll"}
