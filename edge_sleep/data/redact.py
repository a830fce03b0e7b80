"""Mask what must not be learned or shipped: keys, passwords, addresses, numbers of people and their accounts.

Every detector is a rule with a shape of its own (a known prefix, a check digit, a country code, a cue word
beside it), because a mask in the wrong place costs a lesson: dates, times, versions, counts and session ids
are left alone. A mask names its kind in brackets, `[email]`; a home folder becomes `~`.

Check digits: ISO 7064 mod 97-10 for IBAN (ISO 13616), Luhn (ISO/IEC 7812-1) for cards. Prefixes of keys are
those their issuers publish for secret scanning.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache

from edge_sleep.data import phone

KINDS = ("key", "password", "email", "iban", "card", "phone", "home_path")
_ROUNDS = 20                              # a mask can bare one more finding beside it; a real text needs two rounds

_KEYS = re.compile(r"""(?<![\w-])(?:
    (?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16} | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{22,} | glpat-[\w-]{20,}
  | xox[abeposr]-[\w-]{10,} | (?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{10,} | sk-(?=[\w-]*\d)[\w-]{20,} | AIza[\w-]{35}
  | GOCSPX-[\w-]{20,} | ya29\.[\w-]{20,} | hf_[A-Za-z0-9]{20,} | npm_[A-Za-z0-9]{36} | pypi-[\w-]{40,} | sl\.(?:u\.)?[\w-]{40,}
  | SG\.[\w-]{16,}\.[\w-]{16,} | tskey-[\w-]{16,} | \d{8,10}:AA[\w-]{30,} | eyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?
  | [MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}
)(?![\w-])""", re.VERBOSE)
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?"
                      r"(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)", re.DOTALL)
# Without a prefix of its own a key is known by the word before it, and by being no word itself.
_NAMED_KEY = re.compile(r"""\b(?:api[ _-]?key|access[ _-]?key|secret[ _-]?key|private[ _-]?key|client[ _-]?secret|auth[ _-]?token
    |access[ _-]?token|api[ _-]?token|bearer[ _-]?token|token|secret|bearer|authorization:\ bearer)
    ["'`]?\ {0,2}(?:[:=]|is|was|to)?\ {0,2}["'`]?(?P<value>(?=[\w+/.~-]*\d)(?=[\w+/.~-]*[A-Za-z])[\w+/.~-]{20,}={0,2})""",
                        re.VERBOSE | re.IGNORECASE)
_PASSWORD = re.compile(r"""\b(?:password|passwd|passphrase|passcode|pwd|passwort|kennwort)\b
    (?:\ (?:for|of|on|to)\ (?:the\ |my\ |our\ )?[\w.-]{1,20}(?:\ [\w.-]{1,20})?)?
    ["'`]?(?:\ {0,2}[:=]\ {0,2}|\ (?:is|was|ist|lautet)\ (?:now\ |still\ )?|\ (?=["'`]))["'`“]?
    (?P<value>[^\s"'`“”,;()<>\[\]]{4,64})""",
                       re.VERBOSE | re.IGNORECASE)
_IN_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://(?P<value>[^\s/@:\[\]]{1,64}:[^\s/@\[\]]{1,128})@", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.+%-])[\w+%-](?:[\w.+%-]{0,62}[\w+%-])?@"
                    r"(?:[A-Za-z0-9](?:[\w-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24}(?![\w@-])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\w.,:+-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,:]\d)")
_HOME = re.compile(r"(?<![\w.~-])(?:/home|/Users|[A-Za-z]:\\+Users)[/\\]+[^\s/\\\"'`<>|:;,()\[\]]+")
_NOT_A_PERSON = frozenset({"shared", "public", "linuxbrew"})

_IBAN_LENGTH = dict(pair.split(":") for pair in """AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21
    CR:22 CY:28 CZ:24 DE:22 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28
    IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 MD:24 ME:22 MK:19 MR:27
    MT:31 MU:30 NL:18 NO:15 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 SC:31 SE:24 SI:19 SK:24 SM:27 ST:25 SV:28 TL:23
    TN:24 TR:26 UA:29 VA:22 VG:24 XK:20""".split())

Span = tuple[int, int]
Detector = Callable[[str], Iterator[Span]]


def _keys(text: str) -> Iterator[Span]:
    if "PRIVATE KEY" in text:
        yield from (found.span() for found in _PRIVATE.finditer(text))
    if _long_run(text):
        yield from (found.span() for found in _KEYS.finditer(text))
        yield from (found.span("value") for found in _NAMED_KEY.finditer(text) if _scrambled(found["value"]))


def _long_run(text: str) -> bool:
    """Sixteen characters without a space and a digit among them: no key is shorter, and prose hardly has one."""
    return any(len(word) >= 16 and _DIGIT.search(word) for word in text.split())


_DIGIT = re.compile(r"\d")


def _scrambled(value: str) -> bool:
    """Whether letters and digits alternate as in a random string; `session_20260213_report` has them in runs."""
    changes = len(re.findall(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])|[a-z](?=[A-Z])", value))
    return changes >= 4


