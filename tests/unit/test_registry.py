from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal, Protocol

import pytest

from contract.errors import ConfigError
from contract.registry import Registry


class Shape(Protocol):
    name: ClassVar[str]

    def area(self) -> float: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    name: ClassVar[str] = "square"
    side: float = 1.0

    def area(self) -> float:
        return self.side**2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Polygon:
    name: ClassVar[str] = "polygon"
    corners: tuple[int, ...] = (0, 1, 2)
    kind: Literal["convex", "concave"] = "convex"
    num_sides: int = 3
    label: str | None = None

    def __post_init__(self) -> None:
        if self.num_sides < 3:
            raise ValueError("num_sides must be at least 3")

    def area(self) -> float:
        return 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    name: ClassVar[str] = "dot"

    def area(self) -> float:
        return 0.0


SHAPES = Registry[Shape]("shape", Square, Polygon, Dot)


def _problems(name: str, options: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        SHAPES.build(name, options)
    return "\n".join(caught.value.problems)


def test_a_name_leads_to_its_member() -> None:
    assert SHAPES.get("square") is Square


def test_options_are_built_into_the_member() -> None:
    assert SHAPES.build("square", {"side": 3}) == Square(side=3.0)


def test_every_option_may_be_left_out() -> None:
    assert SHAPES.build("polygon") == Polygon()


def test_a_list_becomes_a_tuple() -> None:
    assert SHAPES.build("polygon", {"corners": [4, 5]}) == Polygon(corners=(4, 5))


def test_members_keep_their_order() -> None:
    assert SHAPES.names == ("square", "polygon", "dot")
    assert list(SHAPES) == [Square, Polygon, Dot]


def test_a_registry_is_counted_and_searched() -> None:
    assert len(SHAPES) == 3
    assert "dot" in SHAPES
    assert "line" not in SHAPES


def test_an_unknown_name_suggests_the_nearest_and_lists_the_known() -> None:
    assert _problems("sqare", {}) == "unknown shape 'sqare'; did you mean square? known: square, polygon, dot"


def test_an_unknown_option_suggests_the_nearest() -> None:
    assert _problems("square", {"sid": 1}) == (
        "shape square: option sid: unknown option; did you mean side? known: side"
    )


def test_an_option_of_a_member_without_any_is_named() -> None:
    assert _problems("dot", {"size": 1}) == "shape dot: option size: unknown option; known: none"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("num_sides", "4", "must be a whole number, not the text '4'; remove the quotes"),
        ("num_sides", 4.5, "must be a whole number, not 4.5"),
        ("num_sides", True, "must be a whole number, not true"),
        ("kind", "convx", "must be one of convex, concave, not the text 'convx'; did you mean convex?"),
        ("label", 5, "must be text, not 5; put it in quotes"),
        ("corners", ["a"], "must be a list, each item a whole number, not the list [a]"),
        ("corners", 3, "must be a list, each item a whole number, not 3"),
        ("num_sides", object(), "must be a whole number, not a value of type object"),
    ],
)
def test_an_ill_typed_option_is_named(option: str, value: object, said: str) -> None:
    assert _problems("polygon", {option: value}) == f"shape polygon: option {option}: {said}"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_option_is_finite(value: float) -> None:
    assert "option side: must be a number" in _problems("square", {"side": value})


def test_all_ill_options_are_told_at_once() -> None:
    assert len(_problems("polygon", {"num_sides": "x", "kind": 3, "colour": 1}).splitlines()) == 3


def test_what_the_member_itself_refuses_is_a_config_error() -> None:
    assert _problems("polygon", {"num_sides": 2}) == "shape polygon: num_sides must be at least 3"


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two shapes are named square: Square, Square"):
        Registry[Shape]("shape", Square, Square)


def test_a_member_that_can_change_is_refused() -> None:
    @dataclasses.dataclass
    class Soft:
        name: ClassVar[str] = "soft"

        def area(self) -> float:
            return 0.0

    with pytest.raises(TypeError, match="shape Soft must be a frozen dataclass"):
        Registry[Shape]("shape", Soft)


def test_a_member_that_only_inherits_its_dataclass_is_refused() -> None:
    class Heir(Square):
        name: ClassVar[str] = "heir"

    with pytest.raises(TypeError, match="shape Heir must be a frozen dataclass"):
        Registry[Shape]("shape", Heir)


def test_an_option_without_a_default_is_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class Needy:
        name: ClassVar[str] = "needy"
        side: float

        def area(self) -> float:
            return self.side

    with pytest.raises(TypeError, match="option side needs a default"):
        Registry[Shape]("shape", Needy)


@pytest.mark.parametrize("name", ["Square", "", "two words", "9lives"])
def test_a_name_that_cannot_stand_in_a_file_is_refused(name: str) -> None:
    member: type[Any] = dataclasses.dataclass(frozen=True)(type("Odd", (), {"name": name}))
    with pytest.raises(TypeError, match="needs a ClassVar `name`"):
        Registry[Shape]("shape", member)


def test_a_name_that_an_option_could_change_is_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class Renamed:
        name: str = "renamed"

    with pytest.raises(TypeError, match="`name` must be a ClassVar"):
        Registry("shape", Renamed)  # type: ignore[type-var]
