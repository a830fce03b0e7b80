"""What goes by itself is a table; and SAGE's sync_config.json becomes one of its rows, each line by name."""
from __future__ import annotations

import pytest

from edge_sleep.errors import UsageError
from edge_sleep.sync.imported import carried_over
from edge_sleep.sync.roles import ROLES, traffic

FOLDER = "folder:/mnt/stick"


@pytest.mark.parametrize("role, sends, fetches", [("raising", True, True), ("training", True, False), ("development", False, True)])
@pytest.mark.parametrize("upload", [None, True, False])
@pytest.mark.parametrize("download", [None, True, False])
def test_roles(role: str, sends: bool, fetches: bool, upload: bool | None, download: bool | None) -> None:
    found = traffic(FOLDER, role, upload, download)
    assert (found.sends, found.fetches) == (sends if upload is None else upload, fetches if download is None else download)
    assert (f"sync.role is {role}" in found.why_sends) is (upload is None)
    nowhere = traffic("", role, upload, download)
    assert not nowhere.sends and not nowhere.fetches and "sync.remote is empty" in nowhere.why_sends


def test_the_roles_are_those_of_the_configuration() -> None:
    from typing import get_args

    from edge_sleep.config import Sync
    assert set(get_args(Sync.model_fields["role"].annotation)) == set(ROLES)


PROPOSAL = {"machines": {"legion": {"role": "training", "auto_upload": True}, "cbp": {"role": "development", "auto_download": True},
                         "jetson": {"role": "inference", "auto_download": True}}}
UPSTREAM = {
    "sync_paths": {
        "checkpoints": {"local": "./checkpoints", "dropbox": "/HRM/checkpoints", "patterns": ["*.pt"], "max_size_mb": 5000},
        "raising_checkpoints": {"local": "./sage/raising/checkpoints", "dropbox": "/HRM/raising_checkpoints",
                                "patterns": ["*.pt", "*.pth", "sage_raising_*.pt"], "max_size_mb": 500, "description": "words"}},
    "machines": {"legion": {"hostname": "Legion-Pro-7", "role": "training", "auto_upload": True},
                 "cbp": {"hostname": "CBP", "role": "development", "auto_download": True},
                 "jetson": {"hostname": "jetson-orin", "role": "raising", "auto_download": True, "auto_upload_raising": True,
                            "description": "Sprout"}}}


@pytest.mark.parametrize("document, machine, settings", [
    (PROPOSAL, "legion", {"role": "training"}),
    (PROPOSAL, "cbp", {"role": "development"}),
    (PROPOSAL, "jetson", {"role": "development"}),
    (UPSTREAM, "legion", {"role": "training", "remote": "dropbox:/HRM/raising_checkpoints"}),
    (UPSTREAM, "cbp", {"role": "development", "remote": "dropbox:/HRM/raising_checkpoints"}),
    (UPSTREAM, "jetson", {"role": "raising", "remote": "dropbox:/HRM/raising_checkpoints"}),
    ({"machines": {"x": {"role": "raising"}}}, "x", {"role": "raising", "auto_upload": False, "auto_download": False}),
    ({"machines": {"x": {"role": "training", "auto_upload": False, "auto_download": True}}}, "x",
     {"role": "training", "auto_upload": False, "auto_download": True}),
    ({"machines": {"x": {"role": "oracle", "auto_upload": "yes"}}}, "x", {}),
])
def test_both_shapes_of_the_file(document: dict, machine: str, settings: dict) -> None:
    found = carried_over(document, machine)
    assert found.settings == settings
    said = [what for what, _ in (*found.became, *found.lost)]
    assert len(said) == len(set(said)) and all(why for _, why in (*found.became, *found.lost))
    for key in document["machines"][machine]:
        assert sum(f"machines.{machine}.{key}" in what for what in said) == 1, f"{key} is said once"
    goes = traffic(FOLDER, **{"role": "raising", **{key: value for key, value in settings.items() if key != "remote"}})
    of = document["machines"][machine]
    if "role" in settings:                                     # it does what the file said, no more and no less
        assert goes.sends == bool(of.get("auto_upload") or of.get("auto_upload_raising"))
        assert goes.fetches == bool(of.get("auto_download"))


def test_pickles_are_said_not_to_travel() -> None:
    lost = dict(carried_over(UPSTREAM, "jetson").lost)
    assert "never read" in lost["sync_paths.raising_checkpoints.patterns"]
    assert "only adapters of nights travel" in lost["sync_paths.checkpoints"]


@pytest.mark.parametrize("document", [[], {}, {"machines": []}, {"machines": {"jetson": 1}}, PROPOSAL])
def test_what_is_no_such_file(document: object) -> None:
    with pytest.raises(UsageError):
        carried_over(document, "sprout")
