"""What a machine of each role sends and fetches by itself: a table, and two settings that overrule it."""
from __future__ import annotations

from dataclasses import dataclass

# role -> (sends what its nights accept, fetches what others publish). A command that a person types does either in any role.
ROLES: dict[str, tuple[bool, bool]] = {"raising": (True, True), "training": (True, False), "development": (False, True)}


@dataclass(frozen=True)
class Traffic:
    """What goes by itself, each with why."""

    sends: bool
    fetches: bool
    why_sends: str
    why_fetches: str


def traffic(remote: str, role: str, auto_upload: bool | None = None, auto_download: bool | None = None) -> Traffic:
    """The settings of `sync`, as a decision. Without a remote nothing goes anywhere."""
    if not remote:
        why = "sync.remote is empty: nothing leaves this machine"
        return Traffic(False, False, why, why)
    sends, fetches = ROLES[role]
    by_role = f"sync.role is {role}"
    return Traffic(sends if auto_upload is None else auto_upload, fetches if auto_download is None else auto_download,
                   by_role if auto_upload is None else f"sync.auto_upload is {str(auto_upload).lower()}",
                   by_role if auto_download is None else f"sync.auto_download is {str(auto_download).lower()}")
