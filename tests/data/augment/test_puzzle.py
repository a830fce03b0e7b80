"""Grids: the eight symmetries are a group, every transform can be undone, and both sides change alike or not at all."""
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.data.augment import puzzle
from edge_sleep.data.augment.puzzle import DIHEDRAL, read, recolour, shift, transformed

grids = st.integers(2, 6).flatmap(lambda columns: st.lists(
    st.lists(st.integers(0, 9), min_size=columns, max_size=columns).map(tuple), min_size=2, max_size=6).map(tuple))
ASYMMETRIC = ((1, 2, 3), (4, 5, 6))
colours = st.permutations(range(10)).map(tuple)
WRITERS = {"compact": lambda grid: json.dumps(grid, separators=(",", ":")), "json": json.dumps,
           "rows": lambda grid: "[" + ",\n ".join(json.dumps(row) for row in grid) + "]",
           "digits": lambda grid: "\n".join("".join(map(str, row)) for row in grid),
           "spaced": lambda grid: "\n".join("  " + " ".join(map(str, row)) for row in grid)}
writers = st.sampled_from(sorted(WRITERS)).map(WRITERS.get)


def test_the_eight_are_closed_and_each_has_its_inverse():
    seen = {name: turn(ASYMMETRIC) for name, turn in DIHEDRAL.items()}
    assert len(DIHEDRAL) == 8 == len(set(seen.values()))
    for first in DIHEDRAL.values():
        products = {second(first(ASYMMETRIC)) for second in DIHEDRAL.values()}
        assert products == set(seen.values()), "closed, and ASYMMETRIC itself among them: an inverse exists"


@given(grids)
def test_group_laws_hold_on_every_grid(grid):
    r90, flip = DIHEDRAL["rotate90"], DIHEDRAL["flip+rotate0"]
    assert r90(r90(r90(r90(grid)))) == grid == flip(flip(grid)) == puzzle.transpose(puzzle.transpose(grid))
    assert flip(r90(flip(grid))) == DIHEDRAL["rotate270"](grid)
    for first in DIHEDRAL.values():
        for second in DIHEDRAL.values():
            assert any(third(grid) == second(first(grid)) for third in DIHEDRAL.values())


@given(grids, colours)
def test_colours_come_back(grid, permutation):
    inverse = tuple(permutation.index(colour) for colour in range(10))
    assert recolour(recolour(grid, permutation), inverse) == grid


@given(grids, st.integers(-3, 3), st.integers(-3, 3))
def test_a_shift_loses_nothing_and_comes_back(grid, down, right):
    moved = shift(grid, down, right)
    cells = sorted(cell for row in grid for cell in row if cell)
    if moved is None:
        assert any(cell and not (0 <= y + down < len(grid) and 0 <= x + right < len(grid[0]))
                   for y, row in enumerate(grid) for x, cell in enumerate(row))
    else:
        assert sorted(cell for row in moved for cell in row if cell) == cells and shift(moved, -down, -right) == grid


@given(st.lists(st.tuples(grids, writers), min_size=1, max_size=3))
def test_reading_and_writing_is_the_same_text(parts):
    text = "Look:\n" + "\nand\n".join(write(grid) for grid, write in parts) + "\nEnd."
    found = read(text)
    assert found.grids == tuple(grid for grid, _ in parts) and found.with_grids(list(found.grids)) == text


@given(st.text(max_size=120))
def test_any_text_survives_reading(text):
    found = read(text)
    assert found.with_grids(list(found.grids)) == text


@pytest.mark.parametrize("text", ["[1, 2, 3]", "[[1, 2], [3]]", "[[1, 12], [3, 4]]", "In 2024 I was 31.\nIn 2025 I am 32.", "[[1]]",
                                  "My number is 12 34", "[[[1, 2], [3]]]", "12 345\n67 890", "[[1,2], [3,4]]"])
def test_what_only_looks_like_a_grid_is_text(text):
    assert read(text).grids == ()


def test_a_list_of_grids_is_several():
    assert read("[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]").grids == (((1, 2), (3, 4)), ((5, 6), (7, 8)))


@given(grids, grids, writers, st.integers(0, 8), st.integers(0, 3))
def test_question_and_answer_change_alike(first, second, write, n, seed):
    prompt, response = f"Input:\n{write(first)}\nOutput:", write(second)
    made = transformed(prompt, response, n, seed)
    assert made == transformed(prompt, response, n, seed) and len(made) <= n
    assert len({(one.prompt, one.response) for one in made}) == len(made)
    for one in made:
        kind, name = one.move.removeprefix("puzzle:").partition(":")[::2]
        if kind in DIHEDRAL:
            change = DIHEDRAL[kind]
        elif kind == "recolour":
            change = lambda grid, name=name: recolour(grid, (0, *map(int, name)))  # noqa: E731
        else:
            down, right = map(int, name.split(","))
            change = lambda grid, down=down, right=right: shift(grid, down, right)  # noqa: E731
        assert read(one.prompt).grids == (change(first),) and read(one.response).grids == (change(second),)
        assert re.sub(r"[\d\s,\[\]]", "", one.prompt) == "Input:Output:"


SQUARE = "[[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 1, 0], [0, 0, 0, 0]]"
OTHER = "[[0, 0, 0, 0], [0, 2, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]"


@pytest.mark.parametrize(("text", "kinds"), [
    ("What comes out?", {"turn", "recolour", "shift"}), ("Example 1, input 2:", {"turn", "recolour", "shift"}),
    ("Move it to the right.", {"recolour"}), ("Paint the red cells.", {"turn", "shift"}), ("Replace 1 by 2.", {"shift"}),
    ("Mark the centre.", {"turn", "recolour"}), ("Rotate it and make it blue.", set())])
def test_what_the_text_names_is_left_alone(text, kinds):
    made = transformed(f"{text}\n{SQUARE}", OTHER, 200, 0)
    names = {one.move.split(":")[1] for one in made}
    assert {"turn" if name in DIHEDRAL else name for name in names} == kinds


def test_a_wall_of_brackets_is_no_puzzle_and_takes_no_time():
    assert read("[[" * 500_000).grids == () and read("[[" * 9_000).grids == ()


def test_a_puzzle_has_a_grid_on_both_sides():
    assert transformed(f"How many cells are filled?\n{SQUARE}", "Two.", 5, 0) == [] and not puzzle.is_puzzle(SQUARE, "Two.")
