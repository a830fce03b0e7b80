"""Run a command in this process: exit code, stdout, stderr, and its JSON document."""
from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from edge_sleep.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The last line of stdout, which with --json is one strict JSON document."""
        return json.loads(self.out.splitlines()[-1], parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture):
    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main.run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)
    return run
