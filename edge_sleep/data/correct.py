"""A correction in the middle of a conversation: what was said is stored first, then what is right takes its place."""
from __future__ import annotations

from pathlib import Path

from edge_sleep.config import Config
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Exchange, Experience
from edge_sleep.data.ingest import ingest
from edge_sleep.data.masking import masked_exchange
from edge_sleep.data.origin import ModelName
from edge_sleep.data.shapes import text_of
from edge_sleep.data.teach import teach


def correct(buffer: Buffer, config: Config, transcript: Path, prompt: str, response: str, right: str, *, at: str,
            own: ModelName | None = None) -> Experience:
    """Teach `right` instead of `response`, which the transcript has as the answer to `prompt`.

    The transcript is read into the buffer, so that the answer is there to be quarantined, under the stamp of who gave it.
    Returns the new experience. Raises UsageError where `right` has no word, or is what was said.
    """
    ingest([transcript], buffer, companion=config.companion, quality=config.quality, salience=config.salience,
           data=config.data, own=own)
    asked, said = text_of(prompt) or "", text_of(response) or ""
    wrong = masked_exchange(Exchange(asked, said), config.data.redact)[0].id
    known = wrong in buffer.known([wrong])
    return teach(buffer, config, None if known else asked, right, instead_of=wrong if known else None, at=at)[0]
