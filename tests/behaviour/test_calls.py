"""A call over the network, with and without its contract, and wrong use of either."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pytest

import leveret
from leveret import (
    ConnectionLost,
    ContractError,
    InvalidArgument,
    Meta,
    Rabbit,
    Service,
    Unimplemented,
    method,
)
from tests.behaviour.services import Echo, Fibonacci


class Ledger(Service, name="ledger"):
    """A contract that is shared without its implementation."""

    @method(timeout=5)
    @abstractmethod
    async def transfer(self, amount: int, to: str, *, memo: str = "none") -> str:
        """Move money."""


class LedgerInMemory(Ledger):
    async def transfer(self, amount: int, to: str, *, memo: str = "none") -> str:
        return f"{amount} to {to}: {memo}"


@dataclass
class Order:
    number: int
    placed: datetime
    lines: dict[str, list[int]]


class Receipt(msgspec.Struct):
    order: Order
    total: float | None


class Orders(Service):
    @method
    async def place(self, order: Order) -> Receipt:
        return Receipt(order, None)

    @method(name="count")
    async def how_many(self) -> int:
        return 3


async def test_a_typed_call_gives_the_handlers_result(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Fibonacci()):
        assert await client.remote(Fibonacci).fib(30) == 832040


async def test_one_connection_can_serve_and_call(client: Rabbit) -> None:
    async with client.serving(Fibonacci()):
        assert await client.remote(Fibonacci).fib(30) == 832040


async def test_arguments_go_by_position_and_by_keyword(client: Rabbit, host: Rabbit) -> None:
    ledger = client.remote(Ledger)
    async with host.serving(LedgerInMemory()):
        assert await ledger.transfer(5, "ada") == "5 to ada: none"
        assert await ledger.transfer(5, to="ada") == "5 to ada: none"
        assert await ledger.transfer(to="ada", amount=5, memo="rent") == "5 to ada: rent"


async def test_structs_and_dataclasses_arrive_as_what_they_were(
    client: Rabbit, host: Rabbit
) -> None:
    order = Order(1, datetime(2024, 2, 29, tzinfo=UTC), {"pear": [1, 2]})
    async with host.serving(Orders()):
        assert await client.remote(Orders).place(order) == Receipt(order, None)


async def test_a_method_is_called_by_its_name_without_a_contract(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(LedgerInMemory(), Orders()):
        assert await client.call("ledger.transfer", amount=5, to="bo") == "5 to bo: none"
        placed: dict[str, Any] = {"number": 1, "placed": "2024-02-29T00:00:00Z", "lines": {}}
        assert await client.call("orders.place", order=placed) == {"order": placed, "total": None}


async def test_a_method_with_another_name_on_the_wire_is_found_under_both(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Orders()):
        assert await client.remote(Orders).how_many() == 3
        assert await client.call("orders.count") == 3
        with pytest.raises(Unimplemented):
            await client.call("orders.how_many")


async def test_connect_is_entered_or_awaited(rabbitmq_url: str, host: Rabbit) -> None:
    async with host.serving(Echo()):
        rabbit = await leveret.connect(rabbitmq_url)
        assert await rabbit.remote(Echo).echo("x") == "x"
        await rabbit.close()
        await rabbit.close()


async def test_connect_takes_its_url_from_the_environment(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)
    async with leveret.connect() as rabbit, rabbit.serving(Echo()):
        assert await rabbit.remote(Echo).echo("x") == "x"


async def test_calls_after_close_say_that_the_client_was_closed(rabbitmq_url: str) -> None:
    async with leveret.connect(rabbitmq_url) as rabbit:
        echo = rabbit.remote(Echo)
    with pytest.raises(ConnectionLost, match="client was closed") as caught:
        await echo.echo("x")
    assert caught.value.executed == "no"
    with pytest.raises(RuntimeError, match="not connected"):
        await rabbit.serve(Echo())


async def test_a_closed_rabbit_can_be_opened_again(rabbitmq_url: str, host: Rabbit) -> None:
    rabbit = leveret.connect(rabbitmq_url)
    async with host.serving(Echo()):
        for _ in range(2):
            async with rabbit:
                assert await rabbit.remote(Echo).echo("x") == "x"
                assert await rabbit.call("echo.echo", text="y") == "y"


async def test_use_before_connecting_says_how_to_connect(rabbitmq_url: str) -> None:
    rabbit = leveret.connect(rabbitmq_url)
    with pytest.raises(RuntimeError, match="async with leveret"):
        rabbit.remote(Echo)
    with pytest.raises(RuntimeError, match="async with leveret"):
        await rabbit.call("echo.echo", text="x")
    with pytest.raises(RuntimeError, match="async with leveret"):
        await rabbit.serve(Echo())


async def test_serving_a_class_asks_for_an_instance(host: Rabbit) -> None:
    with pytest.raises(ContractError, match=r"write Echo\(\)"):
        await host.serve(Echo)  # type: ignore[arg-type]


async def test_serving_nothing_or_one_name_twice_is_refused(host: Rabbit) -> None:
    with pytest.raises(ContractError, match="at least one service"):
        await host.serve()
    with pytest.raises(ContractError, match="two services are named 'echo'"):
        await host.serve(Echo(), Echo())


async def test_a_remote_has_only_the_remote_methods(client: Rabbit) -> None:
    remote = client.remote(Fibonacci)
    with pytest.raises(
        AttributeError, match="'fob' is not a remote method of fibonacci, which has fib"
    ):
        remote.fob  # type: ignore[attr-defined]  # noqa: B018
    assert dir(remote) == ["fib", "with_options"]
    assert remote.fib.__doc__ == "Return the n-th Fibonacci number."


async def test_the_signature_of_a_remote_method_is_the_methods(client: Rabbit) -> None:
    class Till(Service):
        @method
        def pay(self, order: str, *, cents: Annotated[int, Meta(ge=1)] = 100) -> list[int]:
            return [len(order), cents]

    signature = inspect.signature(client.remote(Till).pay)
    assert str(signature.replace(parameters=[])) == "() -> list[int]"
    order, cents = signature.parameters.values()
    assert (order.annotation, order.kind) == (str, order.POSITIONAL_OR_KEYWORD)
    assert (cents.name, cents.kind, cents.default) == ("cents", cents.KEYWORD_ONLY, 100)


async def test_a_remote_of_something_else_is_refused(client: Rabbit) -> None:
    class Bare(Service):
        pass

    for given, said in {
        int: "^int is not a service; give a class that derives from leveret.Service$",
        Service: "^Service is not a service; give a class that derives from leveret.Service$",
        Order: r"^Order is not a service; .*: `class Order\(Service\)`$",
        "Fibonacci": "^'Fibonacci' is a text, not a service; give the class itself, without",
    }.items():
        with pytest.raises(ContractError, match=said):
            client.remote(given)  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="no remote methods"):
        client.remote(Bare)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 1}, "knows no patience; it takes timeout"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0, up to 4294967; got 0"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"timeout": "5"}, "timeout must be"),
        ({"timeout": True}, "timeout must be .*; got True"),
        ({"timeout": 10**400}, "timeout must be"),
        ({"idle_timeout": True}, "idle_timeout must be .*; got True"),
        ({"total_timeout": True}, "total_timeout must be .*; got True"),
        ({"if_busy": "perhaps"}, "if_busy must be"),
        ({"wait_for_server": "no"}, "wait_for_server must be True or False; got 'no'"),
        ({"wait_for_server": []}, r"wait_for_server must be True or False; got \[\]"),
        ({"wait_for_connection": 0}, "wait_for_connection must be True or False; got 0"),
        ({"priority": 256}, "priority must be"),
        ({"priority": True}, "priority must be .*; got True"),
        ({"content_type": 0}, "content_type must be text, .*; got 0"),
        ({"content_type": ["text/plain"]}, "content_type must be text, .*; got "),
        ({"content_type": ""}, "content_type must be text, .*; got ''"),
        ({"content_type": "text/xml"}, "unknown content type 'text/xml'; use one of"),
        ({"hedge": 10**400}, "Hedge: after is 1000"),
        ({"metadata": {"a": 1}}, "metadata must map text to text"),
        ({"reply_metadata": []}, "reply_metadata must be a dict"),
    ],
)
async def test_an_option_that_cannot_be_is_refused(
    client: Rabbit, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        client.remote(Echo).with_options(**options)
    with pytest.raises(InvalidArgument, match=message):
        client.with_options(**options)


@pytest.mark.parametrize("name", ["echo", "echo.", ".echo", "a.b.c", "a b.c", "ü.*"])
async def test_a_name_that_is_no_service_and_method_is_refused(client: Rabbit, name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"service\.method"):
        await client.call(name)


async def test_what_is_no_name_is_refused(client: Rabbit) -> None:
    for wrong in (5, None, b"echo.echo", client.remote(Echo).echo):
        name: Any = wrong
        with pytest.raises(InvalidArgument, match=r'a method is named "service\.method"; got '):
            await client.call(name)
        with pytest.raises(InvalidArgument, match=r'a method is named "service\.method"; got '):
            client.stream(name)
    for call_ids in ("WZLaAqI2fkY", b"WZLaAqI2fkY", 5, None, [5]):
        ids: Any = call_ids
        with pytest.raises(InvalidArgument, match="call_ids must be a list of call ids; got "):
            await client.stop_calls(ids)
    for instance in (5, None, b"b47af560"):
        of_a_server: Any = instance
        with pytest.raises(InvalidArgument, match="the instance of a server is text, .*; got "):
            await client.drain_server(of_a_server)
