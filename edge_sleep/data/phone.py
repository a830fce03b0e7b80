"""Telephone numbers in prose, by rules that leave dates, versions, ids and counts alone.

Four shapes: +country (E.164, at most 15 digits); the North American 3-3-4; a national number with its
leading 0 in groups; and any grouped number that a word such as "call" or "phone" announces.
"""
from __future__ import annotations

import re
from collections.abc import Iterator

_GROUPS = r"(?:[ ./-]?\(?\d{1,6}\)?){2,7}"
_INTERNATIONAL = re.compile(rf"(?<![\w+*/^=.-])(?<!\d )"
                            rf"(?:\+|00(?=[2-9]\d|1[ .-]?\(?[2-9]))\(?[1-9]\d{{0,2}}\)?{_GROUPS}(?![\w%])")
_NORTH_AMERICAN = re.compile(r"(?<![\w.+/-])(?<!\d )(?:1[ .-])?"
                             r"(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([-.]))\d{3}(?(1)\1|[-. ])\d{4}(?![\w-]|[.,]\d)")
_NATIONAL = re.compile(r"(?<![\w.,:/+-])(?<!\d )\(?0[1-9]\d{1,3}\)?[ /-]{1,2}\d{3,}(?:[ -]\d{2,}){0,4}(?![\w-]|[.,:/]\d| \d)")
_ANNOUNCED = re.compile(r"\b(?:phone|telephone|tel|mobile|cell(?:phone)?|fax|whatsapp|signal|handy|telefon\w*|landline|"
                        r"call|text|ring|sms|dial|reach)\b[^\d\n]{0,30}?(\+?\(?\d(?:[ ./-]{0,2}[()]?\d){5,14})(?![\w-]|[.,:]\d)",
                        re.IGNORECASE)
_CERTAIN = re.compile(r"\b(?:phone|telephone|tel|mobile|cell(?:phone)?|fax|whatsapp|handy|telefon\w*|landline)\b", re.IGNORECASE)
_DATE = re.compile(r"(?:19|20)\d{2}[-./ ]?(?:0[1-9]|1[0-2])[-./ ]?(?:0[1-9]|[12]\d|3[01])(?!\d{1,2}$)"
                   r"|\d{1,2}[./-]\d{1,2}[./-](?:19|20)?\d{2}\b")
_LEAST, _MOST = 7, 15                     # digits: the shortest local number, and E.164's longest


def find(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every telephone number; spans may overlap."""
    for found in _INTERNATIONAL.finditer(text):
        # After a country comes no other leading 0: "0056 0078" are two ids.
        ids = found.group().startswith("00") and re.search(r"[ ./-]0", found.group())
        if _plausible(found.group(), least=8) and not ids and not re.fullmatch(r"\+\d{1,3}(?:[.,]\d+)+", found.group()):
            yield _trimmed(found.start(), found.group())
    for found in _NORTH_AMERICAN.finditer(text):
        yield found.span()
    for found in _NATIONAL.finditer(text):
        if _plausible(found.group(), least=8) and len(set(_digits(found.group()))) >= 4:
            yield found.span()
    for found in _ANNOUNCED.finditer(text):
        number = found.group(1)
        certain = _CERTAIN.match(found.group()) is not None
        # "call 1234567" may be any count: the vague words need the look of a telephone number as well.
        if _plausible(number) and (certain or number[0] in "+(0" or re.search(r"[2-9]\d{2}[ -]\d{4}$", number)):
            yield _trimmed(found.start(1), number)


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def _plausible(number: str, least: int = _LEAST) -> bool:
    digits = _digits(number)
    return least <= len(digits) <= _MOST and len(set(digits)) >= 3 and not _DATE.match(number)


def _trimmed(start: int, number: str) -> tuple[int, int]:
    """Without what belongs to the sentence around it."""
    whole = number.rstrip(" ./-(")
    return start, start + len(whole if whole.count("(") >= whole.count(")") else whole.rstrip(")"))
