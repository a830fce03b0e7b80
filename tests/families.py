"""Small tokenizers that speak as the great families do: their templates' behaviour and special tokens, a tiny BPE.

The templates are written for these tests from how each family is known to write a conversation (tools and
images left out); what matters is kept: who may speak, what is trimmed, added, folded or refused.
"""
from __future__ import annotations

import json

QWEN2 = """{%- if messages[0]['role'] == 'system' -%}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else -%}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role != 'system' or not loop.first -%}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' }}{%- endif -%}"""

# A think block before the last answer, empty where there are no thoughts; none in earlier turns.
QWEN3 = """{%- if messages[0].role == 'system' -%}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif -%}
{%- set ns = namespace(asked=-1) -%}
{%- for message in messages -%}{%- if message.role == 'user' -%}{%- set ns.asked = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for message in messages -%}
    {%- set content = message.content if message.content is string else '' -%}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) -%}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' -%}
        {%- set thoughts = '' -%}
        {%- if '</think>' in content -%}
            {%- set thoughts = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
        {%- endif -%}
        {%- if loop.index0 > ns.asked and (loop.last or thoughts) -%}
            {{- '<|im_start|>assistant\\n<think>\\n' + thoughts.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else -%}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif -%}
        {{- '<|im_end|>\\n' }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif -%}
{%- endif -%}"""

# Always a system block, with today's date; every content trimmed.
LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined -%}
    {%- if strftime_now is defined -%}{%- set date_string = strftime_now('%d %b %Y') -%}
    {%- else -%}{%- set date_string = '26 Jul 2024' -%}{%- endif -%}
{%- endif -%}
{%- if messages[0]['role'] == 'system' -%}
    {%- set system_message = messages[0]['content'] | trim -%}{%- set messages = messages[1:] -%}
{%- else -%}{%- set system_message = '' -%}{%- endif -%}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\nToday Date: ' + date_string }}
{{- '\\n\\n' + system_message + '<|eot_id|>' }}
{%- for message in messages -%}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}"""

_GEMMA_TURNS = """{%- for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{- '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else '') + message['content'] | trim }}
    {{- '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' }}{%- endif -%}"""
GEMMA2 = """{{- bos_token }}{%- set first_user_prefix = '' -%}
{%- if messages[0]['role'] == 'system' -%}{{- raise_exception('System role not supported') }}{%- endif -%}""" + _GEMMA_TURNS
GEMMA3 = """{{- bos_token }}{%- set first_user_prefix = '' -%}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}{%- set messages = messages[1:] -%}
{%- endif -%}""" + _GEMMA_TURNS

# Ends a whole conversation once more, with the end-of-text token.
PHI3 = """{%- for message in messages -%}
    {{- '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' }}{%- else -%}{{- eos_token }}{%- endif -%}"""
PHI4 = """{%- for message in messages -%}
    {{- '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant<|im_sep|>' }}{%- endif -%}"""
# Silently drops a system message, closes the question itself and puts a space before an answer.
SPACED = """{{- bos_token }}{%- for message in messages -%}
    {%- if message['role'] == 'user' -%}{{- '[INST] ' + message['content'] + ' [/INST]' }}
    {%- elif message['role'] == 'assistant' -%}{{- ' ' + message['content'] + ' ' + eos_token }}{%- endif -%}
{%- endfor -%}"""

# template, special tokens (the first ends the text, the second begins it where the family has one), end of turn
FAMILIES = {
    "qwen2.5": (QWEN2, ("<|endoftext|>", None, "<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "qwen3": (QWEN3, ("<|endoftext|>", None, "<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "llama3": (LLAMA3, ("<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
               "<|eot_id|>"),
    "gemma2": (GEMMA2, ("<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"), "<end_of_turn>"),
    "gemma3": (GEMMA3, ("<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"), "<end_of_turn>"),
    "phi3": (PHI3, ("<|endoftext|>", None, "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), "<|end|>"),
    "phi4": (PHI4, ("<|endoftext|>", None, "<|im_start|>", "<|im_sep|>", "<|im_end|>"), "<|im_end|>"),
    "spaced": (SPACED, ("</s>", "<s>"), " </s>"),
}
SENTENCEPIECE = ("gemma2", "gemma3", "phi3", "spaced")
_TEXT = ["The boat is called Heron, and it lies in the harbour.", "Who waters the ferns? Grandfather does.", "system user model"]


def tokenizer(family: str):
    """The family's tokenizer: byte-level BPE, or sentencepiece's way (no spaces, unknown characters as bytes)."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    template, (eos, bos, *others), _ = FAMILIES[family]
    inner = Tokenizer(models.BPE())
    if family in SENTENCEPIECE:
        trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
        inner.train_from_iterator([text.replace(" ", "▁") for text in _TEXT], trainer)
        learned = json.loads(inner.to_str())["model"]
        vocabulary = dict(learned["vocab"])
        for byte in range(256):
            vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
        vocabulary["<unk>"] = len(vocabulary)
        inner = Tokenizer(models.BPE(vocabulary, [tuple(merge) for merge in learned["merges"]], unk_token="<unk>",
                                     fuse_unk=True, byte_fallback=True))
        inner.normalizer = normalizers.Replace(" ", "▁")
        inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    else:
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        inner.train_from_iterator(_TEXT, trainers.BpeTrainer(
            vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    # Added to the vocabulary and marked special, but not named in the tokenizer: so Gemma's turn tokens are.
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (eos, bos, *others) if token])
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=eos, bos_token=bos, pad_token=eos, chat_template=template,
                                   clean_up_tokenization_spaces=False)
