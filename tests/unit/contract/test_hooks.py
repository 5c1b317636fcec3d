"""The hooks of a service: judged when its class is defined, inherited, and part of its contract."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from types import new_class
from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import BaseModel

from leveret import DeclaredError, Hook, Service, method, service_schema
from leveret.contract import fingerprint, spec_of
from leveret.errors import ContractError

T = TypeVar("T")


class Money:
    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("it is empty")
        self.text = text


class Cents:
    pass


@dataclass
class Known:
    x: int


class Model(BaseModel):
    x: int


class Box(Generic[T]):
    pass


def written(money: Money) -> str:
    return money.text


async def too_late(text: str) -> Money:
    return Money(text)


def hook(kind: Any, wire: Any = str, decode: Any = str) -> Hook[Any]:
    return Hook(kind, wire, encode=str, decode=decode)


NDARRAY = type("ndarray", (), {"__module__": "numpy"})
"""A class is known by its name as one that the extra `arrow` is about."""
TEXT = Hook(Money, str, encode=written, decode=Money)
OTHER = Hook(Money, int, encode=lambda _: 1, decode=lambda found: Money(str(found)))


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (TEXT, r"Shop: types is Hook\(Money, str\); write a list"),
        ("Money", "Shop: types is 'Money'; write a list"),
        (None, "Shop: types is None; write a list"),
        ([Money], "Shop: types has <class .*Money'>, which is not a leveret.Hook; write Hook"),
        (
            [TEXT, OTHER],
            r"two hooks for Money, Hook\(Money, str\) and Hook\(Money, int\); keep one",
        ),
        ([hook(Known)], "would have no effect: Known travels without a hook; drop it"),
        ([hook(Model)], "would have no effect: Model travels without a hook"),
        ([hook(int)], "would have no effect: int travels without a hook"),
        ([hook(NDARRAY)], "would have no effect: ndarray travels without a hook"),
        ([hook(object)], "every value is an object"),
        ([hook("Money")], "its type is 'Money'; give a class"),
        ([hook(list[int])], r"its type is list\[int\]; give a class"),
        ([hook(Box[int])], "its type is .*; give a class"),
        (
            [hook(Money, Cents)],
            r"Hook\(Money, Cents\): what it gives cannot travel: .*Cents cannot",
        ),
        ([hook(Money, list[Money])], "what it gives has Money inside, without an end"),
        ([hook(Money, Cents), hook(Cents, list[Money])], "has Money inside, without an end"),
        ([hook(Money, "str")], "what it gives cannot travel"),
        ([hook(Money, Model)], "what it gives is pydantic's; give a dataclass"),
        ([hook(Money, str | None)], "what it gives may be None"),
        ([hook(Money, str, too_late)], "its decode is <function too_late.*; give a plain function"),
        ([hook(Money, str, 3)], "its decode is 3; give a plain function"),
    ],
)
def test_a_hook_that_cannot_work_is_refused(types: Any, said: str) -> None:
    with pytest.raises(ContractError, match=said):

        class Shop(Service, types=types): ...


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Cents, r"'price' has the type Cents, .*cannot be encoded; .*types=\[leveret.Hook\(Cents"),
        (Annotated[int, TEXT], "would have no effect: there is no Money in its annotation"),
        (Annotated[Known, hook(Known)], "would have no effect: Known travels without a hook"),
        (dict[str, Annotated[Money, OTHER] | Money], "Hook.* of the service in another"),
    ],
)
def test_an_annotation_whose_hooks_cannot_work_is_refused(annotation: Any, said: str) -> None:
    async def buy(self: Any, price: Any) -> None: ...

    buy.__annotations__ = {"price": annotation, "return": None}
    with pytest.raises(ContractError, match=said):
        new_class("Shop", (Service,), {"types": [TEXT]}, lambda its: its.update(buy=method(buy)))


def test_a_default_is_checked_by_its_hook() -> None:
    bad = Money("a")
    bad.text = ""
    with pytest.raises(ContractError, match="has the default .* Invalid `Money`: it is empty"):

        class Shop(Service, types=[TEXT]):
            @method
            async def buy(self, price: Money = bad) -> None: ...


class Contract(Service, types=[TEXT]):
    @method
    @abstractmethod
    async def buy(self, price: Money) -> Money: ...


def test_subclasses_have_the_hooks_of_their_bases() -> None:
    class Real(Contract, types=[TEXT, Hook(Cents, int, encode=id, decode=lambda _: Cents())]):
        async def buy(self, price: Money) -> Money:
            return price

        @method
        async def count(self, cents: Cents) -> None: ...

    class Third(Real):
        @method
        async def sell(self, price: Money) -> Cents:
            return Cents()

    schema = service_schema(Third)["methods"]
    assert schema["buy"]["arguments"]["properties"] == {"price": {"type": "string"}}
    assert schema["sell"]["result"]["type"] == "integer"
    assert [hook.type for hook in spec_of(Third).hooks] == [Money, Cents]
    with pytest.raises(ContractError, match="two hooks for Money"):

        class Changed(Contract, types=[OTHER]): ...


def test_a_generic_service_is_given_hooks_with_its_types() -> None:
    class Repo(Service, Generic[T]):
        @method
        async def save(self, x: list[T]) -> T:
            return x[0]

    class Moneys(Repo[Money], types=[TEXT]): ...

    properties = service_schema(Moneys)["methods"]["save"]["arguments"]["properties"]
    assert properties == {"x": {"type": "array", "items": {"type": "string"}}}


def test_an_override_must_travel_as_what_it_overrides() -> None:
    class Same(Contract):
        async def buy(self, price: Annotated[Money, TEXT]) -> Money:
            return price

    assert spec_of(Same).methods["buy"].parameters is not None
    with pytest.raises(ContractError, match=r"its signature is .*Hook\(Money, int\).* declares"):

        class Other(Contract):
            async def buy(self, price: Annotated[Money, OTHER]) -> Money:
                return price


def test_servers_compare_what_travels_and_not_the_hooks() -> None:
    class One(Service, types=[TEXT], name="shop"):
        @method
        async def buy(self, price: Money) -> None: ...

    class Two(Service, name="shop"):
        @method
        async def buy(self, price: str) -> None: ...

    one, two = (service_schema(service)["methods"]["buy"] for service in (One, Two))
    assert fingerprint(one) == fingerprint(two)


def test_an_error_travels_in_one_way() -> None:
    class SoldOut(DeclaredError):
        price: Money
        note: str = ""

    class Special(DeclaredError):
        price: Annotated[Money, OTHER]

    with pytest.raises(ContractError, match=r"field 'price' cannot travel: .*Hook\(Money, str"):

        class Bare(Service):
            @method(raises=[SoldOut])
            async def buy(self) -> None: ...

    class Shop(Service, types=[TEXT]):
        @method(raises=[SoldOut, Special])
        async def buy(self) -> None: ...

    class Again(Shop): ...

    errors = service_schema(Again)["methods"]["buy"]["errors"]
    assert errors["SOLD_OUT"]["properties"]["price"] == {"type": "string"}
    assert errors["SOLD_OUT"]["required"] == ["price"]
    assert errors["SPECIAL"]["properties"]["price"] == {"type": "integer"}
    with pytest.raises(ContractError, match="which another service declares with other hooks"):

        class Other(Service, types=[OTHER]):
            @method(raises=[SoldOut])
            async def buy(self) -> None: ...

    with pytest.raises(ContractError, match="which another service declares with other hooks"):

        class WithoutAny(Service):
            @method(raises=[SoldOut])
            async def buy(self) -> None: ...
