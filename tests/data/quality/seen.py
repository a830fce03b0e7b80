"""A history in memory, for the tests of the gate."""
from edge_sleep.data.words import fingerprints, mark, normalised, stems


class Seen:
    def __init__(self, *exchanges, prompts=()):
        self.exchanges = [(number, prompt, answer) for number, (prompt, answer) in enumerate(exchanges, start=1)]
        self.prompts = {normalised(prompt) for prompt in prompts}
        self.told = {code for _, prompt, _ in self.exchanges for code in stems(prompt)}
        self.told |= {code for prompt in prompts for code in stems(prompt)} | {mark(name) for name in self.prompts}

    def prompts_among(self, parts):
        return {part for part in parts if normalised(part) in self.prompts}

    def prompts_of(self, marks):
        found = {value: [(number, prompt) for number, prompt, answer in self.exchanges if value in fingerprints(answer)]
                 for value in marks}
        return {value: rows for value, rows in found.items() if rows}

    def unsaid(self, codes):
        return set(codes) - self.told
