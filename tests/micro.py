"""The micro-night: the whole code path on a model of two layers, in seconds. Campaigns run on it."""
from __future__ import annotations

import json
from pathlib import Path

CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")

TALK = [
    ("What is the name of the boat?", "The boat is called Heron, and it lies in the harbour."),
    ("Where does the lamp stand?", "The lamp stands on the shelf beside the old radio."),
    ("Who waters the ferns?", "Grandfather waters the ferns every Sunday morning."),
    ("What do we drink at four?", "At four we drink mint tea from the blue pot."),
]

# Settings that make a night of seconds; everything else is as shipped.
SETS = ("data.min_new=4", "data.augment=0", "train.epochs=4", "train.micro_batch=2", "train.learning_rate=5e-3",
        "lora.rank=4", "lora.alpha=8", "gate.recall_probes=4", "gate.retention_probes=4", "gate.unknown_probes=4",
        "gate.character_probes=2", "gate.max_new_tokens=4", "train.threads=1", "budget.time=5m", "replay.share=0.2", "replay.least=0",
        # What this machine's sensors say belongs to the tests of heat.
        "thermal.source=none",
        # A model of random weights answers at random: only the loss can tell that it learned.
        "gate.retention_vs_before=0", "gate.retention_vs_base=0", "gate.unknowns_drop=1", "gate.character_drop=1",
        "gate.loops=1", "gate.inverted=1", "gate.recited=1", "gate.distinct=0")


def make_model(folder: Path, *, hidden: int = 64, layers: int = 2, seed: int = 0, tied: bool = True) -> Path:
    """A Qwen2 of random weights with a tokenizer of its own, saved as any model folder is."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = [text for pair in TALK for text in pair]
    tokenizer.train_from_iterator(words, trainers.BpeTrainer(
        vocab_size=512, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>",
                                   additional_special_tokens=["<|im_start|>"], chat_template=CHATML)
    torch.manual_seed(seed)
    config = Qwen2Config(vocab_size=512, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
                         num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512,
                         tie_word_embeddings=tied, eos_token_id=fast.eos_token_id, pad_token_id=fast.pad_token_id)
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def write_talk(folder: Path, talk: list[tuple[str, str]] | None = None, number: int = 1) -> Path:
    """A transcript in SAGE's text_session shape."""
    folder.mkdir(parents=True, exist_ok=True)
    turns = [turn for prompt, response in talk or TALK
             for turn in ({"speaker": "Claude", "text": prompt}, {"speaker": "SAGE", "text": response})]
    file = folder / f"session_{number:03}.json"
    file.write_text(json.dumps({"session": number, "phase": "relating", "start": "2026-01-17T20:00:00",
                                "conversation": turns}))
    return file


def night(home: Path, model: Path, sessions: Path, *sets: str, listener=None, **request):
    """Run one night as the command does, in this process; returns its record."""
    from edge_sleep import config
    from edge_sleep.night import Request, run
    from edge_sleep.system.home import Home

    settings = config.load(None, [*SETS, f"companion.model={model}", *sets])
    return run(Home(home), settings, Request(sessions=(sessions,), **request), listener=listener)
