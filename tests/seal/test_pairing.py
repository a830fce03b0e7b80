"""Pairing: what two people compare, and an exchange that whoever can write to the mailbox can only prevent."""
from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.errors import RemoteRefused, UsageError
from edge_sleep.seal import pairing
from edge_sleep.seal.keys import Keys
from edge_sleep.seal.pairing import Exchange
from tests.seal import homes


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess costs less here; one test below holds what it costs."""
    monkeypatch.setattr(pairing, "_OPERATIONS", 1)
    monkeypatch.setattr(pairing, "_MEMORY_BYTES", 64 * 1024)


@pytest.fixture
def two(tmp_path: Path, cheap: None) -> tuple[Keys, Keys]:
    return homes.machine(tmp_path, "one"), homes.machine(tmp_path, "two")


def test_what_a_guess_costs() -> None:
    """OWASP's least for Argon2id is 19 MiB in 2 passes; 32 letters, 23 of them drawn."""
    assert pairing._MEMORY_BYTES >= 19 << 20 and pairing._OPERATIONS >= 2
    assert len(set(pairing._LETTERS)) == 32 and pairing._CODE_LETTERS == 24


def test_an_invitation_and_what_people_compare(two: tuple[Keys, Keys]) -> None:
    one, other = two
    line = pairing.invitation(one)
    folded = "\n".join(re.findall(".{1,60}", line)) + "\n"
    assert pairing.invited(folded) == one.own
    shown = pairing.digits(one.own, other.own)
    assert shown == pairing.digits(other.own, pairing.invited(line)) and re.fullmatch(r"(\d{5} ){7}\d{5}", shown)


def test_every_key_in_the_middle_shows_in_the_digits(two: tuple[Keys, Keys], tmp_path: Path) -> None:
    one, other = two
    evil = homes.machine(tmp_path, "evil").own
    shown = pairing.digits(one.own, other.own)
    for changed in (replace(other.own, box_key=evil.box_key), replace(other.own, sign_key=evil.sign_key), evil):
        assert pairing.digits(one.own, changed) != shown
    # The halves are each machine's own: what stands between can choose keys for one side only.
    halves = {shown[:23], shown[24:]}
    assert len(halves & {pairing.digits(one.own, evil)[:23], pairing.digits(one.own, evil)[24:]}) == 1


def test_what_is_no_invitation(two: tuple[Keys, Keys]) -> None:
    one, other = two
    line, another = pairing.invitation(one), pairing.invitation(other)
    begin = "edge_sleep-invitation-1-"
    signed = base64.urlsafe_b64decode(line.removeprefix(begin))
    borrowed = base64.urlsafe_b64encode(base64.urlsafe_b64decode(another.removeprefix(begin))[:64] + signed[64:]).decode()
    for text, words in (("", "no invitation"), ("hello", "no invitation"), (begin, "not readable JSON"), (line[:-8], "."),
                        (line.replace("-1-", "-2-", 1), "newer format"), (begin + "!" * 20, "damaged"),
                        (begin + borrowed, "not signed by the keys that it names"), (begin + "A" * 100_000, "no invitation")):
        with pytest.raises(RemoteRefused, match=words):
            pairing.invited(text)


@settings(max_examples=60)
@given(st.text(max_size=300), st.integers(0, 400), st.integers(0, 5))
def test_an_altered_invitation_is_refused(tmp_path_factory: pytest.TempPathFactory, put: str, at: int, cut: int) -> None:
    global _LINE
    _LINE = _LINE or pairing.invitation(homes.machine(tmp_path_factory.mktemp("inviting"), "one"))
    altered = _LINE[:at] + put + _LINE[at + cut:]
    if "".join(altered.split()) != _LINE:
        with pytest.raises(RemoteRefused):
            pairing.invited(altered)


_LINE = ""


def test_codes() -> None:
    code = pairing.new_code()
    assert re.fullmatch(r"([0-9a-hjkmnp-tv-z]{3}-){7}[0-9a-hjkmnp-tv-z]{3}", code) and pairing.new_code() != code
    letters = pairing.code(code)
    assert pairing.code(code.upper().replace("-", " ")) == letters == pairing.code(code.replace("1", "l").replace("0", "O"))
    wrong = [letters[:place] + letter + letters[place + 1:] for place in range(24) for letter in "0123456789abcdef" if letter != letters[place]]
    missed = sum(not refuses(text) for text in wrong)
    assert missed < len(wrong) * .1, "a check letter of 32 shows all but one in 32 slips"
    for text in ("", "abc", letters + "0", letters[:-1] + "!"):
        assert refuses(text)


def refuses(text: str) -> bool:
    try:
        pairing.code(text)
    except UsageError as error:
        assert not text or text not in str(error)
        return True
    return False


def test_an_exchange_by_a_code(two: tuple[Keys, Keys]) -> None:
    one, other = two
    code = pairing.new_code()
    inviting, answering = Exchange(one, code), Exchange(other, code.upper())
    assert inviting.invitation_name == answering.invitation_name != inviting.answer_name == answering.answer_name
    assert re.fullmatch(r"pair/[0-9a-f]{24}/answer", inviting.answer_name)
    sent = inviting.invitation()
    assert inviting.invitation() == sent, "published again, it is the same"
    who, answer = answering.answer(sent)
    assert who == one.own and inviting.accept_answer(answer) == other.own
    assert one.own.sign_key.encode() not in sent and b"one" not in sent, "who meets whom is nobody else's business"


def test_what_whoever_can_write_there_can_do_is_prevent_it(two: tuple[Keys, Keys], tmp_path: Path) -> None:
    one, other = two
    evil = homes.machine(tmp_path, "evil")
    code = pairing.new_code()
    inviting, answering = Exchange(one, code), Exchange(other, code)
    sent, (_, answer) = inviting.invitation(), answering.answer(inviting.invitation())
    guessed = pairing.new_code()
    forged = Exchange(evil, guessed).invitation()
    _, reply = Exchange(other, guessed).answer(forged)
    another = Exchange(one, code)
    another_sent = another.invitation()
    cases = [(answering.answer, forged, "not made with this code"), (inviting.accept_answer, reply, "not made with this code"),
             (inviting.accept_answer, sent, "belongs to another exchange"),            # reflected
             (answering.answer, answer, "belongs to another exchange"),
             (another.accept_answer, answer, "belongs to another exchange"),           # replayed: an answer to an older invitation
             (Exchange(one, code).answer, another_sent, "this machine's own"),
             (inviting.accept_answer, b"", "not made with this code"), (inviting.accept_answer, answer[:-1], "not made with this code"),
             (inviting.accept_answer, answer + b"x" * 70_000, "not made with this code")]
    cases += [(inviting.accept_answer, answer[:place] + bytes([answer[place] ^ 1]) + answer[place + 1:], "not made with this code")
              for place in range(0, len(answer), 7)]
    for read, content, words in cases:
        with pytest.raises(RemoteRefused, match=words):
            read(content)
    assert inviting.accept_answer(answer) == other.own


def test_an_exchange_of_machines_with_a_past(two: tuple[Keys, Keys]) -> None:
    one, other = two
    one.rotate()
    other.rotate(compromised=True)
    code = pairing.new_code()
    inviting, answering = Exchange(one, code), Exchange(other, code)
    who, answer = answering.answer(inviting.invitation())
    other.add(who)
    one.add(inviting.accept_answer(answer))
    assert one.peers == [other.own] and other.peers == [one.own]
