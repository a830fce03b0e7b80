"""Where sync stands, from what is on this disk alone."""
from __future__ import annotations

from typing import Any

from edge_sleep.config import Sync
from edge_sleep.errors import IntegrityError
from edge_sleep.seal.keys import IDENTITY, Keys
from edge_sleep.sync import backoff, ledger, outbox, received
from edge_sleep.sync.roles import traffic
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home


def document(home: Home, settings: Sync, clock: Clock) -> dict[str, Any]:
    """The `sync status` document. Asks no remote; makes no keys."""
    goes = traffic(settings.remote, settings.role, settings.auto_upload, settings.auto_download)
    keys = Keys.open(home.keys, clock=clock) if (home.keys / IDENTITY).is_file() else None
    peers = {machine.id: machine.name for machine in keys.peers} if keys else {}
    failed = backoff.document(backoff.read(outbox.backoff_file(home)), clock)
    why = "sync.remote is empty" if not settings.remote else f"the remote failed: {failed['why']}" if failed else \
        goes.why_sends + (", and it was not tried yet" if goes.sends else ": `edge-sleep sync push` sends it")
    known = ledger.read(home)
    return {"remote": settings.remote, "role": settings.role, "sends": goes.sends, "fetches": goes.fetches,
            "why_sends": goes.why_sends, "why_fetches": goes.why_fetches, "machine": keys.own.id if keys else None,
            "paired": [{"id": identity, "name": name} for identity, name in peers.items()],
            "waiting": [{"kind": entry.kind, "id": entry.id, "queued": entry.queued, "bytes": outbox.size_bytes(home, entry),
                         "sealed": entry.sealed is not None, "why": why} for entry in outbox.waiting(home)],
            "backoff": failed,
            "published": {"serial": known.serial, "shown": known.shown, "left_over": len(known.left_over), "parcels": [
                {"kind": parcel.kind, "id": parcel.id, "sent": parcel.sent, "to": list(parcel.to)} for parcel in known.parcels]},
            "machines": [_seen(home, file.stem, peers) for file in sorted((home.received / "machines").glob("*.json"))],
            "received": [{"id": found["id"], "machine": found["machine"], "name": found["name"], "at": found["at"],
                          "here": home.adapter(found["id"]).is_dir()}
                         for file in sorted((home.received / "adapters").glob("*.json"))
                         if (found := received.origin(home, file.stem)) is not None]}


def _seen(home: Home, machine: str, peers: dict[str, str]) -> dict[str, Any]:
    try:
        found = received.seen(home, machine)
    except IntegrityError:
        found = received.Seen()
    return {"id": machine, "name": peers.get(machine), "serial": found.serial, "parcels": found.parcels, "latest": found.latest}
