"""The struct of a call's arguments as its caller gives them."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import msgspec
import pytest

from leveret import Meta, Service, method
from leveret.codec import JSON, MSGPACK, method_codec
from leveret.contract import given_arguments, given_struct, spec_of


class Search(Service):
    """Methods with defaults of all kinds."""

    @method
    async def find(self, words: str, limit: Annotated[int, Meta(ge=1)] = 10) -> list[str]:
        return [words] * limit

    @method
    async def tagged(self, tags: list[str] = ["a"], *, exact: bool = False) -> None:  # noqa: B006
        """A mutable default, and one by keyword only."""

    @method
    async def page(self, number: int = 1) -> int:
        return number

    @method
    async def plain(self, words: str) -> str:
        return words


METHODS = spec_of(Search).methods


def given(name: str) -> type[msgspec.Struct]:
    return given_struct(METHODS[name].parameters)


def encoded(name: str, content_type: str, *args: Any, **kwargs: Any) -> Any:
    """What travels."""
    codec = method_codec(content_type, given(name), None)
    body = codec.encode_arguments(given(name)(*args, **kwargs))
    module: Any = msgspec.json if content_type == JSON else msgspec.msgpack
    return module.decode(body)


@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_what_is_left_out_does_not_travel_and_what_is_given_does(content_type: str) -> None:
    for _ in range(2):  # the second time without a check
        assert encoded("find", content_type, "hare") == {"words": "hare"}
        assert encoded("find", content_type, "hare", 10) == {"words": "hare", "limit": 10}
        assert encoded("tagged", content_type) == {}
        assert encoded("tagged", content_type, exact=False) == {"exact": False}
        assert encoded("page", content_type) == {}
        assert encoded("page", content_type, 1) == {"number": 1}


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("find", ("hare", 0), ">= 1"),
        ("find", (7,), "Expected `str`"),
        ("find", (msgspec.UNSET,), "missing required field"),
        ("page", ("1",), "Expected `int`"),
        ("plain", (msgspec.UNSET,), "missing required field"),
    ],
)
def test_what_is_given_is_checked_as_ever(name: str, args: tuple[Any, ...], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        encoded(name, JSON, *args)


def test_the_struct_is_called_like_the_method() -> None:
    kinds = [
        [(p.name, p.kind, p.annotation) for p in inspect.signature(struct).parameters.values()]
        for struct in (METHODS["tagged"].parameters, given("tagged"))
    ]
    assert kinds[0] == kinds[1]
    with pytest.raises(TypeError, match="Unexpected keyword argument"):
        given("find")(word="hare")
    with pytest.raises(TypeError, match="words"):
        given("find")()


def test_a_method_without_defaults_has_one_struct_for_both_ends() -> None:
    assert given("plain") is METHODS["plain"].parameters
    assert given("find") is given("find")


def test_the_given_arguments_are_told_by_name() -> None:
    assert given_arguments(given("tagged")(exact=True)) == {"exact": True}
