import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.data import redact as redact_module
from edge_sleep.data.redact import KINDS, redact

# Made up, and put together here, so that no scanner takes this file for a leak.
KEY = "sk-" + "proj-4Jx9Qm2vT7bLw0ZkR8sNcY3hPd6FgU1e"
GITHUB = "ghp" + "_a8Kd03Lmz91QpXv7Rt5Wc2Yb6Nf4Hs0JgE"
AWS = "AKIA" + "Q3EXAMPLE7KZ4MTD"
PEM = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nabc\n-----END OPENSSH " + "PRIVATE KEY-----"

FOUND = [
    (f"My key is {KEY}.", "My key is [key].", "key"),
    (f"export TOKEN={GITHUB}", "export TOKEN=[key]", "key"),
    (f"id {AWS} ok", "id [key] ok", "key"),
    (f"here:\n{PEM}\ndone", "here:\n[key]\ndone", "key"),
    ("xoxb-" + "1234567890-abcdefGHIJ", "[key]", "key"),
    ("hf_" + "QwErTy1234567890asDfGhJk", "[key]", "key"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN", "[key]", "key"),
    ("the api key is 9f8e7d6c5b4a39281706abcd", "the api key is [key]", "key"),
    ("Authorization: Bearer a1B2c3D4e5F6g7H8i9J0k1", "Authorization: Bearer [key]", "key"),
    ("My password is hunter2.", "My password is [password].", "password"),
    ("password: correct-horse-9", "password: [password]", "password"),
    ("the password for the router is 'Tr0ub4dor&3'", "the password for the router is '[password]'", "password"),
    ("postgres://ida:s3cret@db.example.org/x", "postgres://[password]@db.example.org/x", "password"),
    ("Write to lena.k+news@example.co.uk, please.", "Write to [email], please.", "email"),
    ("<ida@example.org>", "<[email]>", "email"),
    ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [iban] please", "iban"),
    ("GB82WEST12345698765432.", "[iban].", "iban"),
    ("My card is 4111 1111 1111 1111, until 12/27", "My card is [card], until 12/27", "card"),
    ("5500-0055-5555-5559", "[card]", "card"),
    ("378282246310005", "[card]", "card"),
    ("Call me at +43 664 1234567 tonight", "Call me at [phone] tonight", "phone"),
    ("+1 (555) 123-4567", "[phone]", "phone"),
    ("+4366412345678", "[phone]", "phone"),
    ("0043 664 123 45 67", "[phone]", "phone"),
    ("It's 555-123-4567.", "It's [phone].", "phone"),
    ("(555) 123-4567", "[phone]", "phone"),
    ("Her number: 0664 1234567", "Her number: [phone]", "phone"),
    ("Ring 020 7946 0958.", "Ring [phone].", "phone"),
    ("0664/123 45 67", "[phone]", "phone"),
    ("My phone number is 555 1234 now", "My phone number is [phone] now", "phone"),
    ("phone 6641234567", "phone [phone]", "phone"),
    ("I keep it in /home/lena/notes/tea.txt.", "I keep it in ~/notes/tea.txt.", "home_path"),
    ("open /Users/ida/x", "open ~/x", "home_path"),
    (r"see C:\Users\Ida\Desktop", r"see ~\Desktop", "home_path"),
    ("It lies in /home/lena.", "It lies in ~.", "home_path"),
]


@pytest.mark.parametrize(("text", "masked", "kind"), FOUND)
def test_each_kind_is_masked_and_counted(text, masked, kind):
    assert redact(text) == (masked, {kind: 1})
    assert redact(text, [name for name in KINDS if name != kind])[1].get(kind) is None


LEFT = """
We met on 2026-01-17 at 20:15, and again on 17.01.2026.
Session 041 ran from 1768680905 to 1768681505.123, that is 600 s.
Version 1.2.3, then 10.11.12-rc1 and 2026.11.23.4; Python 3.10.12 on 5.15.148-tegra.
The address 192.168.178.21:8080 answers; so does 10.0.0.138.
It costs 1,234,567.89 euros, or 12 345 678 in the old money.
Call the function at 20260213 with 1024 2048 4096.
I called 1000000 times. The count is 00012345. Phone me in 2026.
The id is 1f0c3a5b7d9e2468, the hash e3b0c44298fc1c149afbf4c8996fb924.
pi is 3.14159265358979, and 2+2=4, and +5000000 points, +1.5e10.
Grid: 0 0 1 2 3 4 5 6 7 8 9; row 001 002 003 004; 0110 1001 0110.
ISBN 978-3-16-148410-0, order 4111-22, page 100-200, 2025-2026.
My password is important to me. The password is the same as before. A password: something you know.
The token is a small piece of a word; my secret is that I like rain. The secret key to happiness is 42.
Ask @lena or mail the team; x@1.2.3 is a package, foo@bar is not. git@github.com:dp/repo.git
The home page is at https://example.org/home/index.html, and /home is a folder.
Trial session_20260213_153045_conv_id, run cycle_012, T063, R14B_021_phase4.
UUID 123e4567-e89b-12d3-a456-426614174000, commit 2e7d64f9.
0056 0078 0099 are three ids, 0043-0044-0045-0046 a row of them.
A text of 1234567 words, a ring of 20 stones, reach 100 200 300.
The score was 3-4-5, at 40.7128, -74.0060; then 48.2082 16.3738.
4111 1111 1111 1112 is no card, DE89 3704 0044 0532 0130 01 no account.
Between 12:00-13:00, 10/11/2025 and 1/2/03; 24/7; +20 %; 1e-4; 0.00012345678.
sk-learn and hf_transformers are names, so is ghp_x; task-force-alpha-bravo-charlie-delta.
"""


@pytest.mark.parametrize("line", LEFT.strip().splitlines())
def test_ordinary_text_is_left_alone(line):
    assert redact(line) == (line, {})


def test_several_in_one_text_are_all_masked():
    text = f"Lena (lena@example.org, +43 664 1234567) put {KEY} into /home/lena/.netrc"
    masked, found = redact(text)
    assert masked == "Lena ([email], [phone]) put [key] into ~/.netrc"
    assert found == {"email": 1, "phone": 1, "key": 1, "home_path": 1}


def test_a_kind_can_be_switched_off():
    assert redact("lena@example.org +43 664 1234567", ["phone"]) == ("lena@example.org [phone]", {"phone": 1})
    assert redact("lena@example.org", []) == ("lena@example.org", {})


PIECES = st.sampled_from([text for text, _, _ in FOUND] + LEFT.split() + ["@", "+", "00", "4111", "/home/", "password is ", "://", ".", " ",
                                                                          "[email]", "[phone]", "~", "-", "(", ")"])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES | st.text(alphabet="0123456789+-./@ ()[]abzAZ_:=~\\\n", max_size=12), max_size=8).map("".join) | st.text(max_size=60))
