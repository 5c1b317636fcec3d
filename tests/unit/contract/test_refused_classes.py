"""What cannot work is refused when the class is defined, with a message that says what to do."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import wraps
from types import new_class
from typing import Any

import pytest

from leveret.codec import RAW, TEXT
from leveret.contract import Service, method
from leveret.errors import ContractError, DeclaredError


class Connection:
    """A class that no codec knows."""


class SoldOut(DeclaredError):
    """None left."""


class AlsoSoldOut(DeclaredError, code="SOLD_OUT"):
    """None left either."""


def define(function: Any, *, name: str | None = None, attribute: str = "run") -> type[Service]:
    """Define a service `Shop` with this one method."""
    return new_class(
        "Shop", (Service,), {"name": name}, lambda body: body.update({attribute: function})
    )


async def works(self: Any, n: int) -> int:
    return n


def fresh() -> Callable[..., Any]:
    """Give a function of its own that works as a method."""

    async def run(self: Any, n: int) -> int:
        return n

    return run


async def no_annotation(self: Any, n, m: int) -> int: ...  # type: ignore[no-untyped-def,empty-body]
async def no_result(self: Any, n: int): ...  # type: ignore[no-untyped-def]
async def unencodable(self: Any, connection: Connection) -> int: ...  # type: ignore[empty-body]
async def unencodable_result(self: Any) -> list[Connection]: ...  # type: ignore[empty-body]
async def variadic(self: Any, *rest: int) -> int: ...  # type: ignore[empty-body]
async def variadic_names(self: Any, **rest: int) -> int: ...  # type: ignore[empty-body]
async def no_self() -> int: ...  # type: ignore[empty-body]
async def forgotten_self(n: int) -> int: ...  # type: ignore[empty-body]
async def only_keyword_self(*, n: int) -> int: ...  # type: ignore[empty-body]
async def mixed_kinds(self: Any, a: int, /, *, b: int) -> int: ...  # type: ignore[empty-body]
async def unresolved(self: Any, n: Missing) -> int: ...  # type: ignore[empty-body,name-defined]  # noqa: F821
async def unresolved_result(self: Any) -> list[Missing]: ...  # type: ignore[empty-body,name-defined]  # noqa: F821
async def broken(self: Any, n: 3 + {}) -> int: ...  # type: ignore[empty-body,valid-type]
async def wrong_default(self: Any, n: int = None) -> int: ...  # type: ignore[assignment,empty-body]  # noqa: RUF013
async def odd_default(self: Any, n: int = object()) -> int: ...  # type: ignore[assignment,empty-body]
async def mangled(self: Any, __n: int) -> int: ...  # type: ignore[empty-body]


async def another_name_for_self(this, n: int) -> int:  # type: ignore[no-untyped-def]
    return n


def test_self_may_have_another_name_where_it_has_no_annotation() -> None:
    assert list(define(method(another_name_for_self)).__leveret__.methods) == ["run"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            no_annotation,
            r"Shop\.run: parameter 'n' has no annotation; write its type, as in `n: int`",
        ),
        (no_result, r"Shop\.run: its result has no annotation; write `-> int`"),
        (unencodable, r"Shop\.run: parameter 'connection' has the type Connection, which cannot"),
        (unencodable_result, r"Shop\.run: its result has the type list.*; use a msgspec\.Struct"),
        (variadic, r"Shop\.run: parameter \*rest cannot be remote; name every parameter"),
        (variadic_names, r"Shop\.run: parameter \*\*rest cannot be remote; name every parameter"),
        (no_self, r"Shop\.run: give it `self` as its first parameter"),
        (
            forgotten_self,
            r"Shop\.run: its first parameter is 'n', where `self` must be; write `\(self, n: ",
        ),
        (only_keyword_self, r"Shop\.run: give it `self` as its first parameter"),
        (mixed_kinds, r"Shop\.run: parameter 'a' is positional-only .* remove the `/`"),
        (unresolved, r"Shop\.run: parameter 'n' names 'Missing', .*outside `if TYPE_CHECKING:`"),
        (unresolved_result, r"Shop\.run: its result names 'Missing'"),
        (broken, r"Shop\.run: its annotations cannot be read"),
        (wrong_default, r"Shop\.run: parameter 'n' has the default None, which does not fit int"),
        (odd_default, r"Shop\.run: parameter 'n' has the default <object"),
        (mangled, r"Shop\.run: its parameters cannot travel"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_signature_that_cannot_travel_is_refused(function: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        define(method(function))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, r"timeout is 0; it is in seconds, above 0 and at most 4294967"),
        ({"timeout": -1.5}, r"timeout is -1.5"),
        ({"timeout": 4_294_967.5}, r"timeout is 4294967.5"),
        ({"timeout": float("nan")}, r"timeout is nan"),
        ({"timeout": "5"}, r"timeout is '5'"),
        ({"timeout": None}, r"timeout is None"),
        ({"timeout": True}, r"timeout is True"),
        ({"idempotent": "yes"}, r"idempotent is 'yes'; write True or False"),
        ({"concurrency": 0}, r"concurrency is 0; it is 1 to 65535"),
        ({"concurrency": 65_536}, r"concurrency is 65536"),
        ({"concurrency": 1.5}, r"concurrency is 1.5"),
        ({"priority_levels": -1}, r"priority_levels is -1; it is 0 to 255"),
        ({"priority_levels": 256}, r"priority_levels is 256"),
        ({"queue": "stream"}, r"queue is 'stream'; write \"classic\" or \"quorum\""),
        ({"queue": "quorum", "priority_levels": 1}, r"quorum queues take no priority_levels"),
        ({"max_length": 0}, r"max_length is 0"),
        ({"max_length": 1.0}, r"max_length is 1.0"),
        ({"expires": 0}, r"expires is 0; it is in seconds"),
        ({"expires": -1}, r"expires is -1"),
        ({"expires": "1h"}, r"expires is '1h'"),
        (
            {"executor": "thread"},
            r"an `async def`, .*, runs on the event loop; write a plain `def`",
        ),
        ({"executor": "gpu"}, r"executor is 'gpu'; write \"thread\" or \"process\""),
        ({"content_type": "application/xml"}, r"unknown content type 'application/xml'; use one"),
        ({"content_type": 1}, r"content_type is 1; write"),
        ({"content_type": RAW}, r"application/octet-stream cannot carry parameter 'n': annotate"),
        ({"raises": SoldOut}, r"raises is <class .*SoldOut'>; write a list"),
        ({"raises": "SoldOut"}, r"raises is 'SoldOut'; write a list"),
        ({"raises": [ValueError]}, r"ValueError'>, which is not a subclass of DeclaredError"),
        ({"raises": [DeclaredError]}, r"DeclaredError'>, which is not a subclass"),
        ({"raises": [SoldOut()]}, r"which is not a subclass of DeclaredError"),
        ({"raises": [SoldOut, AlsoSoldOut]}, r"SoldOut and AlsoSoldOut, both with the code SOLD_"),
        ({"name": "with_options"}, r"the method name 'with_options' is Leveret's own"),
        ({"name": "_run"}, r"the method name '_run' must be ASCII letters"),
        ({"name": "run.fast"}, r"the method name 'run.fast' must be ASCII letters"),
        (
            {"name": "läuft"},
            r"must be ASCII letters, digits and underscores, and begin with a letter",
        ),
        ({"name": "run\n"}, r"must be ASCII letters"),
        ({"name": ""}, r"the method name '' must be ASCII letters"),
        ({"name": 3}, r"the method name 3 must be ASCII letters"),
        ({"name": "x" * 250}, r"would be 263 bytes, and AMQP allows 255; shorten it"),
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=r"Shop\.run: .*" + message):
        define(method(**options)(fresh()))


def test_text_needs_one_scalar_parameter() -> None:
    async def two(self: Any, a: int, b: int) -> int:
        return a + b

    with pytest.raises(ContractError, match=r"Shop\.run: text/plain carries one parameter at most"):
        define(method(content_type=TEXT)(two))


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ContractError, match="@method has no option retries; it has timeout, idem"):
        method(retries=3)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("all", "addresses every server"),
        ("a.b", "must be ASCII letters, digits and underscores, and begin with no digit"),
        ("2nd", "begin with no digit"),
        ("", "must be ASCII letters"),
        ("x" * 246, "is too long; shorten it"),
    ],
)
def test_a_service_name_that_cannot_be_a_routing_key_is_refused(name: str, message: str) -> None:
    with pytest.raises(ContractError, match=r"Shop: the service name .*" + message):
        define(method(fresh()), name=name)


def test_the_longest_names_that_fit_are_taken() -> None:
    spec = define(method(name="m" * 46)(fresh()), name="s" * 200).__leveret__.methods["run"]
    assert len(spec.queue_name) == 255


@pytest.mark.parametrize("attribute", ["_run", "__call__", "with_options"])
def test_a_remote_method_has_a_public_name_of_its_own(attribute: str) -> None:
    with pytest.raises(ContractError, match=r"rename"):
        define(method(name="fine")(fresh()), attribute=attribute)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (staticmethod(works), "works: a staticmethod cannot be remote; make it a method with"),
        (classmethod(works), "works: a classmethod cannot be remote"),
        (property(works), "works: a property cannot be remote"),  # type: ignore[arg-type]
        (3, "3: only a function can be remote"),
        (Connection, "Connection: only a function can be remote"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_only_instance_methods_can_be_remote(wrong: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        method(wrong)


@pytest.mark.parametrize("kind", [staticmethod, classmethod, property])
def test_method_inside_another_kind_is_refused_too(kind: Any) -> None:
    with pytest.raises(ContractError, match=rf"Shop\.run: a {kind.__name__} cannot be remote"):
        define(kind(method(fresh())))


def test_a_decorator_above_method_is_refused() -> None:
    remote = method(fresh())

    @wraps(remote)
    async def above(*args: Any) -> Any:
        return await remote(*args)

    with pytest.raises(ContractError, match=r"Shop\.run: put @method above the other decorators"):
        define(above)


def test_two_methods_with_one_name_are_refused() -> None:
    with pytest.raises(ContractError, match=r"Shop: first and second both have the name 'first'"):

        class Shop(Service):
            @method
            async def first(self) -> None: ...

            @method(name="first")
            async def second(self) -> None: ...


class Contract(Service):
    @method(name="run_it")
    @abstractmethod
    async def run(self, n: int, *, fast: bool = False) -> int: ...


async def other_type(self: Any, n: str, *, fast: bool = False) -> int: ...  # type: ignore[empty-body]
async def other_result(self: Any, n: int, *, fast: bool = False) -> str: ...  # type: ignore[empty-body]
async def other_name(self: Any, m: int, *, fast: bool = False) -> int: ...  # type: ignore[empty-body]
async def other_kind(self: Any, n: int, fast: bool = False) -> int: ...  # type: ignore[empty-body]
async def more(self: Any, n: int, m: int, *, fast: bool) -> int: ...  # type: ignore[empty-body]
def plain_other(self: Any, n: float, *, fast: bool = False) -> int: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    "override", [other_type, other_result, other_name, other_kind, more, plain_other]
)
def test_an_override_with_another_signature_is_refused(override: Any) -> None:
    with pytest.raises(
        ContractError,
        match=r"Shop\.run: its signature is .*, but Contract declares "
        r"\(n: int, \*, fast: bool\) -> int",
    ):
        new_class("Shop", (Contract,), {}, lambda body: body.update(run=override))


def test_an_implementation_cannot_change_the_name_on_the_wire() -> None:
    with pytest.raises(ContractError, match=r"its name is 'go', but Contract declares 'run_it'"):

        class Shop(Contract):
            @method(name="go")
            async def run(self, n: int, *, fast: bool = False) -> int:
                return n


def test_a_remote_method_cannot_be_overridden_by_what_is_no_method() -> None:
    with pytest.raises(ContractError, match=r"Shop\.run: only a function can be remote"):
        new_class("Shop", (Contract,), {}, lambda body: body.update(run=None))


async def nothing(self: Any, n: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (works, {}, "a one-way method has no reply, so it returns nothing: annotate it `-> None`"),
        (nothing, {"idempotent": True, "hedge": 0.1}, "for a one-way request, so drop hedge="),
        (
            nothing,
            {"keep_failed": True, "name": "n" * 236},
            r"the name of the queue of failed requests, leveret\.shop\.n+\.failed, would be 256",
        ),
    ],
)
def test_what_no_one_way_method_can_be_is_refused(
    function: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        define(method(one_way=True, **options)(function))