def _passwords(text: str) -> Iterator[Span]:
    lower = text.lower()
    if "pass" in lower or "pwd" in lower or "kennwort" in lower:
        for found in _PASSWORD.finditer(text):
            start, end = found.span("value")
            value = found["value"].rstrip(".!?…:")
            if _chosen(value, assigned=text[found.start():start].rstrip(" \"'`“").endswith((":", "="))):
                yield start, start + len(value)
    if "://" in text:
        yield from (found.span("value") for found in _IN_URL.finditer(text))


def _chosen(value: str, assigned: bool) -> bool:
    """Whether a word after "password is" is one: it mixes characters; after a colon or = one digit is enough."""
    mixed = bool(re.search(r"[A-Za-z]", value)) + bool(re.search(r"\d", value)) + bool(re.search(r"[^\w'’.-]", value))
    return len(value) >= 4 and (mixed >= 2 or (assigned and bool(re.search(r"\d", value))))


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        # git@host is how every repository is addressed, not a person.
        yield from (found.span() for found in _EMAIL.finditer(text) if not found.group().startswith("git@"))


def _ibans(text: str) -> Iterator[Span]:
    for found in _IBAN.finditer(text):
        # What follows the number may look like more of it: the country says how long it is.
        wanted = int(_IBAN_LENGTH.get(found.group()[:2], 0))
        end, seen = found.start(), 0
        while end < found.end() and seen < wanted:
            seen += text[end].isalnum()
            end += 1
        plain = re.sub(r"[ -]", "", text[found.start():end])
        if wanted and len(plain) == wanted and not text[end:end + 1].isalnum() and _mod97(plain):
            yield found.start(), end


def _mod97(iban: str) -> bool:
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


_CARD_PREFIX = re.compile(r"4\d{15}(?:\d{3})?$|5[1-5]\d{14}$|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}$|3[47]\d{13}$"
                          r"|3(?:0[0-5]|[68]\d)\d{11}$|6(?:011|5\d\d|4[4-9]\d)\d{12}$|35(?:2[89]|[3-8]\d)\d{12}$")


def _cards(text: str) -> Iterator[Span]:
    for found in _CARD.finditer(text):
        plain = re.sub(r"[ -]", "", found.group())
        if _CARD_PREFIX.match(plain) and len(set(plain)) > 1 and _luhn(plain):
            yield found.span()


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _home_paths(text: str) -> Iterator[Span]:
    if "/home" in text or "Users" in text:
        for found in _HOME.finditer(text):
            owner = re.split(r"[/\\]", found.group())[-1].rstrip(".!?")
            if owner and owner.casefold() not in _NOT_A_PERSON:
                yield found.start(), found.end() - (len(found.group()) - len(found.group().rstrip(".!?")))


# In this order: a password may hold an @, and a card number reads as a telephone number.
_DETECTORS: dict[str, Detector] = {"key": _keys, "password": _passwords, "email": _emails, "iban": _ibans, "card": _cards,
                                   "phone": phone.find, "home_path": _home_paths}
_MASKS = {kind: f"[{kind}]" for kind in KINDS} | {"home_path": "~"}


_NUMBERS = ("iban", "card", "phone")
_SEVEN_DIGITS = re.compile(r"\d(?:[ ()./-]{0,3}\d){6}")
# Every finding holds one of these: most of what people say is through after one look.
_HINT = re.compile(r"[\d@/\\]")
_HINT_WORDS = ("pass", "pwd", "kennwort", "private key")


def redact(text: str, kinds: Collection[str] = KINDS) -> tuple[str, Counter[str]]:
    """(text with every finding masked, number of findings by kind).

    Masking twice is masking once, and a text without a finding is returned as it is. Kinds that are not
    in `kinds` are left alone; see KINDS for their names.
    """
    masked, found = _redact(text, _ordered(tuple(kinds)))
    return masked, Counter(dict(found))


def without(text: str, kinds: Collection[str] = KINDS) -> str:
    """The text with every finding masked, uncounted."""
    return _redact(text, _ordered(tuple(kinds)))[0]


@lru_cache(maxsize=16)
def _ordered(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if kind in kinds)


@lru_cache(maxsize=512)
def _redact(text: str, kinds: tuple[str, ...]) -> tuple[str, tuple[tuple[str, int], ...]]:
    # What is said comes back as context and as what followed: each text is searched once.
    if not _hinted(text):
        return text, ()
    total: Counter[str] = Counter()
    # No account and no telephone has fewer than seven digits with little between them.
    if not _SEVEN_DIGITS.search(text):
        kinds = tuple(kind for kind in kinds if kind not in _NUMBERS)
    for _ in range(_ROUNDS):
        before = total.total()
        for kind in kinds:
            text = _masked(text, kind, total)
        if total.total() == before:
            break
    return text, tuple(sorted(total.items()))


def _hinted(text: str) -> bool:
    return bool(_HINT.search(text)) or any(map(text.lower().__contains__, _HINT_WORDS))


def _masked(text: str, kind: str, total: Counter[str]) -> str:
    parts, last = [], 0
    for start, end in sorted(_DETECTORS[kind](text)):
        if start >= last:
            parts += [text[last:start], _MASKS[kind]]
            last = end
            total[kind] += 1
    return "".join([*parts, text[last:]]) if parts else text
