"""An Ollama Modelfile: the same template, system prompt and end of turn that the companion was trained and judged with."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_sleep.data.experience import Message
from edge_sleep.data.template import AnswerFrame, prompt_text
from edge_sleep.errors import ModelError

_WORDS = ("the-system-words", "first-question", "first-answer", "second-question")
_MOST_CONTEXT = 4096                       # what Ollama reserves memory for; more is the user's own num_ctx


@dataclass(frozen=True)
class Turns:
    """What a template writes before each kind of turn; the end of one belongs to the beginning of the next."""

    system: str
    first_user: str
    user: str
    assistant: str
    answer: str                            # before the answer that is asked for

    @classmethod
    def of(cls, tokenizer: Any) -> Turns:
        """Read off a rendered conversation. Raises ModelError where the template does more than write words before words."""
        found = _between(tokenizer, _WORDS)
        if found is None or "{{" in "".join(found) or '"""' in "".join(found):
            raise ModelError("gguf: this chat template cannot be written as Ollama's", "use the GGUF files with llama.cpp")
        return cls(found[0], found[1], found[3], found[2], found[4])

    def render(self, messages: Sequence[Message]) -> str:
        """What Ollama makes of a conversation that begins with its system message."""
        text = ""
        for index, message in enumerate(messages):
            before = {"system": self.system, "assistant": self.assistant,
                      "user": self.first_user if index < 2 else self.user}[message["role"]]
            text += before + message["content"]
        return text + self.answer

    def go(self) -> str:
        """As a template in Go's language."""
        user = self.user if self.user == self.first_user else \
            "{{ if lt $i 2 }}" + self.first_user + "{{ else }}" + self.user + "{{ end }}"
        return ("{{ range $i, $m := .Messages }}{{ if eq $m.Role \"system\" }}" + self.system + "{{ $m.Content }}"
                "{{ else if eq $m.Role \"user\" }}" + user + "{{ $m.Content }}"
                "{{ else if eq $m.Role \"assistant\" }}" + self.assistant + "{{ $m.Content }}{{ end }}{{ end }}" + self.answer)


def _between(tokenizer: Any, words: tuple[str, str, str, str]) -> list[str] | None:
    system, question, answer, second = words
    text = prompt_text(tokenizer, [{"role": "system", "content": system}, {"role": "user", "content": question},
                                   {"role": "assistant", "content": answer}, {"role": "user", "content": second}], "")
    parts = []
    for word in words:
        before, found, text = text.partition(word)
        if not found:
            return None
        parts.append(before)
    return [*parts, text]


def write(tokenizer: Any, system_prompt: str, model: str, adapter: str | None, context: int | None) -> str:
    """The Modelfile. model, adapter: paths relative to where it will lie."""
    turns = Turns.of(tokenizer)
    if '"""' in system_prompt:
        raise ModelError('gguf: a system prompt with """ cannot be written into a Modelfile', "change companion.system_prompt")
    end = AnswerFrame.of(tokenizer, system_prompt).end
    lines = [f"FROM {model}", *([f"ADAPTER {adapter}"] if adapter else []),
             f'TEMPLATE """{turns.go()}"""', f'SYSTEM """{system_prompt}"""',
             *([f'PARAMETER stop "{tokenizer.decode(list(end[-1:]))}"'] if end else []),
             "PARAMETER temperature 0", "PARAMETER repeat_penalty 1",
             f"PARAMETER num_ctx {min(context or _MOST_CONTEXT, _MOST_CONTEXT)}"]
    return "\n".join(lines) + "\n"
