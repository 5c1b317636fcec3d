"""Tests of methods that stream: how they are told, described, refused, and called locally."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from types import new_class
from typing import Any, Generic, TypeVar

import msgspec
import pytest

from leveret import Hook, Service, method
from leveret.codec import BUFFERS, JSON, RAW, TEXT, item_codec, method_codec
from leveret.contract import (
    MethodSpec,
    Upload,
    described_service,
    differences,
    fingerprint,
    handler_of,
    service_schema,
    spec_of,
)
from leveret.errors import ContractError


class Feed(Service):
    """Streams of every kind."""

    @method(resume=True)
    async def watch(self, after: int, *, step: int = 1) -> AsyncIterator[int]:
        """Tell numbers."""
        yield after + step

    @method
    async def generated(self) -> AsyncGenerator[int, None]:
        yield 1

    @method
    def passed_on(self, n: int) -> AsyncIterator[int]:
        return self.watch(n)

    @method
    def in_thread(self, n: int) -> Iterator[int]:
        for _ in range(n):
            yield threading.get_ident()

    @method(executor="process")
    def in_process(self, n: int) -> Generator[int, None, None]:
        yield n

    @method
    async def total(self, start: int, numbers: AsyncIterator[int], times: int = 1) -> int:
        return start

    @method(content_type=RAW)
    def stored(self, *, chunks: Iterable[bytes]) -> bytes:
        return b"".join(chunks)

    @method
    async def talk(self, said: AsyncIterable[str]) -> AsyncIterator[str]:
        async for one in said:
            yield one

    @method
    async def total_none(self, numbers: AsyncIterator[int]) -> None: ...

    @method
    async def plain(self, n: int) -> list[int]:
        return [n]


SPECS = spec_of(Feed).methods


def test_what_streams_is_told_by_the_annotations() -> None:
    streams = {name: (spec.streams, spec.result, spec.executor) for name, spec in SPECS.items()}
    assert streams == {
        "watch": (True, int, "loop"),
        "generated": (True, int, "loop"),
        "passed_on": (True, int, "loop"),
        "in_thread": (True, int, "thread"),
        "in_process": (True, int, "process"),
        "total": (False, int, "loop"),
        "stored": (False, bytes, "thread"),
        "talk": (True, str, "loop"),
        "total_none": (False, type(None), "loop"),
        "plain": (False, list[int], "loop"),
    }
    assert [name for name, spec in SPECS.items() if spec.resume] == ["watch"]


def test_what_is_uploaded_is_no_argument_but_has_its_place() -> None:
    def told(upload: Upload | None) -> tuple[str, Any, int | None] | None:
        return None if upload is None else (upload.name, upload.item, upload.position)

    uploads = {name: told(spec.upload) for name, spec in SPECS.items() if spec.upload is not None}
    assert uploads == {
        "total": ("numbers", int, 1),
        "stored": ("chunks", bytes, None),
        "talk": ("said", str, 0),
        "total_none": ("numbers", int, 0),
    }
    assert SPECS["total"].parameters.__struct_fields__ == ("start", "times")
    assert SPECS["stored"].keyword_only
    assert SPECS["talk"].parameters.__struct_fields__ == ()


@pytest.mark.parametrize("content_type", [JSON, "application/msgpack", BUFFERS])
def test_each_item_is_a_body_of_its_own(content_type: str) -> None:
    codec = item_codec(content_type, int)
    assert codec.decode(bytes(codec.encode(3))) == 3
    with pytest.raises((msgspec.ValidationError, ValueError)):
        codec.encode("three")
    spec = SPECS["watch"]
    of_method = method_codec(content_type, spec.parameters, spec.result)
    assert of_method.decode_result(bytes(codec.encode(3))) == 3


def test_items_of_text_and_bytes() -> None:
    assert item_codec(TEXT, int).encode(3) == b"3"
    assert item_codec(RAW, bytes).decode(b"abc") == b"abc"
    with pytest.raises(ContractError, match="annotate it as bytes"):
        item_codec(RAW, str)


async def test_a_local_stream_is_iterated_with_await_whatever_it_is() -> None:
    feed = Feed()
    assert [item async for item in feed.watch(3, step=2)] == [5]
    assert [item async for item in feed.passed_on(3)] == [4]
    assert [item async for item in feed.in_process(3)] == [3]
    in_threads = [item async for item in feed.in_thread(2)]
    assert threading.get_ident() not in in_threads
    assert len(in_threads) == 2


async def test_a_local_iterator_in_a_thread_is_closed_when_its_loop_ends_early() -> None:
    closed: list[bool] = []

    class Endless(Service):
        @method
        def count(self) -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                closed.append(True)

        @method
        def borrowed(self) -> Iterator[int]:
            return iter([1, 2])

    counting = Endless().count()
    assert await anext(counting) == 1
    assert isinstance(counting, AsyncGenerator)
    await counting.aclose()
    assert closed == [True]
    assert [item async for item in Endless().borrowed()] == [1, 2]


def test_a_server_runs_the_function_itself() -> None:
    feed = Feed()
    assert list(handler_of(feed, SPECS["in_process"])(3)) == [3]
    assert isinstance(handler_of(feed, SPECS["passed_on"])(3), AsyncIterator)


class Contract(Service, name="contracted"):
    @method
    @abstractmethod
    def watch(self, n: int) -> AsyncIterator[int]: ...

    @abstractmethod
    @method
    def total(self, numbers: AsyncIterator[int]) -> int: ...


class OnTheLoop(Contract):
    async def watch(self, n: int) -> AsyncIterator[int]:
        yield n

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])


class InThreads(Contract):
    @method
    def watch(self, n: int) -> Iterator[int]:
        yield n

    @method
    def total(self, numbers: Iterator[int]) -> int:  # type: ignore[override]
        return sum(numbers)


class Inherits(OnTheLoop):
    pass


async def test_a_contract_leaves_open_where_a_stream_comes_from() -> None:
    assert spec_of(Contract).abstract
    with pytest.raises(TypeError, match="abstract"):
        Contract()  # type: ignore[abstract]
    for implementation in (OnTheLoop, InThreads, Inherits):
        assert [item async for item in implementation().watch(3)] == [3]
        spec = spec_of(implementation).methods["total"]
        assert spec.upload is not None
        assert spec.upload.item is int
    assert spec_of(InThreads).methods["watch"].executor == "thread"
    assert spec_of(Inherits).methods["watch"].executor == "loop"


@pytest.mark.parametrize("wrong", ["other items", "a list", "no upload", "another name"])
def test_an_implementation_streams_what_its_contract_does(wrong: str) -> None:
    async def other_items(self: Any, n: int) -> AsyncIterator[str]:
        yield ""

    async def a_list(self: Any, n: int) -> int:
        return n

    async def no_upload(self: Any, numbers: list[int]) -> int:
        return 0

    async def another_name(self: Any, of: AsyncIterator[int]) -> int:
        return 0

    functions: dict[str, tuple[str, Callable[..., Any]]] = {
        "other items": ("watch", other_items),
        "a list": ("watch", a_list),
        "no upload": ("total", no_upload),
        "another name": ("total", another_name),
    }
    name, function = functions[wrong]
    with pytest.raises(ContractError, match="AsyncIterator.*; write the same names") as caught:
        type("Wrong", (Contract,), {name: function})
    assert "AsyncIterator[int]" in str(caught.value)


ItemT = TypeVar("ItemT")


def test_items_may_be_of_type_variables_and_have_hooks() -> None:
    class Money:
        def __init__(self, text: str) -> None:
            self.text = text

    class Shop(Service, Generic[ItemT]):
        @method
        async def all(self) -> AsyncIterator[ItemT]:
            raise NotImplementedError
            yield

        @method
        async def store(self, items: AsyncIterator[ItemT]) -> None: ...

    assert spec_of(Shop).type_variables == ("ItemT",)
    hook = Hook(Money, str, encode=lambda money: money.text, decode=Money)
    made: Any = new_class("Moneys", (Shop[Money],), {"types": [hook]})
    methods = spec_of(made).methods
    upload = methods["store"].upload
    assert upload is not None
    for item in (methods["all"].result, upload.item):
        assert item_codec(JSON, item).encode(Money("3")) == b'"3"'


def defined(function: Callable[..., Any], **options: Any) -> MethodSpec:
    cls: Any = type("Shop", (Service,), {"run": method(**options)(function)})
    return spec_of(cls).methods["run"]


class Wrong:
    """Functions that cannot be methods of a service."""

    async def coroutine(self: Any) -> AsyncIterator[int]: ...  # type: ignore[empty-body]

    async def unsaid(self: Any) -> list[int]:  # type: ignore[misc]
        yield 1

    def unsaid_plain(self: Any) -> Any:
        yield 1

    def plain_as_async(self: Any) -> AsyncIterator[int]:  # type: ignore[misc]
        yield 1

    async def async_as_plain(self: Any) -> Iterator[int]:  # type: ignore[misc]
        yield 1

    def iterable(self: Any) -> Iterable[int]:
        yield 1

    async def bare(self: Any) -> AsyncIterator:  # type: ignore[type-arg]
        yield 1

    async def sent(self: Any) -> AsyncGenerator[int, str]:
        yield 1

    async def two(self: Any, a: AsyncIterator[int], b: AsyncIterator[int]) -> None: ...

    async def default(self: Any, a: AsyncIterator[int] | None = None) -> None: ...

    async def empty(self: Any, a: AsyncIterator[int] = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    async def blocking(self: Any, a: Iterator[int]) -> None: ...

    def awaited(self: Any, a: AsyncIterator[int]) -> None: ...

    async def untravelled(self: Any) -> AsyncIterator[threading.Lock]:
        raise NotImplementedError
        yield


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("coroutine", "an `async def` without `yield` gives one result"),
        ("unsaid", r"it yields, so its result is a stream; write `-> AsyncIterator\["),
        ("unsaid_plain", r"it yields, so its result is a stream; write `-> Iterator\["),
        ("plain_as_async", "a plain `def` with `yield` is an Iterator"),
        ("async_as_plain", "an `async def` with `yield` is an AsyncIterator"),
        ("iterable", r"its result streams; write `-> AsyncIterator\["),
        ("bare", "its result is an AsyncIterator without its items"),
        ("sent", "its result is a generator that takes or returns values"),
        ("two", "the parameters 'a' and 'b' stream, and only one can"),
        ("default", "parameter 'a' has the type .*, which cannot travel"),
        ("empty", "parameter 'a' streams, and cannot have a default"),
        ("blocking", "parameter 'a' would block the event loop"),
        ("awaited", "parameter 'a' is awaited"),
        ("untravelled", "its result has the type .*, which cannot travel"),
    ],
)
def test_what_cannot_stream_is_refused_with_what_to_write(kind: str, message: str) -> None:
    with pytest.raises(ContractError, match=r"Shop\.run: " + message):
        defined(vars(Wrong)[kind])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("watch", {"hedge": 0.1, "idempotent": True}, "hedge is for calls that do not stream"),
        ("watch", {"once": True}, "once is for calls that do not stream"),
        ("total", {"once": True}, "once is for calls that do not stream"),
        ("total_none", {"one_way": True}, "one_way is for calls that do not stream"),
        ("plain", {"resume": True}, "resume=True is for a method that streams results"),
        ("total", {"resume": True}, "resume=True is for a method that streams results"),
        ("talk", {"resume": True}, "nobody has the upload any more"),
        ("watch", {"resume": 1}, "resume is 1; write True or False"),
        ("passed_on", {"executor": "thread"}, "what returns an AsyncIterator, runs on the event"),
    ],
)
def test_options_that_cannot_hold_for_a_stream_are_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    function = vars(Feed)[name]
    with pytest.raises(ContractError, match=r"Shop\.run: .*" + message):
        defined(copied(function), **options)


def copied(function: Any) -> Any:
    """The function without the mark of `@method`."""
    made = type(function)(function.__code__, function.__globals__, "run")
    made.__annotations__ = function.__annotations__
    made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return made


def test_options_that_turn_nothing_on_are_allowed() -> None:
    spec = defined(copied(vars(Feed)["watch"]), retry=False, hedge=False, idempotent=True)
    assert spec.idempotent


def test_a_description_says_what_streams_and_a_discovered_service_streams_it() -> None:
    described = service_schema(Feed)["methods"]
    assert described["watch"]["streams"] is True
    assert described["watch"]["resume"] is True
    assert described["watch"]["result"]["type"] == "integer"
    assert described["total"]["upload"]["position"] == 1
    assert described["total"]["upload"]["item"]["type"] == "integer"
    assert "position" not in described["stored"]["upload"]
    assert not {"streams", "upload", "resume"} & described["plain"].keys()
    found = described_service(service_schema(Feed)).methods
    for name, spec in SPECS.items():
        there = found[name]
        assert (there.streams, there.resume) == (spec.streams, spec.resume)
        if spec.upload is None or there.upload is None:
            assert spec.upload is there.upload
        else:
            assert there.upload.name == spec.upload.name
            assert there.upload.position == spec.upload.position


def test_two_servers_must_agree_on_what_streams() -> None:
    described = service_schema(Feed)["methods"]
    watch = described["watch"]
    once = {name: value for name, value in watch.items() if name != "streams"}
    assert fingerprint(once) != fingerprint(watch)
    assert list(differences(once, watch)) == ["streams is missing here and true there"]
    assert fingerprint({**watch, "resume": False}) == fingerprint(watch)
