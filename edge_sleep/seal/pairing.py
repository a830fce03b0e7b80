"""How two machines come to trust each other's keys, though whoever can write to the place between them may be anybody.

**By comparing.** `invitation` is a text with a machine's public keys, signed by them (nobody can claim keys that are not his).
It may travel by any way, also through hands that alter it: what counts is that people compare `digits` on both screens. They
are two times four groups of five, one half for each machine's keys; so somebody in the middle must find, for each side, keys
of his own whose half is that of the true machine: a second preimage among 10^20 (66 bits), each try an Argon2id over 32 MiB.
One string for both machines would be half as strong for its length, since he could choose keys on both sides until any two
agree (a birthday search). This is the safety number of Signal with a memory-hard hash (RFC 9106) in the place of an iterated
one.

**By a code.** `Exchange`: machine A shows a code, a person types it on B, and each sends its public keys through the mailbox
in a secretbox (XSalsa20-Poly1305, an AEAD) under a key of that code. The code has 115 random bits and a check letter; no
shorter one is offered, for whoever reads the mailbox can try codes at leisure (what a PAKE such as SPAKE2, RFC 9382, would
prevent for short codes; libsodium's bindings have none, and one of our own would be no gain over twelve more letters). Who
does not know the code can make no box that opens (integrity of the AEAD under a uniform key); boxes of another exchange are
under another key; A's and B's differ by the role inside and by their names, so none is reflected; B's holds the hash of A's as
B read it, so both saw the same two descriptions. Who can write can therefore only prevent a pairing. This is authentication of
static public keys by a pre-shared key, as in MANA III (Gehrmann, Mitchell, Nyberg 2004) with a code so long that its rounds of
commitment are not needed. A code is for one exchange: its names on the remote are published without replace, so a second
answer is refused where it is sent.
"""
from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field

from edge_sleep.errors import RemoteRefused, UsageError
from edge_sleep.seal.keys import Keys
from edge_sleep.seal.machine import Machine, machine, sodium, verified
from edge_sleep.system import foreign
from edge_sleep.system.files import canonical_json

FORMAT = 1
LIMIT_BYTES = 64 * 1024                   # of an invitation, and of a document on the remote
_BEGIN = "edge_sleep-invitation-"
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"            # Crockford's: no i, l, o, u
_CODE_LETTERS, _GROUP = 24, 3
_OPERATIONS, _MEMORY_BYTES = 3, 32 << 20                 # of Argon2id


def invitation(keys: Keys) -> str:
    """One line for another machine: this one's public keys and name, signed."""
    body = canonical_json(keys.own.as_json())
    signed = keys.sign(_said(body)) + body
    return f"{_BEGIN}{FORMAT}-{base64.urlsafe_b64encode(signed).decode()}"


def invited(text: str) -> Machine:
    """The machine an invitation speaks of; not to be trusted before the `digits` were compared. Raises RemoteRefused."""
    line = "".join(text.split())          # mail folds lines
    version, dash, payload = line.removeprefix(_BEGIN).partition("-")
    if len(line) > LIMIT_BYTES or not line.startswith(_BEGIN) or not dash or not (version.isascii() and version.isdigit()):
        raise RemoteRefused("this is no invitation of edge_sleep", "copy the whole line that `edge-sleep thor pair` printed")
    if version != str(FORMAT):
        raise RemoteRefused(f"the invitation is of a newer format ({version[:9]})", "install a newer edge_sleep")
    try:
        signed = base64.b64decode(payload, altchars=b"-_", validate=True)
    except ValueError:
        raise RemoteRefused("the invitation is damaged: not base64", "copy the whole line again") from None
    found = machine(foreign.document(signed[64:], "the invitation", limit_bytes=LIMIT_BYTES), "the invitation")
    if not verified(found.sign_key, _said(signed[64:]), signed[:64]):
        raise RemoteRefused("the invitation is not signed by the keys that it names", "make a new one: `edge-sleep thor pair`")
    return found


def digits(one: Machine, other: Machine) -> str:
    """What both people compare: eight groups of five digits, the same on both machines."""
    halves = []
    for of in sorted((one, other), key=lambda each: each.id):
        hashed = _slow(canonical_json([of.id, of.sign_key, of.box_key]), b"edge_sleep words")
        number = int.from_bytes(hashed, "big") % 10**20
        halves.append(f"{number:020}")
    together = "".join(halves)
    return " ".join(together[at:at + 5] for at in range(0, 40, 5))


