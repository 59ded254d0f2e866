"""What a field may hold, by its annotation: each kind accepted and refused, by the field's name and its value."""

import math
import re
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, ClassVar, Literal

import pytest

from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.diffusion.validate import (
    Positive,
    Proportion,
    Range,
    check_choice,
    check_count,
    check_number,
    check_text,
    validate,
)


def having(kind, value):
    """An object with one field of this kind and value."""
    return make_dataclass("Something", [("it", kind)])(value)


ACCEPTED = [
    (float, [0.0, -3.5, 7, 1e300]),
    (int, [0, 3, 10**12]),
    (bool, [True, False]),
    (str, ["", "red"]),
    (Literal["t", "s"], ["t", "s"]),
    (Positive, [1, 5]),
    (Proportion, [0, 0.5, 1.0]),
    (Annotated[float, Range(1)], [1, 1e9]),
    (Annotated[int, Range(2)], [2, 3]),
    (int | None, [None, 0, 4]),
    (float | None, [None, -1.5]),
    (Annotated[float, Range(0.001)] | None, [None, 0.001]),
    (Literal["t", "s"] | None, [None, "s"]),
    (DDIM, [DDIM()]),
    (EulerAncestral | None, [None, EulerAncestral()]),
    (tuple[float, ...], [(1.0,), "anything"]),  # not looked at
    (int | str, [3, "three", 1.5]),  # nor is a choice of kinds
    (Any, [b"anything"]),
]

REFUSED = [
    (float, ["1", None, True, math.nan, math.inf, [1.0]], "must be a finite number"),
    (int, [-1, 1.0, "1", None, True], "must be a whole number of at least 0"),
    (bool, [0, 1, "yes", None], "must be true or false"),
    (str, [3, None, True], "must be a text; quote it"),
    (Literal["t", "s"], ["u", None, 0], "is not known; known are t, s"),
    (Positive, [0, -1, 1.5, None, True], "must be a whole number of at least 1"),
    (Annotated[int, Range(2)], [1, 2.0], "must be a whole number of at least 2"),
    (Proportion, [-0.1, 1.1], "lies outside 0..1"),
    (Proportion, ["half", None, False, math.nan], "must be a finite number"),
    (Annotated[float, Range(1)], [0.99, -5], "must be at least 1"),
    (int | None, [-1, "1", 2.5, False], "must be a whole number of at least 0"),
    (Annotated[float, Range(0.001)] | None, [0.0], "must be at least 0.001"),
    (Annotated[float, Range(0.001)] | None, ["0.1"], "must be a finite number"),
    (Literal["t", "s"] | None, ["u"], "is not known; known are t, s"),
    (DDIM, [None, "ddim", EulerAncestral()], "must be a DDIM"),
    (EulerAncestral | None, [DDIM(), "euler"], "must be a EulerAncestral"),
]


def rows(table):
    return [(kind, value, *rest) for kind, values, *rest in table for value in values]


@pytest.mark.parametrize(("kind", "value"), rows(ACCEPTED), ids=repr)
def test_what_an_annotation_allows_is_accepted(kind, value):
    validate(having(kind, value), "solver")


@pytest.mark.parametrize(("kind", "value", "message"), rows(REFUSED), ids=repr)
def test_anything_else_is_refused_by_its_group_its_field_and_its_value(kind, value, message):
    with pytest.raises(ValueError, match=f"^{re.escape(f'solver.it={value!r} {message}')}$"):
        validate(having(kind, value), "solver")


def test_a_whole_number_is_held_to_its_upper_bound_too():
    capped = Annotated[int, Range(1, 3)]
    validate(having(capped, 3), "solver")
    with pytest.raises(ValueError, match=re.escape("solver.it=4 lies outside 1..3")):
        validate(having(capped, 4), "solver")


def test_a_key_of_its_own_is_named_alone_and_without_its_underscore():
    keys = frozenset(("lambda_", "gamma1"))
    made = make_dataclass("Something", [("lambda_", int), ("gamma1", float), ("eta_", int)])
    for values, name in (
        ((-1, 1.0, 1), "lambda=-1 "),
        ((1, "x", 1), "gamma1='x' "),
        ((1, 1.0, -1), "sampler.eta_=-1 "),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(name)}"):
            validate(made(*values), "sampler", keys)


def test_fields_that_no_one_sets_are_not_looked_at():
    @dataclass
    class Something:
        version: ClassVar[int] = -1
        made: int = field(init=False, default=-1)
        told: int = 0

    validate(Something(), "solver")
    with pytest.raises(ValueError, match=r"^solver\.told=-1 "):
        validate(Something(told=-1), "solver")


def test_every_room_names_its_own_group():
    with pytest.raises(ValueError, match=r"^solver\.eta=2 lies outside 0\.\.1$"):
        EulerAncestral(eta=2)
    with pytest.raises(ValueError, match=r"^lambda=-1 must be a whole number of at least 0$"):
        Zigzag(lambda_=-1)
    with pytest.raises(ValueError, match=r"^network_time='u' is not known; known are t, s, even$"):
        Zigzag(network_time="u")


@pytest.mark.parametrize(
    ("check", "values", "message"),
    [
        (check_count, (3, 4), "n=3 must be a whole number of at least 4"),
        (check_number, (3, 4), "n=3 must be at least 4"),
        (check_number, (3, 0, 1), "n=3 lies outside 0..1"),
        (check_choice, ("c", ("a", "b")), "n='c' is not known; known are a, b"),
        (check_text, (3,), "n=3 must be a text; quote it"),
    ],
)
def test_single_checks_say_the_same(check, values, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check("n", *values)


def test_single_checks_accept_their_bounds():
    check_count("n", 4, 4)
    check_number("n", 0, 0, 1)
    check_number("n", 1, 0, 1)
    check_choice("n", "a", ("a", "b"))
    check_text("n", None)
    check_text("n", "")
