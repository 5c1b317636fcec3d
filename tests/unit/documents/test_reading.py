"""The description of a service as what a document tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from leveret import ContractError, service_schema
from leveret.documents import Member, Server, read_page
from tests.unit.asyncapi.services import Depot, Shop

PAGE = read_page(service_schema(Shop))
METHODS = {method.name: method for method in PAGE.methods}


def test_a_service_is_its_methods_and_types() -> None:
    assert (PAGE.name, PAGE.about) == ("shop", "Sells items.")
    assert list(METHODS) == list(Shop.__leveret__.methods)
    assert [kind.name for kind in PAGE.types] == [
        *("Cat", "Color", "Dog", "Item", "Order", "Pair", "Size")
    ]
    assert PAGE.servers is None
    assert read_page(service_schema(Depot), [Server(instance="1", name="a")]).servers


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("watch", "async def watch(self, after: int) -> AsyncIterator[Item]"),
        ("put", "async def put(self, name: str, items: AsyncIterator[bytes]) -> int"),
        ("turn", "async def turn(self, *, items: AsyncIterator[int]) -> AsyncIterator[int]"),
        ("buy", "async def buy(self, order: Order) -> Order | None"),
        ("scale", "async def scale(self, values: numpy.ndarray) -> numpy.ndarray"),
        ("note", "async def note(self, line: str) -> None"),
    ],
)
def test_a_signature_is_python(name: str, signature: str) -> None:
    assert METHODS[name].signature == signature


def test_a_long_signature_has_several_lines() -> None:
    assert METHODS["order"].signature.splitlines() == [
        "async def order(",
        "    self,",
        "    item: Item,",
        "    count: int = 1,",
        "    *,",
        "    color: Color = 'red',",
        "    at: date | None = None,",
        ") -> Item",
    ]


def test_an_argument_after_one_that_can_be_left_out_goes_by_keyword() -> None:
    described = service_schema(Depot)
    arguments = described["methods"]["weigh"]["arguments"]
    arguments["properties"] = {"a": {"type": "integer"}, "b": {"type": "integer"}}
    arguments["required"] = ["b"]
    (method,) = read_page(described).methods
    assert method.signature == "async def weigh(self, a: int = ..., *, b: int) -> float"


def test_parameters_have_bounds_defaults_and_words() -> None:
    _, count, color, _ = METHODS["order"].parameters
    assert count == Member(name="count", type="int", bounds="at least 1, below 100", default="1")
    assert color.default == "'red'"
    assert METHODS["pets"].parameters[5].bounds == "each above 0"
    types = {kind.name: kind for kind in PAGE.types}
    assert types["Item"].about == "What is sold."
    assert types["Item"].members[0] == Member(
        name="sku", type="str", bounds="1 to 20 characters", about="Its name in stock"
    )
    assert types["Color"].values == ("'blue'", "'red'")
    assert [member.name for member in types["Pair"].members] == ["0", "1"]
    assert [member.default for member in types["Pair"].members] == [None, "'r'"]
    assert [member.name for member in types["Order"].members] == ["count", "at"]


def test_errors_options_and_types_belong_to_their_method() -> None:
    order = METHODS["order"]
    assert [(error.name, error.code) for error in order.errors] == [
        ("OutOfStock", "OUT_OF_STOCK"),
        ("Closed", "CLOSED"),
    ]
    assert order.types == ("Color", "Item")
    assert METHODS["buy"].types == ("Order",)
    options = dict(order.options)
    assert options["timeout"] == "3 s"
    assert options["retry"].startswith("attempts 4")
    assert options["hedge"].startswith("after 0.2")
    assert options["queue"] == (
        "leveret.shop.order, quorum, at most 50 requests wait, deleted after 60 s without a server"
    )
    assert dict(METHODS["pets"].options)["retry"] == "not tried again"
    assert (
        dict(METHODS["shout"].options)["queue"] == "leveret.shop.shout, classic, priorities 0 to 5"
    )
    assert {"one way", "keep failed"} <= dict(METHODS["note"].options).keys()
    assert "resume" in dict(METHODS["watch"].options)
    assert METHODS["watch"].streams


def test_that_servers_take_started_calls_is_an_option_of_each_method() -> None:
    (method,) = read_page({**service_schema(Depot), "starts": True}).methods
    assert "started calls" in dict(method.options)
    assert "started calls" not in dict(METHODS["order"].options)


@pytest.mark.parametrize(
    "description",
    [{}, {"service": "a", "methods": {"b": {}}}, {"service": "a", "methods": [1]}],
)
def test_what_is_no_description_is_an_error(description: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="cannot be read"):
        read_page(description)


def test_an_error_without_a_name_has_that_of_its_code() -> None:
    described = service_schema(Depot)
    described["methods"]["weigh"]["errors"] = {"GONE": {}}
    described["methods"]["weigh"]["timeout"] = "long"
    (method,) = read_page(described).methods
    assert (method.errors[0].name, method.errors[0].members) == ("GONE", ())
    assert dict(method.options)["timeout"] == "long"