def new_code() -> str:
    """A code for one exchange: eight groups of three letters."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LETTERS - 1))
    whole = letters + _check_letter(letters)
    return "-".join(whole[at:at + _GROUP] for at in range(0, _CODE_LETTERS, _GROUP))


def code(typed: str) -> str:
    """The letters of a code as somebody typed it. Raises UsageError where it cannot be one."""
    letters = "".join(letter for letter in typed.lower() if letter not in "- \t\n").translate(str.maketrans("ilo", "110"))
    if len(letters) != _CODE_LETTERS or not set(letters) <= set(_LETTERS) or _check_letter(letters[:-1]) != letters[-1]:
        raise UsageError("this is no code, or a letter of it is wrong", "type the eight groups of three as the other shows them")
    return letters


@dataclass
class Exchange:
    """One pairing through a remote, seen from one of its two sides.

    A: publish(invitation_name, invitation()), wait for answer_name, `accept_answer`, `keys.add`. B: read invitation_name,
    `answer`, publish(answer_name, that), and only once it is published `keys.add`. Both publish without replace.
    """

    keys: Keys
    typed: str = field(repr=False)
    _key: bytes = field(init=False, repr=False)
    _sent: bytes = field(init=False, repr=False, default=b"")

    def __post_init__(self) -> None:
        secret = _slow(code(self.typed).encode(), b"edge_sleep codes")
        self.typed = ""
        self._key = hashlib.blake2b(key=secret, person=b"edge_sleep box").digest()[:32]
        self._name = hashlib.blake2b(key=secret, person=b"edge_sleep name").hexdigest()[:24]

    @property
    def invitation_name(self) -> str:
        return f"pair/{self._name}/invitation"

    @property
    def answer_name(self) -> str:
        return f"pair/{self._name}/answer"

    def invitation(self) -> bytes:
        """The same bytes at every call: a repeated publish must not leave two."""
        self._sent = self._sent or self._boxed("invitation", b"")
        return self._sent

    def answer(self, received: bytes) -> tuple[Machine, bytes]:
        """(who invites, what to publish for it). Raises RemoteRefused where that was not made with this code."""
        return self._unboxed(received, "invitation", b""), self._boxed("answer", received)

    def accept_answer(self, received: bytes) -> Machine:
        """Who answered. Raises RemoteRefused where that was not made with this code, or for another invitation."""
        return self._unboxed(received, "answer", self.invitation())

    def _boxed(self, role: str, to: bytes) -> bytes:
        nacl = sodium()
        nonce = nacl.randombytes(nacl.crypto_secretbox_NONCEBYTES)
        body = canonical_json({"format": FORMAT, "role": role, "to": hashlib.sha256(to).hexdigest(),
                               "machine": self.keys.own.as_json()})
        return nonce + nacl.crypto_secretbox(body, nonce, self._key)

    def _unboxed(self, received: bytes, role: str, to: bytes) -> Machine:
        nacl, size, what = sodium(), 24, f"the {role} on the remote"
        refused = RemoteRefused(f"{what} was not made with this code", "somebody else wrote there, or the code is another: begin "
                                "anew with `edge-sleep thor pair`, which makes a new code")
        if not size < len(received) <= LIMIT_BYTES:
            raise refused
        try:
            body = nacl.crypto_secretbox_open(received[size:], received[:size], self._key)
        except Exception as error:
            if type(error).__module__.startswith("nacl"):
                raise refused from None
            raise
        entry = foreign.document(body, what, limit_bytes=LIMIT_BYTES)
        if not isinstance(entry, dict) or set(entry) != {"format", "role", "to", "machine"} or type(entry["format"]) is not int:
            raise refused
        if entry["format"] > FORMAT:
            raise RemoteRefused(f"{what} is of a newer format ({entry['format']})", "install a newer edge_sleep")
        if entry["role"] != role or entry["to"] != hashlib.sha256(to).hexdigest():
            raise RemoteRefused(f"{what} belongs to another exchange", "begin anew with `edge-sleep thor pair`")
        found = machine(entry["machine"], what)
        if found.id == self.keys.own.id:
            raise RemoteRefused(f"{what} is this machine's own", "type the code on the other machine")
        return found


def _said(body: bytes) -> bytes:
    return b"edge_sleep invitation %d\0" % FORMAT + body


def _check_letter(letters: str) -> str:
    return _LETTERS[int.from_bytes(hashlib.sha256(letters.encode()).digest()[:2], "big") % 32]


def _slow(secret: bytes, salt: bytes) -> bytes:
    """32 bytes by Argon2id: each guess costs 32 MiB and a good part of a second. salt: 16 bytes that say what it is for."""
    nacl = sodium()
    return nacl.crypto_pwhash_alg(32, secret, salt, _OPERATIONS, _MEMORY_BYTES, nacl.crypto_pwhash_ALG_ARGON2ID13)
