"""How a service class is read: names, options, inheritance, docstrings."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import pytest
from msgspec import Meta

from leveret.codec import JSON, MSGPACK, TEXT
from leveret.contract import MethodSpec, QueueOptions, Service, method, spec_of
from leveret.errors import ContractError, DeclaredError


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str


class Fibonacci(Service):
    """Fibonacci numbers.

    The classic.
    """

    @method
    async def fib(self, n: Annotated[int, Meta(ge=0)]) -> int:
        """Return the n-th one.

        Slowly.
        """
        return n

    async def not_remote(self, anything: Any) -> None: ...


class Storage(Service, name="store"):
    """A contract."""

    @method(timeout=3, idempotent=True, raises=[OutOfStock], content_type=MSGPACK)
    @abstractmethod
    async def take(self, sku: str, *, count: int = 1) -> int:
        """Take some out."""

    @abstractmethod
    @method(executor="process", name="weigh_all")
    def weigh(self, sku: str) -> float:
        """Weigh what is there."""


def method_of(service: type[Service], attribute: str) -> MethodSpec:
    return spec_of(service).methods[attribute]


def test_a_method_without_options_has_the_documented_defaults() -> None:
    spec = method_of(Fibonacci, "fib")
    assert (spec.service, spec.name, spec.attribute) == ("fibonacci", "fib", "fib")
    assert spec.key == "fibonacci.fib"
    assert spec.queue_name == "leveret.fibonacci.fib"
    assert (spec.timeout, spec.idempotent, spec.concurrency) == (10.0, False, 100)
    assert (spec.executor, spec.content_type, spec.raises) == ("loop", JSON, {})
    assert spec.queue == QueueOptions(type="classic", max_length=None, expires=None, max_priority=0)
    assert spec.result is int
    assert not spec.keyword_only


def test_every_option_reaches_the_specification() -> None:
    class Everything(Service):
        @method(
            timeout=0.5,
            idempotent=True,
            name="other",
            raises=(OutOfStock,),
            concurrency=1,
            executor="process",
            priority_levels=255,
            queue="classic",
            max_length=10,
            expires=60,
            content_type="text/plain; charset=utf-8",
        )
        def run(self, n: int) -> int:
            return n

    spec = method_of(Everything, "run")
    assert (spec.key, spec.attribute, spec.timeout) == ("everything.other", "run", 0.5)
    assert spec.raises == {"OUT_OF_STOCK": OutOfStock}
    assert (spec.concurrency, spec.executor, spec.content_type) == (1, "process", TEXT)
    assert spec.queue == QueueOptions(type="classic", max_length=10, expires=60, max_priority=255)


def test_docstrings_are_kept_without_their_indentation() -> None:
    assert spec_of(Fibonacci).doc == "Fibonacci numbers.\n\nThe classic."
    assert method_of(Fibonacci, "fib").doc == "Return the n-th one.\n\nSlowly."


def test_only_decorated_methods_are_remote() -> None:
    assert list(spec_of(Fibonacci).methods) == ["fib"]


def test_spec_of_takes_a_class_or_an_instance() -> None:
    assert spec_of(Fibonacci()) is spec_of(Fibonacci)


@pytest.mark.parametrize("nothing", [Service, object, 3, OutOfStock])
def test_spec_of_refuses_what_is_no_service(nothing: Any) -> None:
    with pytest.raises(
        ContractError,
        match=r"is not a service; (derive it|give a class that derives) from leveret\.Service",
    ):
        spec_of(nothing)


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("Fibonacci", "fibonacci"),
        ("OrderBook", "order_book"),
        ("HTTPProxy", "http_proxy"),
        ("Sha256Sums", "sha256_sums"),
        ("V2", "v2"),
        ("already_snake", "already_snake"),
    ],
)
def test_a_service_is_named_after_its_class_in_snake_case(class_name: str, name: str) -> None:
    made = type(class_name, (Service,), {})
    assert spec_of(made).name == name


def test_an_explicit_name_wins() -> None:
    assert spec_of(Storage).name == "store"


def test_a_contract_cannot_be_instantiated() -> None:
    assert spec_of(Storage).abstract
    with pytest.raises(TypeError, match="abstract"):
        Storage()  # type: ignore[abstract]


def test_an_implementation_keeps_the_contracts_name_options_and_docstrings() -> None:
    class Shelf(Storage):
        async def take(self, sku: str, *, count: int = 2) -> int:
            return count

        def weigh(self, sku: str) -> float:  # type: ignore[override]
            """Weigh on the spot."""
            return 1.0

    assert not spec_of(Shelf).abstract
    assert spec_of(Shelf).doc == "A contract."
    take, weigh = spec_of(Shelf).methods.values()
    assert (take.key, take.timeout, take.idempotent) == ("store.take", 3.0, True)
    assert (take.content_type, take.raises) == (MSGPACK, {"OUT_OF_STOCK": OutOfStock})
    assert (take.doc, take.executor, take.keyword_only) == ("Take some out.", "loop", True)
    assert take.parameters("a").count == 2  # type: ignore[attr-defined]
    assert (weigh.key, weigh.executor) == ("store.weigh_all", "process")
    assert weigh.doc == "Weigh on the spot."
    assert Shelf().with_options(timeout=1) is not Shelf()


def test_an_implementation_changes_only_the_options_it_gives() -> None:
    class Shelf(Storage):
        @method(timeout=7, concurrency=3)
        async def take(self, sku: str, *, count: int = 1) -> int:
            return count

        async def weigh(self, sku: str) -> float:
            return 1.0

    take, weigh = spec_of(Shelf).methods.values()
    assert (take.timeout, take.concurrency, take.idempotent) == (7.0, 3, True)
    assert weigh.executor == "loop"


def test_a_subclass_of_an_implementation_keeps_the_contracts_name() -> None:
    class Shelf(Storage):
        async def take(self, sku: str, *, count: int = 1) -> int:
            return count

        async def weigh(self, sku: str) -> float:
            return 1.0

    class Fake(Shelf):
        async def take(self, sku: str, *, count: int = 1) -> int:
            return 0

    class Named(Shelf, name="shelf"):
        pass

    assert spec_of(Fake).name == "store"
    assert spec_of(Named).methods["take"].key == "shelf.take"


def test_a_partial_implementation_is_a_contract_still() -> None:
    class Half(Storage):
        async def take(self, sku: str, *, count: int = 1) -> int:
            return count

    assert spec_of(Half).abstract
    with pytest.raises(TypeError, match="weigh"):
        Half()  # type: ignore[abstract]


def test_a_concrete_base_lends_its_methods_under_the_subclasss_name() -> None:
    class Health(Service):
        @method(timeout=1)
        async def ping(self) -> str:
            """Answer."""
            return "pong"

    class Orders(Health):
        @method
        async def count(self) -> int:
            return 0

    assert [spec.key for spec in spec_of(Orders).methods.values()] == [
        "orders.ping",
        "orders.count",
    ]
    assert spec_of(Orders).methods["ping"].timeout == 1.0
    assert spec_of(Health).methods["ping"].key == "health.ping"
    assert spec_of(Orders).doc == ""


def test_a_class_that_is_no_service_can_lend_methods_and_stays_as_it_was() -> None:
    class Pinging:
        @method
        async def ping(self) -> str:
            return "pong"

    class Taking:
        async def take(self, sku: str, *, count: int = 1) -> int:
            return count

        def weigh(self, sku: str) -> float:
            return 2.5

    weigh = Taking.weigh

    class Shelf(Pinging, Taking, Storage):  # type: ignore[misc]
        pass

    assert set(spec_of(Shelf).methods) == {"ping", "take", "weigh"}
    assert spec_of(Shelf).methods["take"].timeout == 3.0
    assert Taking.weigh is weigh
    assert not inspect.iscoroutinefunction(Taking.weigh)
    assert inspect.iscoroutinefunction(Shelf.weigh)


def test_two_contracts_in_one_class_need_a_name_of_its_own() -> None:
    class Other(Service):
        @method
        @abstractmethod
        async def other(self) -> None: ...

    with pytest.raises(ContractError, match=r"Both: it implements Storage and .*Other"):

        class Both(Storage, Other):
            pass

    class Named(Storage, Other, name="both"):
        pass

    assert spec_of(Named).name == "both"


def test_a_wire_name_may_differ_from_the_name_in_python() -> None:
    class Clock(Service):
        @method(name="now")
        async def current_time(self) -> str:
            return ""

    assert list(spec_of(Clock).methods) == ["current_time"]
    assert method_of(Clock, "current_time").key == "clock.now"


def test_a_decorator_below_method_is_kept() -> None:
    def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def twice(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return twice

    class Decorated(Service):
        @method
        @doubled
        async def run(self, n: int) -> int:
            return n

    spec = method_of(Decorated, "run")
    assert spec.executor == "loop"
    assert spec.parameters.__struct_fields__ == ("n",)


def test_with_options_on_a_local_instance_changes_nothing() -> None:
    service = Fibonacci()
    assert service.with_options(timeout=1, if_busy="fail", metadata={"a": "b"}) is service
