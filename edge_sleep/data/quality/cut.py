"""Answers that a token limit cut: found, and trimmed to their last whole sentence."""
from __future__ import annotations

import re

from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality.finding import Finding, QuarantineReason, quote
from edge_sleep.data.words import words

_WHOLE = re.compile(r"[.!?…。！？:;][\"'”’)\]*_`]*\s*$|[\"”)\]`|}>*_]\s*$|[^\w\s,\-–—(\[{/&+=]\s*$")
_TAIL = 16                                # characters that tell whether an answer is whole
_END = re.compile(r"[.!?…。！？][\"'”’)\]*_]*(?=\s|$)|[。！？]")
_LIST_NUMBER = re.compile(r"(?:^|\s)\(?\w{1,2}[.)]$")
_LIST_LINES = 4
_CUT_FROM = 20                            # words; a shorter answer without a full stop is terse, not cut


# How a transcript says that an answer did not end by itself (OpenAI's word for a token limit, and the server's own).
_TOLD = {"length", "stop_sequence", "time"}


def told_cut(exchange: Exchange) -> bool:
    """Whether the transcript itself says that the answer was cut."""
    return exchange.labels.get("finish_reason") in _TOLD


def is_cut(response: str) -> bool:
    """Whether a long answer stops inside a sentence (a token limit did it)."""
    return not _WHOLE.search(response.rstrip()[-_TAIL:]) and len(words(response)) >= _CUT_FROM


def trim(response: str, told: bool = False) -> tuple[str, bool]:
    """(text, trimmed): a cut answer ends at its last whole sentence or list line; empty when there is none.

    told: it is known to be cut, however it looks.
    """
    if not (told or is_cut(response)):
        return response, False
    for found in reversed(list(_END.finditer(response))):
        whole = response[:found.end()].rstrip()
        # "3." at the end of a cut list is a number, not a sentence.
        if not _LIST_NUMBER.search(whole):
            return whole, True
    lines = response.rstrip().splitlines()
    # A list without full stops: its last line is the cut one.
    if len(lines) >= _LIST_LINES:
        return "\n".join(lines[:-1]).rstrip(), True
    return "", True


def truncated(exchange: Exchange) -> Finding | None:
    told = told_cut(exchange)
    if (told or is_cut(exchange.response)) and not trim(exchange.response, told)[0]:
        return Finding(QuarantineReason.TRUNCATED, f"cut with no whole sentence: {quote(exchange.response)}")
    return None
