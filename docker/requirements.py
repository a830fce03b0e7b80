"""Write what setup.cfg asks for (wanted.txt) and the tested versions (pinned.txt), to install before any source is there.

    python docker/requirements.py BITSANDBYTES JETSON_STATS -- EXTRA...

BITSANDBYTES: a requirement that was installed already, from where torch comes from; its pin is left out. JETSON_STATS: the
version of the service on the host, to whose major.minor the client must keep. Both may be empty.
"""
from __future__ import annotations

import configparser
import sys
from pathlib import Path


def wanted(setup: str, extras: list[str], jetson_stats: str = "") -> list[str]:
    """The requirements of the package and of these extras. Raises SystemExit for an extra that there is not."""
    config = configparser.ConfigParser()
    config.read_string(setup)
    known = config["options.extras_require"]
    if unknown := [extra for extra in extras if extra not in known]:
        sys.exit(f"EXTRAS: no extra {', '.join(unknown)}; choose from {', '.join(known)}")
    texts = [config["options"]["install_requires"], *(known[extra] for extra in extras)]
    lines = [line for text in texts for line in text.splitlines() if line]
    return [*lines, *([f"jetson-stats=={jetson_stats}"] if jetson_stats else [])]


def pinned(constraints: str, *free: str) -> list[str]:
    """The tested versions but for the named packages."""
    return [line for line in constraints.splitlines() if not line.startswith(tuple(f"{name}==" for name in free))]


def main(bitsandbytes: str, jetson_stats: str, *extras: str) -> None:
    free = [*(["bitsandbytes"] if bitsandbytes else []), *(["jetson-stats"] if jetson_stats else [])]
    Path("wanted.txt").write_text("\n".join(wanted(Path("setup.cfg").read_text(), list(extras), jetson_stats)) + "\n")
    Path("pinned.txt").write_text("\n".join(pinned(Path("constraints.txt").read_text(), *free)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3], *sys.argv[4:])
