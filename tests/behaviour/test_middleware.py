"""Functions around calls, on the client and on the server."""

from __future__ import annotations

from typing import Any

import pytest

import leveret
from leveret import (
    DeadlineExceeded,
    InvalidArgument,
    InvalidResult,
    PermissionDenied,
    Rabbit,
    RemoteError,
    current_call,
)
from leveret.client.middleware import CallNext as NextCall
from leveret.client.middleware import OutgoingCall
from leveret.server.handlers.execution import CallNext
from leveret.wire.context import CurrentCall
from tests.behaviour.services import Echo, Fibonacci, Gate


class Tracer:
    """Client middleware that writes down when it is passed, and what it saw."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def __call__(self, call: OutgoingCall, call_next: NextCall) -> Any:
        self.log.append(f"{self.name} > {call.method} {call.arguments} {call.timeout:g}")
        try:
            result = await call_next(call)
        except Exception as error:
            self.log.append(f"{self.name} ! {type(error).__name__}")
            raise
        self.log.append(f"{self.name} < {result}")
        return result


class ServerTracer:
    """The same on the server."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def __call__(self, call: CurrentCall, call_next: CallNext) -> Any:
        assert current_call() is call
        self.log.append(f"{self.name} > {call.method} {call.arguments}")
        try:
            result = await call_next(call)
        except Exception as error:
            self.log.append(f"{self.name} ! {type(error).__name__}")
            raise
        self.log.append(f"{self.name} < {result}")
        return result


class SoldOut(leveret.DeclaredError):
    """There is nothing left."""


class Stall(leveret.Service):
    @leveret.method(raises=[SoldOut])
    async def buy(self) -> int:
        return 1


async def test_client_middleware_wraps_calls_the_first_outermost(
    rabbitmq_url: str, host: Rabbit
) -> None:
    log: list[str] = []
    tracers = [Tracer("a", log), Tracer("b", log)]
    async with (
        host.serving(Fibonacci()),
        leveret.connect(rabbitmq_url, middleware=tracers) as rabbit,
    ):
        assert await rabbit.remote(Fibonacci).fib(10) == 55
        assert await rabbit.call("fibonacci.fib", n=3) == 2
    assert log == [
        "a > fibonacci.fib {'n': 10} 5",
        "b > fibonacci.fib {'n': 10} 5",
        "b < 55",
        "a < 55",
        "a > fibonacci.fib {'n': 3} 10",
        "b > fibonacci.fib {'n': 3} 10",
        "b < 2",
        "a < 2",
    ]


async def test_server_middleware_wraps_handlers_the_first_outermost(
    client: Rabbit, host: Rabbit
) -> None:
    log: list[str] = []
    tracers = [ServerTracer("a", log), ServerTracer("b", log)]
    async with host.serving(Fibonacci(), middleware=tracers):
        assert await client.remote(Fibonacci).fib(10) == 55
    assert log == [
        "a > fibonacci.fib {'n': 10}",
        "b > fibonacci.fib {'n': 10}",
        "b < 55",
        "a < 55",
    ]


async def test_errors_pass_through_middleware(rabbitmq_url: str, host: Rabbit) -> None:
    log: list[str] = []

    class Odd(Echo, name="odd"):
        async def echo(self, text: str) -> str:
            raise ValueError(text)

    async with (
        host.serving(Odd(), middleware=[ServerTracer("server", log)]),
        leveret.connect(rabbitmq_url, middleware=[Tracer("client", log)]) as rabbit,
    ):
        with pytest.raises(RemoteError, match="ValueError: x"):
            await rabbit.remote(Odd).echo("x")
    assert log == [
        "client > odd.echo {'text': 'x'} 10",
        "server > odd.echo {'text': 'x'}",
        "server ! ValueError",
        "client ! RemoteError",
    ]


async def test_arguments_that_are_no_call_do_not_reach_client_middleware(
    rabbitmq_url: str,
) -> None:
    log: list[str] = []
    async with leveret.connect(rabbitmq_url, middleware=[Tracer("a", log)]) as rabbit:
        with pytest.raises(InvalidArgument):
            await rabbit.remote(Fibonacci).fib(1, 2)  # type: ignore[call-arg]
    assert log == []


async def test_client_middleware_changes_arguments_metadata_and_timeout(
    rabbitmq_url: str, host: Rabbit
) -> None:
    seen: list[CurrentCall] = []

    async def stamp(call: OutgoingCall, call_next: NextCall) -> Any:
        call.arguments["text"] += "!"
        call.metadata["trace"] = "7"
        call.timeout = 77
        return await call_next(call)

    async def note(call: CurrentCall, call_next: CallNext) -> Any:
        seen.append(call)
        assert 70 < call.remaining() <= 77
        return await call_next(call)

    async with (
        host.serving(Echo(), middleware=[note]),
        leveret.connect(rabbitmq_url, middleware=[stamp]) as rabbit,
    ):
        remote = rabbit.remote(Echo).with_options(metadata={"user": "ada"})
        assert await remote.echo("x") == "x!"
        assert await remote.echo("y") == "y!"
    assert [call.metadata for call in seen] == [{"user": "ada", "trace": "7"}] * 2


async def test_what_client_middleware_makes_of_arguments_is_checked(rabbitmq_url: str) -> None:
    async def spoil(call: OutgoingCall, call_next: NextCall) -> Any:
        call.arguments["n"] = -1
        return await call_next(call)

    async with leveret.connect(rabbitmq_url, middleware=[spoil]) as rabbit:
        with pytest.raises(InvalidArgument, match=">= 0"):
            await rabbit.remote(Fibonacci).fib(1)


