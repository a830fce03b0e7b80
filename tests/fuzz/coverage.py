"""`python -m tests.fuzz.coverage READER [SECONDS]`: led by what an input reaches, where atheris is installed (no test needs it).

Begins with the reader's seeds and its corpus; what fails is put into the corpus. Ends with 1 where something failed.
"""
from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["edge_sleep"]):
    from tests.fuzz import readers


def main(name: str, seconds: int) -> None:
    reader = readers.readers()[name]
    folder = Path(tempfile.mkdtemp(prefix="edge-sleep-fuzz-"))
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, seed in enumerate((*reader.seeds, *(file.read_bytes() for of, file in readers.kept() if of == name))):
        (seeds / str(number)).write_bytes(seed)
    os.fsync = lambda descriptor: None  # type: ignore[assignment]

    def one(content: bytes) -> None:
        try:
            readers.tried(reader, content, folder / "f")
        except BaseException:
            print(f"kept as {readers.keep(name, content, reader.suffix)}", flush=True)
            raise

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", f"-artifact_prefix={folder}/", str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60)
