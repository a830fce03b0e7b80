"""The tokenizer as llama.cpp reads it: tokens, their kinds, merges, and the name of the split before them."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_sleep.data.template import AnswerFrame, dated
from edge_sleep.errors import ModelError

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# The regular expression of the split -> llama.cpp's name for it. Its own converter knows them by how they split a text.
_SPLITS = {_CONTRACTIONS + r"\p{N}" + _TAIL: "qwen2", _CONTRACTIONS + r"\p{N}{1,3}" + _TAIL: "llama-bpe"}
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


def write(writer: Any, folder: Path, vocabulary: int, tokenizer: Any, system_prompt: str) -> None:
    """Put the tokenizer of a model folder into a gguf.GGUFWriter. vocabulary: rows of the embedding, which may be more.

    Raises ModelError for a tokenizer that is no byte-level BPE, or splits in a way for which llama.cpp has no known name.
    """
    document = json.loads((folder / "tokenizer.json").read_bytes())
    split = split_of(document)
    tokens, kinds = tokens_of(document, vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in document["model"]["merges"]])
    for add, number in ((writer.add_bos_token_id, tokenizer.bos_token_id), (writer.add_eos_token_id, tokenizer.eos_token_id),
                        (writer.add_pad_token_id, tokenizer.pad_token_id)):
        if number is not None:
            add(number)
    if end := AnswerFrame.of(tokenizer, system_prompt).end:
        writer.add_eot_token_id(end[-1])
    # The template writes what begins a text: nothing may be put before it a second time.
    writer.add_add_bos_token(False)
    writer.add_chat_template(dated(tokenizer.chat_template))


def split_of(document: dict) -> str:
    """llama.cpp's name of the pre-tokenizer in a tokenizer.json."""
    model, before = document.get("model") or {}, document.get("pre_tokenizer") or {}
    parts = before.get("pretokenizers", [before])
    kinds = [part.get("type") for part in parts]
    if model.get("type") == "BPE" and not model.get("byte_fallback") and "ByteLevel" in kinds:
        patterns = [part["pattern"].get("Regex") for part in parts if part.get("type") == "Split"]
        if kinds == ["Split", "ByteLevel"] and patterns[0] in _SPLITS:
            return _SPLITS[patterns[0]]
        if kinds == ["ByteLevel"] and parts[0].get("use_regex", True) and not parts[0].get("add_prefix_space"):
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits") and parts[1].get("use_regex", True):
            return "smollm"
    raise ModelError(f"gguf: this tokenizer ({model.get('type')}, split by {' and '.join(map(str, kinds))}) has no name in "
                     "llama.cpp that is known here",
                     "`edge-sleep export --to merged` gives a folder for llama.cpp's own converter")


def tokens_of(document: dict, vocabulary: int) -> tuple[list[str], list[int]]:
    """(tokens, kinds) for every row of the embedding; rows without a token are named and marked unused."""
    tokens = {number: (token, NORMAL) for token, number in document["model"]["vocab"].items()}
    for added in document.get("added_tokens") or []:
        tokens[added["id"]] = (added["content"], CONTROL if added["special"] else USER_DEFINED)
    if tokens and max(tokens) >= vocabulary:
        raise ModelError(f"gguf: the tokenizer has a token {max(tokens)}, the embedding {vocabulary} rows",
                         "use the tokenizer that belongs to these weights")
    rows = [tokens.get(number, (f"[PAD{number}]", UNUSED)) for number in range(vocabulary)]
    return [token for token, _ in rows], [kind for _, kind in rows]
