"""Records of our own decorator are what Python's decorator makes of the same class."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any

import pytest

from cio_etl.model.records import dataclass as ours

SECRET = "hidden"


def members() -> dict[str, Any]:
    return {
        "__module__": __name__,
        "__annotations__": {"name": "str", "sizes": "list[int]", "place": "int", "secret": "str", "last": "bool"},
        "sizes": field(default_factory=list),
        "place": field(default=7, compare=False),
        "secret": field(default=SECRET, repr=False),
        "last": field(default=False, kw_only=True),
    }


@ours(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2


@ours(frozen=True, slots=True)
class Named(Point):
    name: str = "origin"

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x")


@ours(frozen=True, slots=True)
class Alone:
    value: float


@ours(frozen=True, slots=True)
class Nothing:
    pass


@ours(frozen=True, slots=True, eq=False)
class Identical:
    x: int


@ours(frozen=True, slots=True, kw_only=True)
class ByName:
    x: int


def both() -> tuple[Any, Any]:
    theirs = dataclasses.dataclass(frozen=True, slots=True)
    return ours(frozen=True, slots=True)(type("Record", (), members())), theirs(type("Record", (), members()))


def test_a_record_is_made_shown_and_compared_as_pythons_own() -> None:
    mine, theirs = both()
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (("a",), {}),
        (("a", [1], 8, "s"), {"last": True}),
        ((), {"name": "b", "secret": "t"}),
    ]
    for arguments, named in calls:
        left, right = mine(*arguments, **named), theirs(*arguments, **named)
        assert repr(left) == repr(right) and SECRET not in repr(left)
        assert dataclasses.asdict(left) == dataclasses.asdict(right)
        assert dataclasses.asdict(dataclasses.replace(left, name="c")) == dataclasses.asdict(left) | {"name": "c"}
        assert [each.name for each in dataclasses.fields(left)] == [each.name for each in dataclasses.fields(right)]
    assert mine("a") == mine("a", place=8) and mine("a") != mine("b") and mine("a") != theirs("a")
    assert mine("a").sizes is not mine("a").sizes
    assert (mine.__match_args__, mine.__slots__) == (theirs.__match_args__, theirs.__slots__)


def test_a_wrong_argument_is_refused() -> None:
    wrongs: list[Callable[[], Any]] = [
        lambda: Point(),  # type: ignore[call-arg]
        lambda: Point(1, 2, 3),  # type: ignore[call-arg]
        lambda: Point(1, z=2),  # type: ignore[call-arg]
        lambda: ByName(1),  # type: ignore[call-arg]
    ]
    for wrong in wrongs:
        for _ in range(2):  # before the first record of the class, and after
            with pytest.raises(TypeError):
                wrong()
        Point(1)
        ByName(x=1)


def test_a_record_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises((AttributeError, TypeError)):
        point.z = 2  # type: ignore[attr-defined]
    assert point == Point(1, 2)


def test_a_record_inherits_members_and_checks_them() -> None:
    assert repr(Named(1, name="a")) == "Named(x=1, y=2, name='a')"
    assert Named(1) != Point(1) and Named(1) == Named(1, 2, "origin")
    with pytest.raises(ValueError, match="x"):
        Named(-1)


def test_records_are_keys() -> None:
    assert {Point(1): "a", Alone(1.5): "b", Nothing(): "c"}[Alone(1.5)] == "b"
    assert hash(Point(1)) == hash(Point(1, 2)) and hash(Nothing()) == hash(Nothing()) and Nothing() == Nothing()
    not_a_number = float("nan")
    assert Alone(not_a_number) == Alone(not_a_number)
    assert Identical(1) != Identical(1)


def test_a_record_is_copied_and_pickled() -> None:
    named = Named(1, 3, "a")
    for copied in (pickle.loads(pickle.dumps(named)), copy.copy(named), copy.deepcopy(named)):
        assert copied == named and copied.name == "a"
