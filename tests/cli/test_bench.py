"""`edge-sleep bench`: what it refuses, what it keeps, and one real run of the smallest shape."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from edge_sleep.benchmarks.suite import measures, run
from edge_sleep.benchmarks.suite.figures import Figure
from edge_sleep.benchmarks.suite.measures import Found

from tests.benchmarks.suite.made import result


@pytest.mark.parametrize("arguments, said", [
    (["--only", "speed"], "no such measure"), (["--growth", "--only", "step"], "no such measure"), (["--batch", "256"], "rows x tokens"),
    (["--against", "axolotl"], "no such peer"), (["--shape", "qwen9"], "no shape of that name"), (["--memory", "lots"], "KiB, MiB, GiB"),
    (["--page"], "no result is named"), (["result.json"], "results are for --page"), (["--profile", "toaster"], "no profile")])
def test_refusals(cli, tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = cli("bench", *arguments, "--results", tmp_path / "results")
    assert ran.code == 2 and said in ran.err and not (tmp_path / "results").exists()


def test_a_companions_home_is_not_measured_in(cli, tmp_path: Path) -> None:
    (tmp_path / "current.json").write_text("{}")
    ran = cli("bench", "--home", tmp_path, "--only", "limits", "--results", tmp_path / "results")
    assert ran.code == 2 and "never measured in" in ran.err and [file.name for file in tmp_path.iterdir()] == ["current.json"]


@pytest.mark.parametrize("seconds, code", [(1.0, 0), (1e6, 11)])
def test_a_run_is_kept_with_its_page(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, code: int) -> None:
    monkeypatch.setattr(run, "MEASURES", {"night": lambda case, who, say: Found([Figure("night_seconds", "ours", [seconds] * 5)])})
    monkeypatch.setattr(measures, "agreement", lambda case, who, say: Found(details={
        "ours": {"who": "ours", "dtype": "float32", "reasons": []}}))
    ran = cli("bench", "--shape", "seedling", "--against", "", "--only", "night", "--profile", "orin-nano-8gb", "--results", tmp_path)
    assert ran.code == ran.document["exit_code"] == code
    kept, = tmp_path.glob("*.json")
    assert json.loads(kept.read_text()) == ran.document and ran.document["device"]["profile"] == "orin-nano-8gb"
    assert kept.with_suffix(".html").read_text().startswith("<!DOCTYPE html>")
    assert ("MISS" in ran.out) == (code == 11) and str(kept) in ran.err
    assert len(cli("bench", "--shape", "seedling", "--against", "", "--only", "night", "--results", tmp_path, "--json").out.splitlines()) == 1


def test_kept_results_side_by_side(cli, tmp_path: Path) -> None:
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in files:
        file.write_text(json.dumps(result()))
    ran = cli("bench", "--page", *files)
    assert ran.code == 0 and "within their noise: 1 of 1 ratios and 6 of 6 figures" in ran.out
    assert ran.document["page"] == str(tmp_path / "two.html") and (tmp_path / "two.html").is_file()


@pytest.mark.night
def test_the_smallest_shape_from_end_to_end(cli, tmp_path: Path) -> None:
    """Two measures in processes of their own; `long` has all of them beside the peers."""
    ran = cli("bench", "--shape", "tiny", "--against", "", "--only", "limits,load", "--rounds", "1", "--results", tmp_path / "results")
    assert ran.code == 0, ran.err
    found = {(row["figure"], row["who"]): row["median"] for row in ran.document["figures"]}
    assert found["matmul_flops", "device"] > 1e6 and found["copy_bytes_per_second", "device"] > 1e6
    assert 0 < found["load_seconds", "ours"] < 60 and 0 < found["load_seconds", "ours, first night"] < 60
    assert [row["outcome"] for row in ran.document["measures"]] == ["done", "done"]


@pytest.mark.long
def test_all_of_it_beside_the_peers(cli, tmp_path: Path) -> None:
    ran = cli("bench", "--shape", "tiny", "--against", "hf,trl,liger", "--batch", "2x64", "--rounds", "2", "--results", tmp_path)
    assert ran.code == 0, ran.err
    assert {row["measure"] for row in ran.document["measures"]} == set(run.NAMES)
    assert all(row["outcome"] == "done" for row in ran.document["measures"])
    assert {"hf", "trl"} == {row["against"] for row in ran.document["ratios"] if row["figure"] == "step_seconds"}
    assert any(row.get("who") == "liger" for row in ran.document["not_run"])
    assert not any(verdict["passed"] is False for verdict in ran.document["budgets"] if verdict["against"] is None)
