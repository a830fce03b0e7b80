"""The largest model of a board: in memory and in time, the next larger one in one of them no more."""
import re

import pytest

from edge_sleep.config import Budget, Config
from edge_sleep.device import profile
from edge_sleep.device.detect import Device
from edge_sleep.model.known_shapes import KNOWN
from edge_sleep.train.capacity import NOMINAL, SYSTEM_BYTES, largest

CPU = Device("cpu", "cpu", "float32", "as in a test")
GIB = 2**30


def asked(board, available=16 * GIB, config=Config(), device=CPU, cores=2):  # noqa: B008 - frozen
    return largest(config, board, device, available_bytes=available, cores=cores, libc="glibc")


@pytest.mark.parametrize("name", profile.shipped())
def test_every_shipped_board_has_an_answer_that_fits_and_says_why_no_larger(name):
    board = profile.load(name)
    found = asked(board)
    names = list(KNOWN)
    said = {model: (int(mebibytes), int(seconds)) for model, mebibytes, seconds in
            re.findall(r"(\S+) takes (\d+) MiB and (\d+) s", found["reason"])}
    room = (board.memory_bytes - SYSTEM_BYTES if board.memory_bytes else 16 * GIB) / 2**20
    time = Budget().time * (1 - Budget().reserve)
    fits = {model: mebibytes <= room and seconds <= time for model, (mebibytes, seconds) in said.items()}
    place = names.index(found["value"]) + 1 if found["value"] != "none" else 0
    assert fits == {**({names[place - 1]: True} if place else {}), **({names[place]: False} if place < len(names) else {})}
    assert f"{NOMINAL.examples} examples of {NOMINAL.tokens} tokens, {NOMINAL.epochs} epochs" in found["reason"]


def test_an_orin_nano_trains_more_than_half_a_billion_and_less_than_fourteen():
    assert asked(profile.load("orin-nano-8gb"))["value"] in ("qwen2.5-1.5b", "qwen2.5-3b")


def test_more_memory_or_more_speed_is_never_a_smaller_model():
    board = profile.load("orin-nano-8gb")
    names = ["none", *KNOWN]
    for key, values in (("memory_bytes", [gib * GIB for gib in (1, 2, 4, 8, 16, 32, 64)]),
                        ("training_flops_per_second", [1e11, 1e12, 1e13, 1e14])):
        places = [names.index(asked(board.model_copy(update={key: value}))["value"]) for value in values]
        assert places == sorted(places) and places[0] < places[-1], key


def test_a_board_without_known_memory_answers_for_this_machine():
    board = profile.load("cpu")
    assert asked(board, cores=64)["value"] != "none" and "16384 MiB are available" in asked(board)["reason"]
    assert asked(board, available=GIB // 2, cores=64)["value"] == "none"


def test_tables_in_int8_let_a_larger_model_in():
    """Fast enough for 7 B, whose untied embedding and head are 2 GiB in bfloat16."""
    board = profile.load("orin-nano-8gb").model_copy(update={"training_flops_per_second": 3e12})
    found = {form: asked(board, config=Config.model_validate({"companion": {"embedding": form}}))["value"] for form in ("full", "int8", "auto")}
    assert found == {"full": "qwen2.5-3b", "int8": "qwen2.5-7b", "auto": "qwen2.5-7b"}


def test_a_memory_budget_counts_and_a_longer_budget_of_tonight_does_not():
    board = profile.load("orin-nano-8gb")
    assert asked(board, config=Config.model_validate({"budget": {"memory_bytes": GIB}}))["value"] == "none"
    assert asked(board, config=Config.model_validate({"budget": {"time": "9h"}})) == asked(board)


@pytest.mark.parametrize(("name", "parameters"), [
    ("qwen2.5-0.5b", 0.494e9), ("qwen2.5-1.5b", 1.544e9), ("qwen2.5-3b", 3.086e9), ("qwen2.5-7b", 7.616e9), ("qwen2.5-14b", 14.770e9)])
def test_known_shapes_have_the_published_number_of_parameters(name, parameters):
    shape = KNOWN[name]
    kv = shape.kv_heads * shape.head_size
    biases_and_norms = shape.layers * (shape.heads * shape.head_size + 2 * kv + 2 * shape.hidden) + shape.hidden
    assert shape.linear_parameters + shape.embedding_parameters + biases_and_norms == pytest.approx(parameters, rel=5e-4)
