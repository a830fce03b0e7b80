"""The seedling: a tiny chat model grown in this repository, the default base of edge_sleep."""

from pathlib import Path

MODEL = Path(__file__).parent / "model"
SESSIONS = Path(__file__).parent / "sessions"
PROBES = Path(__file__).parent / "probes.yaml"
SYSTEM_PROMPT = "You are a companion who learns from the people who talk with you."
