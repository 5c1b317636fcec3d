"""What mypy and pyright see of Leveret. Checked by `test_typing.py`, never run.

An expected type error carries `type: ignore[...]`; both checkers complain when it is not needed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from concurrent.futures import Future
from typing import Annotated, Any, assert_type

import leveret
import leveret.blocking
import leveret.once
from leveret import (
    Answers,
    Breaker,
    CallError,
    DeclaredError,
    Hedge,
    Hook,
    Meta,
    Progress,
    Retry,
    Service,
    current_call,
    method,
)


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str
    left: int = 0


class Fibonacci(Service):
    """Methods of every kind: async and plain, with and without options."""

    @method(timeout=5, idempotent=True, raises=[OutOfStock])
    async def fib(self, n: Annotated[int, Meta(ge=0, le=10_000)]) -> int:
        return n

    @method
    async def bare(self, text: str, *, times: int = 1) -> str:
        return text * times

    @method(idempotent=True, retry=Retry(attempts=2, backoff=0.1), hedge=0.05)
    async def insistent(self, n: int) -> int:
        return n

    @method(executor="process", retry=False, hedge=Hedge(after=1), idempotent=True)
    def plain(self, n: int) -> list[int]:
        return [n]

    @method
    def bare_plain(self, n: int) -> None:
        raise OutOfStock(sku=str(n))


class Feed(Service):
    """Methods that stream, of every kind."""

    @method(resume=True)
    async def watch(self, after: int, *, step: int = 1) -> AsyncIterator[int]:
        yield after + step

    @method
    async def bare(self) -> AsyncIterator[str]:
        yield "x"

    @method
    @abstractmethod
    def later(self, n: int) -> AsyncIterator[float]: ...

    @method(executor="process")
    def squares(self, n: int) -> Iterator[int]:
        yield n * n

    @method
    async def total(self, numbers: AsyncIterator[int], start: int = 0) -> int:
        return start

    @method
    async def either(self) -> Any:
        return 1

    @method
    def anything(self, n: int) -> Any:
        return n

    @method
    def total_in_thread(self, numbers: Iterator[int]) -> int:
        return sum(numbers)


class Feeding(Feed):
    async def later(self, n: int) -> AsyncIterator[float]:
        yield n / 2


class FeedingInThread(Feed):
    @method
    def later(self, n: int) -> Iterator[float]:
        yield n / 2


class Money:
    """A type that Leveret does not know."""

    @classmethod
    def parse(cls, text: str) -> Money:
        return cls()


MONEY = Hook(Money, str, encode=str, decode=Money.parse)
assert_type(MONEY, Hook[Money])
Hook(Money, Annotated[str, Meta(max_length=20)], encode=str, decode=Money.parse)
wrong: Hook[Money] = Hook(Money, str, encode=str, decode=int)  # type: ignore[arg-type]
Hook(Money, str, encode=Money.parse, decode=Money.parse)  # type: ignore[arg-type]


class Till(Service, name="till", types=[MONEY]):
    """Takes and gives what has a hook."""

    @method
    async def pay(self, price: Money, tip: Annotated[Money, MONEY]) -> Money:
        return price


def heard(progress: Progress) -> None:
    """What `on_progress` takes."""
    assert_type(progress.fraction, float | None)
    current_call().progress(progress.fraction, progress.text)


class Contract(Service, name="arithmetic"):
    """A contract without its implementation, with both orders of the decorators."""

    @method(timeout=1)
    @abstractmethod
    async def add(self, a: int, b: int) -> int: ...

    @abstractmethod
    @method()
    async def negate(self, a: int) -> int: ...


class Mixed(Service):
    """A contract that leaves open how it is implemented."""

    @method
    @abstractmethod
    def double(self, a: int) -> int: ...


class Doubling(Mixed):
    async def double(self, a: int) -> int:
        return 2 * a


class Arithmetic(Contract):
    async def add(self, a: int, b: int) -> int:
        return a + b

    # To pyright an `async def` gives a CoroutineType, which is a Coroutine; to mypy it gives just a
    # Coroutine, and so `@method` says that of a plain `def`.
    @method(concurrency=4)
    def negate(self, a: int) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return -a


async def a_local_instance_is_called_like_the_remote() -> None:
    fibonacci = Fibonacci()
    assert_type(await fibonacci.fib(30), int)
    assert_type(await fibonacci.plain(30), list[int])
    started: Coroutine[Any, Any, list[int]] = fibonacci.plain(n=30)
    assert_type(await started, list[int])
    assert_type(await fibonacci.bare_plain(30), None)
    assert_type(fibonacci.with_options(timeout=1), Fibonacci)
    assert_type(await Arithmetic().add(1, 2), int)
    assert_type(await Arithmetic().negate(1), int)
    assert_type(await Doubling().double(1), int)


async def what_streams_is_typed_as_its_iterator(numbers: AsyncIterator[int]) -> None:
    async with leveret.connect() as rabbit:
        feed = rabbit.remote(Feed)
        assert_type(feed.watch(3, step=2), AsyncIterator[int])
        assert_type(feed.bare(), AsyncIterator[str])
        assert_type(feed.later(1), AsyncIterator[float])
        async for number in feed.watch(after=3):
            assert_type(number, int)
        squares: AsyncIterator[int] = feed.squares(3)
        assert_type([square async for square in feed.squares(3)], list[int])
        assert_type(await anext(feed.squares(3)), int)
        assert_type(await feed.total(squares), int)
        texts: AsyncIterator[str] = feed.squares(3)  # type: ignore[assignment]
        assert_type(await feed.total(texts), int)  # type: ignore[arg-type]
        assert_type(await feed.anything(1), Any)
        feed.anything("1")  # type: ignore[arg-type]
        await feed.squares(3)  # type: ignore[misc]
        assert_type(await feed.total_in_thread(squares), int)  # type: ignore[arg-type]
        assert_type(await feed.total(numbers, start=1), int)
        assert_type(await feed.either(), Any)
        assert_type(Feeding().later(1), AsyncIterator[float])
        feed.watch("3")  # type: ignore[arg-type]
        await feed.watch(3)  # type: ignore[misc]
        await feed.total(["x"])  # type: ignore[arg-type]


async def a_remote_has_the_type_of_its_contract() -> None:
    async with leveret.connect() as rabbit:
        fibonacci = rabbit.remote(Fibonacci)
        assert_type(fibonacci, Fibonacci)
        assert_type(await fibonacci.fib(30), int)
        assert_type(await fibonacci.fib(n=30), int)
        assert_type(await fibonacci.bare("x", times=2), str)
        assert_type(await fibonacci.plain(30), list[int])

        hurried = fibonacci.with_options(timeout=0.5, metadata={"user": "ada"}, if_busy="fail")
        assert_type(hurried, Fibonacci)
        assert_type(await hurried.fib(30), int)
        stubborn = fibonacci.with_options(retry=Retry(attempts=5), hedge=Hedge(percentile=99))
        assert_type(stubborn, Fibonacci)
        assert_type(await stubborn.with_options(retry=False, hedge=False).fib(30), int)
        assert_type(fibonacci.with_options(hedge=0.05), Fibonacci)


async def a_discovered_service_is_called_by_any_name() -> None:
    async with leveret.connect() as rabbit:
        science = await rabbit.discover("science", timeout=1)
        assert_type(science, leveret.DiscoveredService)
        assert_type(await science.fib(30), Any)
        started: Coroutine[Any, Any, Any] = science.fib(n=30)
        await started
        hurried = science.with_options(timeout=1)
        assert_type(hurried, leveret.DiscoveredService)
        assert_type(await rabbit.with_options(timeout=1).discover("a"), leveret.DiscoveredService)
        try:
            await hurried.fib(30)
        except science.errors.TooLarge as error:
            assert_type(error.limit, Any)
        await rabbit.discover(Fibonacci)  # type: ignore[arg-type]


async def a_client_has_policies_for_all_its_calls() -> None:
    async with leveret.connect(retry=Retry(), hedge=0.05, breaker=Breaker(volume=5)) as rabbit:
        assert_type(await rabbit.remote(Fibonacci).fib(30), int)
    leveret.connect(retry=3)  # type: ignore[arg-type]
    leveret.connect(breaker=True)  # type: ignore[arg-type]
    Retry(tries=3)  # type: ignore[call-arg]


def an_error_tells_how_often_and_when() -> None:
    assert_type(leveret.Busy("x", retry_after=2).retry_after, float | None)
    assert_type(leveret.CallError("x").attempts, int)
    assert_type(leveret.CallError("x").call_id, str)
    assert_type(leveret.CircuitOpen("x").failures, dict[str, int])


async def a_store_of_keys_is_one_or_its_url() -> None:
    async with leveret.connect() as rabbit:
        await rabbit.serve(Fibonacci(), once=leveret.once.MemoryOnce())
        await rabbit.serve(Fibonacci(), once="redis://localhost")
        await rabbit.serve(Fibonacci(), once=5)  # type: ignore[arg-type]


async def options_of_serving_are_typed() -> None:
    async with leveret.connect() as rabbit:
        await rabbit.serve(Fibonacci(), grace=5, concurrency=2, allow={"*": ["ada"]})
        async with rabbit.serving(Fibonacci(), plain={"rpc": "fibonacci.fib"}) as server:
            assert_type(server, leveret.Server)
        assert_type(rabbit.serving(Fibonacci()), leveret.Serving)
        assert_type(await rabbit.serving(Fibonacci()), leveret.Server)
        await rabbit.serve(Fibonacci(), signals=False)
        await rabbit.serve(Fibonacci(), grace="5")  # type: ignore[arg-type]
        await rabbit.serve(Fibonacci(), patience=1)  # type: ignore[call-arg]
        rabbit.serving(Fibonacci(), concurrency="2")  # type: ignore[arg-type]


async def what_a_connection_makes_has_a_public_type() -> None:
    async with leveret.connect() as rabbit:
        assert_type(rabbit, leveret.Rabbit)
        assert_type(rabbit.with_options(timeout=1), leveret.Caller)
        assert_type(rabbit.plain("rpc"), leveret.PlainRemote[str])
        assert_type(rabbit.plain("rpc", result=int), leveret.PlainRemote[int])


async def options_of_a_client_are_typed_as_those_of_a_remote() -> None:
    async with leveret.connect() as rabbit:
        quick = rabbit.with_options(timeout=0.5, if_busy="fail", hedge=0.05, retry=False)
        assert_type(quick.remote(Fibonacci), Fibonacci)
        quick.with_options(metadata={"tenant": "Burrow"}, wait_for_server=True)
        rabbit.with_options(timeout="5")  # type: ignore[arg-type]
        rabbit.with_options(if_busy="perhaps")  # type: ignore[arg-type]
        rabbit.with_options(patience=1)  # type: ignore[call-arg]
        quick.with_options(patience=1)  # type: ignore[call-arg]


async def an_abstract_contract_can_be_called_remotely() -> None:
    async with leveret.connect() as rabbit:
        arithmetic = rabbit.remote(Contract)
        assert_type(arithmetic, Contract)
        assert_type(await arithmetic.add(1, 2), int)
        assert_type(await arithmetic.with_options(priority=3).negate(1), int)


async def any_method_of_a_remote_can_be_sent_one_way() -> None:
    async with leveret.connect() as rabbit:
        fibonacci = rabbit.remote(Fibonacci)
        handle = await rabbit.start(fibonacci.fib, key="k", keep=60)(30)
        assert_type(handle, leveret.CallHandle[int])
        assert_type(await handle, int)
        assert_type(await handle.result(timeout=1), int)
        assert_type(await handle.peek(), leveret.CallStatus)
        assert_type(rabbit.attach(fibonacci.bare, "k"), leveret.CallHandle[str])
        assert_type(
            await rabbit.with_options(timeout=1).start(fibonacci.fib, key="k")(n=30),
            leveret.CallHandle[int],
        )
        await rabbit.start(fibonacci.fib, key="k")("x")  # type: ignore[arg-type]
        rabbit.start(fibonacci.fib)  # type: ignore[call-arg]
        rabbit.attach(fibonacci, "k")  # type: ignore[arg-type]
        assert_type(await rabbit.send(fibonacci.fib)(30), None)
        assert_type(await rabbit.with_options(timeout=1).send(fibonacci.fib)(n=30), None)
        await rabbit.send(fibonacci.fib)("x")  # type: ignore[arg-type]
        await rabbit.send(fibonacci.fib)(30, 31)  # type: ignore[call-arg]
        rabbit.send(fibonacci)  # type: ignore[arg-type]

        assert_type(await rabbit.ask_one(fibonacci.bare, "b47af560", timeout=1)("x"), str)
        await rabbit.ask_one(fibonacci.fib, "b47af560")("x")  # type: ignore[arg-type]
        rabbit.ask_one(fibonacci.fib)  # type: ignore[call-arg]
        answers = await rabbit.ask_all(fibonacci.fib, timeout=1)(30)
        assert_type(answers, Answers[int])
        assert_type(answers.results, dict[str, int])
        assert_type(answers.errors, dict[str, CallError])
        quick = rabbit.with_options(timeout=1)
        assert_type(await quick.ask_all(fibonacci.bare, allow_effects=True)("x"), Answers[str])
        await rabbit.ask_all(fibonacci.fib)("x")  # type: ignore[arg-type]
        await rabbit.ask_all(fibonacci.bare)("x", 2)  # type: ignore[call-arg]
        rabbit.ask_all(fibonacci.fib, retry=False)  # type: ignore[call-arg]
        fibonacci.with_options(on_progress=heard)
        fibonacci.with_options(on_progress=len)  # type: ignore[arg-type]
        fibonacci.with_options(expires_in=60)
        fibonacci.with_options(expires_in="a minute")  # type: ignore[arg-type]


async def wrong_calls_are_type_errors() -> None:
    async with leveret.connect() as rabbit:
        fibonacci = rabbit.remote(Fibonacci)
        await fibonacci.fib("x")  # type: ignore[arg-type]
        await fibonacci.fib()  # type: ignore[call-arg]
        await fibonacci.fib(30, 31)  # type: ignore[call-arg]
        await fibonacci.bare("x", 2)  # type: ignore[call-arg]
        await fibonacci.plain("x")  # type: ignore[arg-type]
        await fibonacci.nothing()  # type: ignore[attr-defined]
        fibonacci.with_options(if_busy="perhaps")  # type: ignore[arg-type]
        fibonacci.with_options(patience=1)  # type: ignore[call-arg]
        rabbit.remote(int)  # type: ignore[type-var]


def declared_errors_are_built_like_dataclasses() -> None:
    error = OutOfStock(sku="a", left=2)
    assert_type(error.sku, str)
    assert_type(error.left, int)
    OutOfStock("a")
    OutOfStock(sku=3)  # type: ignore[arg-type]
    OutOfStock()  # type: ignore[call-arg]


def wrong_options_are_type_errors() -> None:
    method(timeout="5")  # type: ignore[call-overload]
    method(executor="loop")  # type: ignore[call-overload]
    method(retry=3)  # type: ignore[call-overload]
    method(hedge="p95")  # type: ignore[call-overload]
    method(one_way="yes")  # type: ignore[call-overload]
    method(keep_failed=1)  # type: ignore[call-overload]
    method(raises=[ValueError])  # type: ignore[list-item]
    Contract()  # type: ignore[abstract]
    Mixed()  # type: ignore[abstract]


class Stages(Service):
    """Methods that fit each other, and some that do not."""

    @method
    async def parse(self, text: str, *, base: int = 10) -> int:
        return int(text, base)

    @method
    async def halve(self, n: int, times: int = 1) -> float:
        return n / (2 * times)

    @method
    async def show(self, x: float) -> str:
        return str(x)

    @method
    async def pair(self, n: int, m: int) -> int:
        return n + m


async def pipes(rabbit: leveret.Rabbit) -> None:
    stages = rabbit.remote(Stages)
    pipe = rabbit.pipe(stages.parse, stages.halve, stages.show)
    assert_type(await pipe("7", base=8), str)
    assert_type(await rabbit.pipe(stages.parse, stages.halve)("7"), float)
    more = rabbit.with_options(timeout=5).pipe(*(stages.parse, stages.halve))
    assert_type(await more("7"), float)
    show, parse = stages.show, stages.parse
    long = rabbit.pipe(
        *(parse, stages.halve, show, parse, stages.halve, show, parse, stages.halve),
        *(show, parse, stages.halve, show, parse, stages.halve, show, parse),
    )
    assert_type(await long("7"), int)
    handle = await rabbit.start(pipe, key="k")("7", base=8)
    assert_type(handle, leveret.CallHandle[str])
    assert_type(await rabbit.attach(pipe, "k"), str)
    await pipe(7)  # type: ignore[arg-type]
    await pipe("7", base="8")  # type: ignore[arg-type]
    rabbit.pipe(stages.parse, stages.parse)  # type: ignore[arg-type]
    rabbit.pipe(stages.parse, stages.pair)  # type: ignore[arg-type]
    rabbit.pipe(stages.parse)  # type: ignore[call-overload]


def blocking() -> None:
    with leveret.blocking.connect() as rabbit:
        assert_type(rabbit, leveret.blocking.Rabbit)
        stages = rabbit.remote(Stages)
        assert_type(rabbit.run(stages.parse("7")), int)
        assert_type(rabbit.run(stages.parse("7"), stages.show(0.5)), tuple[int, str])
        assert_type(rabbit.submit(stages.halve(7)), Future[float])
        shown = stages.show(0.5)
        assert_type(rabbit.each(rabbit.remote(Feed).watch(3)), Generator[int, None, None])
        four = rabbit.run(stages.parse("7"), shown, stages.halve(1), stages.pair(1, 2))
        assert_type(four, tuple[int, str, float, int])
        assert_type(rabbit.run(*(stages.parse(text) for text in ("1", "2"))), tuple[int, ...])
        answers = rabbit.run(rabbit.ask_all(stages.parse)("7", base=8))
        assert_type(answers, leveret.Answers[int])
        handle = rabbit.run(rabbit.start(stages.halve, key="k")(7))
        assert_type(handle, leveret.CallHandle[float])
        assert_type(rabbit.run(rabbit.attach(stages.halve, "k")), float)
        assert_type(rabbit.run(stages.with_options(timeout=1).show(0.5)), str)
        assert_type(rabbit.with_options(timeout=1).remote(Stages), Stages)
        assert_type(rabbit.run(rabbit.pipe(stages.parse, stages.halve)("7")), float)
        rabbit.run(stages.parse(7))  # type: ignore[arg-type]
        rabbit.run(7)  # type: ignore[call-overload]
