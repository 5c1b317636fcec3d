"""Generic services: their types are known when a subclass is defined, or it is refused."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Generic, TypeVar

import annotated_types as at
import msgspec
import pytest
from msgspec import Meta

from leveret.contract import Service, method, method_schema, spec_of, usable_spec_of
from leveret.errors import ContractError, DeclaredError

T = TypeVar("T")
Shape = TypeVar("Shape", bound=msgspec.Struct)
Key = TypeVar("Key", int, str)


class Item(msgspec.Struct):
    n: Annotated[int, Meta(ge=0)]


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Lost(DeclaredError, Generic[T]):
    """It is lost."""

    last: T


class ItemLost(Lost[Item]):
    """An item is lost."""


class Repo(Service, Generic[T]):
    """Keeps things."""

    @method
    async def save(self, x: T) -> T:
        return x

    @method
    async def page(self, sizes: dict[str, int], of: list[T] | None = None) -> Page[T]:
        return Page(of or [])


class Items(Repo[Item]):
    """Keeps items."""


class Pages(Repo[Page[Item]]): ...


class Mid(Repo[list[T]], Generic[T]): ...


class Lists(Mid[Item]): ...


class Store(Service, Generic[Shape]):
    """A contract of many services."""

    @method(idempotent=True)
    @abstractmethod
    async def load(self, key: str) -> Shape: ...


class ItemStore(Store[Item]):
    """A contract."""


class ItemStoreInMemory(ItemStore):
    async def load(self, key: str) -> Item:
        return Item(1)


class DirectStore(Store[Item]):
    async def load(self, key: str) -> Item:
        return Item(1)


class WithoutOwn(Service, Generic[T]):
    """Generic in what is no concern of its callers."""

    def __init__(self, database: T) -> None:
        self.database = database

    @method
    async def ping(self) -> None: ...


def types_of(service: type[Service], name: str) -> tuple[list[Any], Any]:
    spec = spec_of(service).methods[name]
    return [field.type for field in msgspec.structs.fields(spec.parameters)], spec.result


@pytest.mark.parametrize(
    ("service", "item"),
    [(Items, Item), (Pages, Page[Item]), (Lists, list[Item])],
)
def test_a_subclass_says_what_the_variables_are(service: type[Service], item: Any) -> None:
    assert types_of(service, "save") == ([item], item)
    assert types_of(service, "page") == ([dict[str, int], list[item] | None], Page[item])
    assert usable_spec_of(service).type_variables == ()


def test_its_schema_has_the_types() -> None:
    schema = method_schema(spec_of(Items).methods["save"])
    assert schema["result"]["properties"] == {"n": {"type": "integer", "minimum": 0}}


def test_a_generic_contract_lends_its_methods_but_not_its_name() -> None:
    assert spec_of(ItemStore).name == spec_of(ItemStoreInMemory).name == "item_store"
    assert spec_of(DirectStore).name == "direct_store"
    assert types_of(DirectStore, "load") == ([str], Item)
    assert spec_of(DirectStore).methods["load"].idempotent


def test_an_override_has_the_types_that_its_class_gives() -> None:
    with pytest.raises(ContractError, match=r"but Repo declares \(x: Item\) -> Item"):

        class Wrong(Repo[Item]):
            @method
            async def save(self, x: int) -> int:  # type: ignore[override]
                return x


@pytest.mark.parametrize("service", [Repo, Mid, Store])
def test_a_generic_service_is_neither_served_nor_called(service: type[Service]) -> None:
    with pytest.raises(ContractError, match=r"is generic, and nothing says what (T|Shape) is: der"):
        usable_spec_of(service)


def test_brackets_make_no_class() -> None:
    class Empty(Service): ...

    with pytest.raises(ContractError, match="Empty has no remote methods: mark them with @method"):
        usable_spec_of(Empty())
    with pytest.raises(ContractError, match=r"Repo\[.*Item\] is a generic .* derive one from it"):
        usable_spec_of(Repo[Item])


def test_a_variable_that_no_method_has_is_no_ones_concern() -> None:
    class Served(WithoutOwn): ...  # type: ignore[type-arg]

    assert usable_spec_of(Served).name == "served"
    assert usable_spec_of(WithoutOwn[int](3)).type_variables == ()


def test_what_nothing_stands_for_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(
        ContractError, match=r"Bare\.save: parameter 'x' has the type ~T, .*nothing"
    ):

        class Bare(Repo): ...  # type: ignore[type-arg]

    with pytest.raises(ContractError, match="parameter 'x' has the type ~T, .*nothing says what"):

        class OfMethod(Service):
            @method
            async def echo(self, x: T) -> T:
                return x

    with pytest.raises(
        ContractError, match=r"its result has the type Page, .*write Page\[\.\.\.\]"
    ):

        class NoBrackets(Service):
            @method
            async def page(self) -> Page: ...  # type: ignore[type-arg,empty-body]


def test_a_bound_holds() -> None:
    with pytest.raises(ContractError, match="int cannot stand for Shape, which is Struct"):

        class Ints(Store[int]): ...  # type: ignore[type-var]


def test_a_declared_error_has_its_types_too() -> None:
    class Finder(Service):
        @method(raises=[ItemLost])
        async def find(self) -> None: ...

    schema = method_schema(spec_of(Finder).methods["find"])
    assert "n" in str(schema["errors"]["ITEM_LOST"])
    with pytest.raises(ContractError, match=r"raises has Lost, whose field 'last' has the type v"):

        class Loser(Service):
            @method(raises=[Lost])
            async def find(self) -> None: ...


def test_the_fields_of_a_declared_error_can_travel() -> None:
    class Odd(DeclaredError):
        """Has what cannot."""

        value: object

    with pytest.raises(ContractError, match=r"raises has .*Odd, whose field 'value' cannot travel"):

        class Service1(Service):
            @method(raises=[Odd])
            async def find(self) -> None: ...


def test_bounds_of_annotated_types_count_as_meta() -> None:
    class Bounded(Service):
        @method
        async def take(self, n: Annotated[int, at.Gt(0)]) -> list[Annotated[str, at.Len(1, 3)]]: ...  # type: ignore[empty-body]

    assert types_of(Bounded, "take") == (
        [Annotated[int, Meta(gt=0)]],
        list[Annotated[str, Meta(min_length=1, max_length=3)]],
    )
    with pytest.raises(
        ContractError, match=r"Refused\.take: parameter 'n' .* would have no effect"
    ):

        class Refused(Service):
            @method
            async def take(self, n: Annotated[int, at.Predicate(bool)]) -> None: ...

    class TooFew(DeclaredError):
        """There are too few."""

        left: Annotated[int, at.Ge(0)]

    (field,) = msgspec.structs.fields(TooFew.fields)
    assert field.type == Annotated[int, Meta(ge=0)]


def test_a_default_is_what_its_annotation_says() -> None:
    with pytest.raises(ContractError, match=r"the default 'abcd', which does not fit bytes"):

        class Files(Service):
            @method
            async def put(self, data: bytes = "abcd") -> None: ...  # type: ignore[assignment]


def test_a_variable_of_several_types_is_one_of_them_in_a_subclass() -> None:
    class Keyed(Service, Generic[Key]):
        @method
        async def find(self, key: Key) -> list[Key]:
            return [key]

        @method
        async def first(self, keys: dict[str, Key]) -> Key: ...  # type: ignore[empty-body]

    class Checked(Keyed[Key]):
        async def find(self, key: Key) -> list[Key]:
            return [key]

    class ByNumber(Checked[int]): ...

    assert spec_of(Keyed).type_variables == spec_of(Checked).type_variables == ("Key",)
    assert spec_of(ByNumber).methods["find"].result == list[int]
    with pytest.raises(ContractError, match="float cannot stand for Key, which is int or str"):

        class ByFloat(Keyed[float]): ...  # type: ignore[type-var]
