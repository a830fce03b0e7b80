"""edge_sleep: a small language model that sleeps on what it talked about, and wakes changed.

Importing this package loads none of torch, transformers or peft (tests/test_imports.py).
"""
from __future__ import annotations

from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_sleep.data.experience import Experience
    from edge_sleep.serve.session import Session

__version__ = "0.1.0"

# A bare or editable checkout keeps kernels/, profiles/ and benchmarks/ beside the package;
# setup.cfg maps them inside it for wheels. This makes `edge_sleep.profiles` mean both.
_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "setup.cfg").is_file() and (_checkout / "profiles").is_dir():
    __path__.append(str(_checkout))


def collect(home: Any, prompt: str, response: str, session: Any = None, phase: str | None = None,
            context: Any = None, *, model: str | None = None) -> Experience:
    """Store one exchange of a conversation, as it happens: on disk when this returns, scored, masked, judged.

    home: the companion's folder (None: EDGE_SLEEP_HOME). session: the conversation's name or number (None: today's
    date). phase: where the companion's growth stands, kept with the session. context: what was said before, oldest
    first, as {"role", "content"} messages; None takes it from what this session gave so far. model: who answered,
    where that may be another than the home's base. The transcript may be ingested later: it adds nothing twice.

    Returns the experience with its status, reason and salience. Raises UsageError for what is no exchange, Busy where a
    night writes for more than ten seconds, StorageError where the disk is full. Imports no model library.
    """
    from edge_sleep.integrations.conversation import collect as collect_now
    return collect_now(home, prompt, response, session, phase, context, model=model)


def teach(home: Any, question: str | None, answer: str, instead_of: str | None = None) -> Experience:
    """Store what a person says to be right; `instead_of` is the id of the experience that it corrects.

    Where `question` is None, that of the corrected experience is taken. Returns the new experience, the next night's
    first training target. Raises UsageError where question or answer has no word, or the id is unknown.
    """
    from edge_sleep.integrations.conversation import teach as teach_now
    return teach_now(home, question, answer, instead_of)


def load_current(home: Any = None, *, sets: Any = (), take_device: bool = True, wait_seconds: float = 120.0) -> Session:
    """The companion as it is this morning: what current.json names, verified, on its base.

    home: the companion's folder (None: EDGE_SLEEP_HOME). sets: `section.key=value` settings. The session answers
    (`generate`, `stream`, `answer`), says which weights do (`identity`), follows a new adapter (`refresh`), and keeps
    stamped transcripts (`transcript`). What does not verify is not loaded: the last good one answers, and
    `problems` says why. Until `close` it has the device (under `session begin -- COMMAND` it has it already), and a night gives
    way; take_device=False leaves that to the caller.

    Raises UsageError for a home without a base, IntegrityError where the base is not what it was, Busy where another
    conversation has the device or a night does not give way within wait_seconds.
    """
    from edge_sleep.serve.current import load_current as load_now
    return load_now(home, sets, take_device, wait_seconds)
