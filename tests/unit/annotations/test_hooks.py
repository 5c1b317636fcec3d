"""Hooks, and where they hold in an annotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from leveret.annotations import (
    Hook,
    hooks_of,
    idle_hooks,
    merged,
    of_pydantic,
    with_hooks,
    without_hooks,
)


class Money:
    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("it is empty")
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class Basket:
    pass


def written(money: Money) -> str:
    return money.text


TEXT = Hook(Money, str, encode=written, decode=Money)
BOUNDED = Hook(Money, Annotated[str, msgspec.Meta(max_length=3)], encode=written, decode=Money)
BASKET = Hook(Basket, list[Money], encode=lambda _: [], decode=lambda _: Basket())


@dataclass
class Both:
    one: Annotated[Money, BOUNDED]
    other: Money


@dataclass
class Bounded:
    one: Annotated[Money, BOUNDED]


class Model(BaseModel):
    price: Annotated[Money, BOUNDED]
    others: list[Annotated[Money, TEXT]] = []


def test_a_hook_says_what_it_is_of_and_what_travels() -> None:
    assert repr(TEXT) == "Hook(Money, str)"
    assert repr(BASKET).startswith("Hook(Basket, list[")


@pytest.mark.parametrize(
    ("decode", "said"),
    [
        (Money, "Invalid `Money`: it is empty"),
        (lambda _: {"USD": 1}["EUR"], "Invalid `Money`: KeyError: 'EUR'"),
        (lambda _: next(iter(())), "Invalid `Money`: StopIteration"),
        (lambda _: int("a" * bool(_)), "Invalid `Money`: invalid literal"),
        (lambda _: 3, "the decode hook of `Money` gave `int`"),
    ],
)
def test_whatever_a_decode_hook_raises_is_a_value_error(decode: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Hook(Money, str, encode=written, decode=decode).read("")


def test_whatever_an_encode_hook_raises_is_a_value_error_that_says_so() -> None:
    said = "the encode hook of `Money` raised AttributeError: 'int' object"
    with pytest.raises(ValueError, match=said):
        TEXT.write(3)  # type: ignore[arg-type]


def test_the_hooks_of_an_annotation_are_all_inside_it() -> None:
    assert hooks_of(list[int]) == {}
    assert hooks_of(list[Annotated[Money, TEXT]] | None) == {Money: TEXT}
    assert hooks_of(Bounded) == {Money: BOUNDED}
    assert hooks_of(Annotated[Basket, BASKET]) == {Basket: BASKET}
    nested: Any = Hook(Basket, list[Annotated[Money, TEXT]], encode=list, decode=list)
    assert hooks_of(Annotated[Basket, nested]) == {Basket: nested, Money: TEXT}
    with pytest.raises(TypeError, match="two hooks for Money, Hook"):
        hooks_of(dict[str, Annotated[Money, TEXT]] | Annotated[Money, BOUNDED])
    assert merged([TEXT, TEXT]) == {Money: TEXT}


def test_those_of_a_service_hold_where_their_types_are() -> None:
    assert with_hooks(list[int], [TEXT]) == list[int]
    assert with_hooks(list[Money], [TEXT, BASKET]) == Annotated[list[Money], TEXT]
    assert with_hooks(Basket, [TEXT, BASKET]) == Annotated[Basket, BASKET, TEXT]
    assert hooks_of(with_hooks(Both, [BOUNDED])) == {Money: BOUNDED}


def test_people_read_an_annotation_without_the_hooks_around_it() -> None:
    assert without_hooks(with_hooks(list[Money], [TEXT])) == list[Money]
    assert (
        without_hooks(with_hooks(Annotated[Money, "a note"], [TEXT])) == Annotated[Money, "a note"]
    )
    assert without_hooks(list[int]) == list[int]


def test_one_in_a_place_comes_before_that_of_the_service() -> None:
    assert hooks_of(with_hooks(Annotated[Money, BOUNDED], [TEXT])) == {Money: BOUNDED}
    assert hooks_of(with_hooks(Annotated[list[Money], BOUNDED], [TEXT])) == {Money: BOUNDED}
    assert hooks_of(with_hooks(Bounded, [TEXT])) == {Money: BOUNDED}
    with pytest.raises(TypeError, match="in one place of it, and .* of the service in another"):
        with_hooks(Both, [TEXT])


def test_a_hook_where_its_type_is_not_is_idle() -> None:
    assert list(idle_hooks(Annotated[list[Money], TEXT])) == []
    assert list(idle_hooks(Annotated[Basket, BASKET, TEXT])) == []
    assert list(idle_hooks(list[Annotated[int, TEXT]])) == [TEXT]


def test_pydantic_reads_and_writes_by_a_hook_in_a_model() -> None:
    assert of_pydantic(Model)
    assert not of_pydantic(Annotated[Money, TEXT])
    model = Model.model_validate_json('{"price":"abc","others":["d"]}')
    assert model == Model(price=Money("abc"), others=[Money("d")])
    assert model.model_dump_json() == '{"price":"abc","others":["d"]}'
    price = Model.model_json_schema()["properties"]["price"]
    assert price == {"maxLength": 3, "title": "Price", "type": "string"}
    with pytest.raises(ValidationError, match="length <= 3"):
        Model.model_validate_json('{"price":"abcd"}')
    with pytest.raises(ValidationError, match="Invalid `Money`: it is empty"):
        Model.model_validate_json('{"price":""}')


def test_pydantic_is_given_the_hooks_of_a_service_beside_their_types() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(with_hooks(dict[str, Model | Money | int], [TEXT]))
    assert adapter.validate_json('{"a":"b","c":3}') == {"a": Money("b"), "c": 3}
    assert adapter.dump_json({"a": Money("b"), "c": 3}) == b'{"a":"b","c":3}'
    own = list[Annotated[Money, BOUNDED] | Model]
    assert with_hooks(own, [TEXT]) == own


def test_pydantic_refuses_a_hook_that_it_cannot_read() -> None:
    class Place(msgspec.Struct):
        x: int

    hook = Hook(Basket, Place, encode=lambda _: Place(1), decode=lambda _: Basket())
    with pytest.raises(TypeError, match="is for Basket, and stands at list"):
        TypeAdapter(Annotated[list[Basket], hook])
    with pytest.raises(TypeError, match="what travels may have no class with fields inside"):
        TypeAdapter(Annotated[Basket, hook]).json_schema()