def test_masking_twice_is_masking_once_and_changes_nothing_without_a_finding(text):
    masked, found = redact(text)
    assert redact(masked) == (masked, {})
    assert bool(found) == (masked != text) and set(found) <= set(KINDS)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abc xyz,.!?", max_size=30), st.sampled_from(FOUND), st.text(alphabet="abc xyz,!?", max_size=30))
def test_the_words_around_a_finding_stay(before, case, after):
    text, masked, _ = case
    assert redact(f"{before} | {text} | {after}")[0] == f"{before} | {masked} | {after}"


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES | st.text(max_size=12), max_size=8).map("".join))
def test_the_first_look_passes_over_no_finding(text):
    found = any(True for detect in redact_module._DETECTORS.values() for _ in detect(text))
    assert redact_module._hinted(text) or not found


def test_a_long_hostile_text_takes_no_time():
    import time
    for text in ("a" * 200_000, "1 " * 100_000, "a@" * 100_000, "+1" * 100_000, "password " * 30_000, "(0" * 100_000,
                 "/home/" * 40_000, "A0" * 100_000, "a.b" * 70_000 + "@", "-----BEGIN PRIVATE KEY-----" * 4000, "token " * 40_000):
        began = time.process_time()
        redact(text)
        assert time.process_time() - began < 2, text[:10]
