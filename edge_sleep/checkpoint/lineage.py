"""Where an adapter comes from: parent by parent back to the base, by the manifests, and where one is damaged by the records."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import IntegrityError
from edge_sleep.system.files import read_json
from edge_sleep.system.home import Home


def parent_of(home: Home, adapter_id: str) -> str | None:
    """The adapter it grew from; None is the base. Raises IntegrityError where neither manifest nor record tells."""
    try:
        return manifest.read(home.adapter(adapter_id))["parent"]
    except IntegrityError:
        record = _made_in(home, adapter_id)
        if record is None:
            raise
        return record["parent"]


def ids(home: Home, adapter_id: str | None) -> list[str]:
    """From an adapter back to the base, newest first. Raises IntegrityError where that cannot be told."""
    chain: list[str] = []
    while adapter_id is not None:
        if adapter_id in chain:
            raise IntegrityError(f"the lineage of {chain[0]} is a circle at {adapter_id}")
        chain.append(adapter_id)
        adapter_id = parent_of(home, adapter_id)
    return chain


def tell(home: Home, adapter_id: str | None) -> list[dict[str, Any]]:
    """Each adapter of a lineage with its night, the hash of what it was taught, its parent and what is wrong with it."""
    entries = []
    for identity in ids(home, adapter_id):
        found = manifest.problems(home.adapter(identity))
        try:
            document = manifest.read(home.adapter(identity))
        except IntegrityError:
            record = _made_in(home, identity) or {}
            document = {"night": record.get("night"), "created": record.get("ended"), "parent": record.get("parent"),
                        "data": record.get("data"), "base": record.get("base")}
        data = document.get("data") or {}
        entries.append({"id": identity, "night": document["night"], "created": document.get("created"),
                        "parent": document["parent"], "base_sha256": (document["base"] or {}).get("sha256"),
                        "data_sha256": data.get("sha256"), "experiences": len(data.get("experiences") or []),
                        "problems": found})
    return entries


def _made_in(home: Home, adapter_id: str) -> dict | None:
    """The record of the last night that made this adapter."""
    return next((record for record in _records(home) if record.get("candidate") == adapter_id and "parent" in record), None)


def _records(home: Home) -> Iterator[dict]:
    """The readable records, newest first: looked at where something else is damaged already."""
    for file in sorted(home.nights.glob("*/record.json"), reverse=True):
        try:
            record = read_json(file, "record")
        except IntegrityError:
            continue
        if isinstance(record, dict):
            yield record
