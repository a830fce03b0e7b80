"""Claims of a shared past that nobody can confirm: "you told me that", "over our years together".

Careful by design: a claim counts only where most of its content words were never said by anyone in this
conversation, nor by a person in any conversation of this home. A denial ("you have not told me") is no claim.
"""
from __future__ import annotations

import re

from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality.finding import Finding, QuarantineReason, quote
from edge_sleep.data.quality.history import History
from edge_sleep.data.words import STOP, sentences, stem, stems, words

# What is claimed must follow: "as you mentioned," and "the topic you mentioned" claim nothing.
_CLAIM = re.compile(
    r"\b(?:you(?:'ve| have| had)? (?:also |once |already |just |recently )?(?:told me|mentioned|said|asked me|shared with me|"
    r"described|explained to me|showed me|gave me|taught me) (?:that|about|how|to|your|you|my|our|the|a|an) \w"
    r"|we(?:'ve| have| had)? (?:also |once |already |recently )?(?:talked about|spoke about|spoken about|discussed|"
    r"agreed|decided|visited|met) (?:that|how|to|your|my|our|the|a|an|on|in|at) \w"
    r"|i remember (?:when|how|the time) (?:you|we) \w"
    r"|(?:in|during|from|since) our (?:last|previous|earlier|first) "
    r"(?:\w+ )?(?:session|conversation|talk|meeting|discussion|project)s?\b"
    r"|(?:our|many|several|\w+ty|ten) years (?:together|of (?:working|partnership|friendship|collaboration|knowing))\b"
    r"|(?:over|throughout|in) our (?:many )?years\b)", re.IGNORECASE)
_VERBS = frozenset("""told mentioned said asked shared described explained showed gave taught talked spoke spoken discussed agreed
    decided visited met remember last previous earlier first years""".split())
# What comes before a claim and takes it back, or makes it a manner of speaking ("as you mentioned").
_DENIAL = re.compile(r"\b(?:not|never|no|nor|nothing|without|can't|cannot|don't|didn't|haven't|hadn't|isn't|if|whether|"
                     r"would|could|might|when|unless|what|(?:as|that|which|topic|words)(?=\s*$))\b|n't\b", re.IGNORECASE)
_TIME = frozenset("""yesterday today tomorrow last week month year years ago time times session sessions earlier before previous
    previously together conversation conversations discussion discussions talk talked talking told said mentioned discussed asked
    shared remember recall first many several again always once already recently also like thing things something us let know
    think feel made make good great important work worked working""".split())
_FEWEST = 2                               # content words of a claim that must be unknown


def confabulated_history(exchange: Exchange, history: History, unknown: float) -> Finding | None:
    """A claimed shared past of whose content words more than `unknown` (0 to 1), and at least two, nobody ever said."""
    if _VERBS.isdisjoint(words(exchange.response)):
        return None
    said: frozenset[int] | None = None
    for sentence in sentences(exchange.response.replace("’", "'")):
        claim = _CLAIM.search(sentence)
        if claim is None or sentence.endswith("?") or _DENIAL.search(sentence[:claim.start()]):
            continue
        if said is None:
            said = stems(exchange.prompt).union(*(stems(message["content"]) for message in exchange.context))
        content = {word for word in words(sentence[claim.start():]) if len(word) > 3} - STOP - _TIME
        if re.search(r"\byears\b", claim.group()):
            # The span itself is the claim: it stands or falls with somebody having spoken of years.
            if stem("years") not in said and history.unsaid([stem("years")]):
                return Finding(QuarantineReason.CONFABULATED_HISTORY, f"years that nobody spoke of: {quote(sentence)}")
            continue
        fresh = {word: code for word in content if (code := stem(word)) not in said}
        never = history.unsaid(list(fresh.values())) if len(fresh) >= _FEWEST else set()
        missing = sorted(word for word, code in fresh.items() if code in never)
        if len(missing) >= _FEWEST and len(missing) > unknown * len(content):
            return Finding(QuarantineReason.CONFABULATED_HISTORY,
                           f"nobody in this home ever said {', '.join(missing[:5])}: {quote(sentence)}")
    return None