async def test_middleware_can_answer_without_going_further(rabbitmq_url: str, host: Rabbit) -> None:
    gate = Gate()

    async def cached(call: OutgoingCall, call_next: NextCall) -> Any:
        return 7 if call.arguments == {"n": 7} else await call_next(call)

    async def guard(call: CurrentCall, call_next: CallNext) -> Any:
        if call.metadata.get("user") != "ada":
            raise PermissionDenied("only ada may")
        return 8

    async with (
        host.serving(gate, middleware=[guard]),
        leveret.connect(rabbitmq_url, middleware=[cached]) as rabbit,
    ):
        remote = rabbit.remote(Gate)
        assert await remote.once(7) == 7
        with pytest.raises(PermissionDenied, match="only ada may"):
            await remote.once(1)
        assert await remote.with_options(metadata={"user": "ada"}).once(1) == 8
    assert gate.started.empty()


async def test_the_result_of_server_middleware_is_checked(client: Rabbit, host: Rabbit) -> None:
    async def spoil(call: CurrentCall, call_next: CallNext) -> Any:
        return str(await call_next(call))

    async with host.serving(Fibonacci(), middleware=[spoil]):
        with pytest.raises(InvalidResult, match="a middleware's result does not fit") as caught:
            await client.remote(Fibonacci).fib(1)
    assert caught.value.executed == "yes"


async def test_server_middleware_that_forgets_to_return_is_told_from_the_handler(
    client: Rabbit, host: Rabbit
) -> None:
    async def forgetful(call: CurrentCall, call_next: CallNext) -> Any:
        await call_next(call)

    async with host.serving(Fibonacci(), middleware=[forgetful]):
        with pytest.raises(InvalidResult) as caught:
            await client.remote(Fibonacci).fib(1)
    assert str(caught.value) == (
        "fibonacci.fib: a middleware's result does not fit the annotation of the method: Expected"
        " `int`, got `null`; did it forget to `return await call_next(call)`?"
        f" (call {caught.value.call_id})"
    )


async def test_a_bad_result_of_the_handler_is_its_own_behind_middleware_as_well(
    client: Rabbit, host: Rabbit
) -> None:
    class Liar(leveret.Service):
        @leveret.method
        async def tell(self) -> int:
            return "three"  # type: ignore[return-value]  # that is the lie

    async with host.serving(Liar(), middleware=[ServerTracer("a", [])]):
        with pytest.raises(InvalidResult, match="the handler's result does not fit") as caught:
            await client.remote(Liar).tell()
    assert caught.value.executed == "yes"


@pytest.mark.parametrize(
    ("does", "error"),
    [("answer", InvalidResult), ("fail", RemoteError), ("say what is declared", SoldOut)],
)
async def test_what_server_middleware_ends_before_the_handler_was_not_executed(
    client: Rabbit, host: Rabbit, does: str, error: type[leveret.CallError]
) -> None:
    async def barrier(call: CurrentCall, call_next: CallNext) -> Any:
        match does:
            case "answer":
                return "closed"
            case "fail":
                raise OSError("the till is broken")
        raise SoldOut

    async with host.serving(Stall(), middleware=[barrier]):
        with pytest.raises(error) as caught:
            await client.remote(Stall).buy()
    assert caught.value.executed == "no"


async def test_client_middleware_can_try_again(rabbitmq_url: str, host: Rabbit) -> None:
    tries = 0

    async def retry(call: OutgoingCall, call_next: NextCall) -> Any:
        nonlocal tries
        while True:
            tries += 1
            try:
                return await call_next(call)
            except DeadlineExceeded:
                gate.opened.set()

    gate = Gate()
    async with host.serving(gate), leveret.connect(rabbitmq_url, middleware=[retry]) as rabbit:
        assert await rabbit.remote(Gate).with_options(timeout=0.3).again(1) == 1
    assert tries >= 2  # a busy machine may be too slow for one more


async def test_client_middleware_that_breaks_the_chain_is_told_how(rabbitmq_url: str) -> None:
    async def gives_nothing(_call: OutgoingCall, call_next: NextCall) -> Any:
        return await call_next(None)  # type: ignore[arg-type]

    def returns_nothing(_call: OutgoingCall, _call_next: NextCall) -> Any:
        return None

    async def goes_on(call: OutgoingCall, call_next: NextCall) -> Any:
        return await call_next(call)

    gives, returns = "`call_next` takes the call; got None", "must return an awaitable"
    for chain, message in (
        ([gives_nothing], gives),
        ([gives_nothing, goes_on], gives),
        ([returns_nothing], returns),
        ([goes_on, returns_nothing], returns),
    ):
        async with leveret.connect(rabbitmq_url, middleware=chain) as rabbit:
            for call in (rabbit.remote(Echo).echo, rabbit.plain("leveret.echo.echo").call):
                with pytest.raises(TypeError, match=message):
                    await call("x")


async def test_middleware_runs_around_handlers_in_threads_too(client: Rabbit, host: Rabbit) -> None:
    log: list[str] = []

    class Adder(leveret.Service):
        @leveret.method
        def add(self, a: int, *, b: int = 2) -> int:
            return a + b

    async with host.serving(Adder(), middleware=[ServerTracer("a", log)]):
        assert await client.remote(Adder).add(1) == 3
    assert log == ["a > adder.add {'a': 1, 'b': 2}", "a < 3"]
