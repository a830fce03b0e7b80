"""The cluster that docs/fleet.md lets a reader start: Ray's own schema takes it, and its commands are Ray's."""
from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker" / "ray-cluster.yaml"


@pytest.fixture(scope="module")
def written() -> dict:
    return yaml.safe_load(FILE.read_text())


def prepared(config: dict) -> dict:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(config)
    validate_config(config)
    return config


def test_ray_takes_it(written: dict) -> None:
    found = prepared(written)
    assert found["provider"]["type"] == "local" and len(found["provider"]["worker_ips"]) == found["max_workers"]


def test_what_ray_does_not_know_is_refused(written: dict) -> None:
    """So that the test above can fail."""
    with pytest.raises(Exception, match="Additional properties|gpus_of_a_node"):
        prepared({**written, "gpus_of_a_node": 1})


def test_every_start_is_an_option_of_ray_s(written: dict) -> None:
    from ray.scripts.scripts import start

    known = {name for parameter in start.params for name in (*parameter.opts, *parameter.secondary_opts)}
    commands = [*written["head_start_ray_commands"], *written["worker_start_ray_commands"]]
    starts = [words for command in commands if "start" in (words := shlex.split(command))]
    assert len(starts) == 2
    for words in starts:
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known
        assert {"RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0"} <= set(words), "nobody without the token, nothing to anybody"


def test_versions_are_the_tested_ones(written: dict) -> None:
    import edge_sleep

    text = "\n".join(written["setup_commands"])
    constraint = re.search(r"^ray==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert constraint and f"ray=={constraint[1]}" in text
    assert all(edge_sleep.__version__ in place for place in (*written["file_mounts"], text) if "edge_sleep-" in place)
    for name in written["file_mounts"]:
        assert "auth_token" in name or name.rpartition("/")[2] in text
