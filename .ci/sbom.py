"""Write sbom.json: what is installed here, as CycloneDX 1.6, with licences and a hash of each distribution's files.

    python .ci/sbom.py [FILE] [--all]

Without --all it is edge_sleep with what it asks for and all that asks for in turn, as installed in this environment; with it,
everything that is installed. Where cyclonedx-python-lib is there (extra `[dev]`), the document is held to CycloneDX's schema.
"""
from __future__ import annotations

import base64
import configparser
import hashlib
import json
import sys
import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
# Extras that run on a board or in its container; [jetson] is AGPL and opt-in (ARCHITECTURE.md), the others are tools.
EXTRAS = ("serve", "sync", "onnx", "onnx-build", "gguf", "bench")
# What metadata says in other words, as SPDX says it.
SPDX = {"Apache": "Apache-2.0", "Apache 2.0": "Apache-2.0", "Apache 2.0 License": "Apache-2.0",
        "Apache Software License": "Apache-2.0",
        "MIT License": "MIT", "BSD": "BSD-3-Clause", "BSD License": "BSD-3-Clause", "3-Clause BSD License": "BSD-3-Clause",
        "ISC License": "ISC", "ISC License (ISCL)": "ISC", "Python Software Foundation License": "PSF-2.0",
        "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0"}
HASH_OF = "lines of 'path sha256', sorted by path, of the installed files"


def asked(extras: Iterable[str] = EXTRAS, setup: Path = ROOT / "setup.cfg") -> list[Requirement]:
    """What edge_sleep asks for, with these extras."""
    config = configparser.ConfigParser()
    config.read(setup)
    texts = [config["options"]["install_requires"], *(config["options.extras_require"][extra] for extra in extras)]
    return [Requirement(line) for text in texts for line in text.splitlines() if line.strip()]


def closure(wanted: Iterable[Requirement]) -> dict[str, metadata.Distribution | None]:
    """Name -> distribution of all that these need, in turn; None where it is not installed here."""
    found: dict[str, metadata.Distribution | None] = {}
    looked: set[tuple[str, frozenset[str]]] = set()
    todo = list(wanted)
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in looked or requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        looked.add((name, extras))
        try:
            found[name] = known = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            found[name] = None
            continue
        for line in known.requires or []:
            below = Requirement(line)
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                below.marker = None
                todo.append(below)
    return dict(sorted(found.items()))


def licence(distribution: metadata.Distribution) -> str:
    """Its licence as SPDX writes it: from the expression, else the licence field where it is short, else the classifiers."""
    told = distribution.metadata
    if expression := told.get("License-Expression"):
        return expression
    field = (told.get("License") or "").strip()
    if field and "\n" not in field and len(field) <= 40:
        return SPDX.get(field, field)
    named = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    return " AND ".join(sorted({SPDX.get(name, name) for name in named if name != "OSI Approved"})) or "unknown"


def files(distribution: metadata.Distribution) -> Iterator[tuple[str, str, bool]]:
    """(path, sha256 as on the disk, whether it is the one that was installed) of each file that the installer noted."""
    for entry in sorted(distribution.files or [], key=str):
        if entry.hash is None:                     # its own list, and what Python compiled since
            continue
        path = Path(str(distribution.locate_file(entry)))
        if not path.is_file():
            yield str(entry), "", False
            continue
        digest = hashlib.sha256()
        with open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        noted = entry.hash.mode != "sha256" or entry.hash.value == base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
        yield str(entry), digest.hexdigest(), noted


def component(distribution: metadata.Distribution) -> tuple[dict, list[str]]:
    """(its entry, the files that are not as they were installed)."""
    name, version = canonicalize_name(distribution.metadata["Name"]), distribution.version
    digest, changed = hashlib.sha256(), []
    for path, sha256, same in files(distribution):
        digest.update(f"{path} {sha256}\n".encode())
        if not same:
            changed.append(path)
    said = licence(distribution)
    # PEP 440's local part (`+cpu`) is where a wheel was built, not another release.
    entry = {"type": "library", "bom-ref": f"{name}@{version}", "name": name, "version": version,
             "purl": f"pkg:pypi/{name}@{version.partition('+')[0]}",
             "licenses": [{"license": {"name": said}} if _no_spdx(said) else {"expression": said}],
             "hashes": [{"alg": "SHA-256", "content": digest.hexdigest()}],
             "properties": [{"name": "edge_sleep:hash-of", "value": HASH_OF}]}
    return entry, changed


def _no_spdx(said: str) -> bool:
    return said == "unknown" or any(len(word) > 24 or word.lower() == "license" for word in said.split())


def document(distributions: Iterable[metadata.Distribution]) -> tuple[dict, list[str]]:
    """(the bill of materials, what is not as it was installed)."""
    entries, odd = [], []
    for one in distributions:
        entry, changed = component(one)
        entries.append(entry)
        odd += [f"{entry['name']}: {path}" for path in changed]
    version = next(line.split('"')[1] for line in (ROOT / "edge_sleep" / "__init__.py").read_text().splitlines()
                   if line.startswith("__version__"))
    made = {"timestamp": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "component": {"type": "application", "bom-ref": "edge_sleep", "name": "edge_sleep", "version": version,
                          "licenses": [{"expression": "Apache-2.0"}]}}
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{uuid.uuid4()}", "version": 1,
            "metadata": made, "components": entries}, odd


def problem(text: str) -> str | None:
    """What CycloneDX's schema says against it; None: nothing, or no schema here."""
    try:
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError:
        print("cyclonedx-python-lib is not installed: not held to the schema", file=sys.stderr)
        return None
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return str(found)[:2000] if found else None


def main(arguments: list[str]) -> int:
    if "--all" in arguments:
        chosen = {canonicalize_name(one.metadata["Name"]): one for one in metadata.distributions()}
    else:
        chosen = {name: one for name, one in closure(asked()).items() if one is not None}
    bill, odd = document(chosen[name] for name in sorted(chosen))
    text = json.dumps(bill, indent=1)
    if (against := problem(text)) is not None:
        print(f"sbom: {against}", file=sys.stderr)
        return 1
    target = Path(next((word for word in arguments if not word.startswith("--")), "sbom.json"))
    target.write_text(text + "\n", encoding="utf-8")
    for line in odd:
        print(f"not as it was installed: {line}", file=sys.stderr)
    print(f"{target}: {len(bill['components'])} distributions, {len(odd)} files not as they were installed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
