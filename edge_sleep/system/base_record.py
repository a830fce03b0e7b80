"""base.json: which base a home belongs to, written once. Read here, checked against itself, wherever a night relies on it."""
from __future__ import annotations

import hashlib
from typing import Any

from edge_sleep.errors import IntegrityError
from edge_sleep.system.files import canonical_json, read_json
from edge_sleep.system.home import Home

DTYPES = ("bfloat16", "float16", "float32")
_DO = "`edge-sleep restore` a backup"


def read(home: Home) -> dict[str, Any]:
    """The record. Raises IntegrityError where it is torn, lacks something, or its files do not hash to its sha256."""
    document = read_json(home.base, "base record")
    if not isinstance(document, dict) or not isinstance(document.get("files"), dict) or not all(
            isinstance(document.get(key), str) for key in ("source", "sha256", "compute_dtype")):
        raise IntegrityError("base.json is not a whole record of a base", _DO)
    if hashlib.sha256(canonical_json(document["files"])).hexdigest() != document["sha256"]:
        raise IntegrityError("base.json does not match itself: its files do not hash to its sha256", _DO)
    if document["compute_dtype"] not in DTYPES or not isinstance(document.get("quantisation", ""), str):
        raise IntegrityError(f"base.json names arithmetic that there is not: {document['compute_dtype']!r}", _DO)
    return document
