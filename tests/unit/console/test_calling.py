"""Calls by the form: exact both ways, and what an error says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self, cast

import msgspec
import pytest

from leveret.client.streams.remote_stream import RemoteStream
from leveret.client.totals import MethodTotals
from leveret.console.calling import (
    AskedCall,
    make_call,
    parts_of,
    pretty,
    read_call,
    stream_call,
)
from leveret.errors import InvalidArgument, NoServer, RemoteError


class Items:
    def __init__(self, *items: object) -> None:
        self.items = items

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def __aiter__(self) -> AsyncIterator[object]:
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item


class Remote:
    def __init__(self, *results: object) -> None:
        self.results = results
        self.arguments: dict[str, Any] = {}

    async def call(self, method: str, /, **arguments: Any) -> Any:
        self.arguments = arguments
        (result,) = self.results
        if isinstance(result, Exception):
            raise result
        return result

    async def discover(self, service: str, /) -> Any:
        raise NoServer(f"nobody serves {service}")

    def ask_one(self, method: Any, instance: str) -> Any:
        raise AssertionError("nobody is there to ask")

    def stream(self, method: str, /, **arguments: Any) -> RemoteStream[Any]:
        return cast("RemoteStream[Any]", Items(*self.results))


BIG = 12345678901234567890123


async def test_integers_of_any_size_survive_both_ways() -> None:
    remote = Remote({"n": BIG})
    answer = await make_call(remote, "a.b", AskedCall(arguments=f'{{"n": {BIG}}}'), {"x": "y"})
    assert remote.arguments == {"n": BIG}
    assert (answer.ok, answer.metadata) == (True, {"x": "y"})
    assert str(BIG) in answer.text


@pytest.mark.parametrize("arguments", ["[1]", "{", "nonsense", "[" * 100_000])
async def test_arguments_that_are_no_object_are_an_answer(arguments: str) -> None:
    answer = await make_call(Remote(1), "a.b", AskedCall(arguments=arguments), {})
    assert (answer.ok, answer.code, answer.executed) == (False, "INVALID_ARGUMENT", "no")


async def test_an_error_says_its_code_its_class_and_its_fields() -> None:
    error = RemoteError("sold out", code="SOLD_OUT", type_name="SoldOut", data={"sku": "a"})
    answer = await make_call(Remote(error), "a.b", AskedCall(), {})
    assert (answer.code, answer.error, answer.executed) == ("SOLD_OUT", "SoldOut", "yes")
    assert msgspec.json.decode(answer.text) == {"sku": "a"}
    named = await make_call(Remote(1), "nonsense", AskedCall(), {})
    assert named.error == "InvalidArgument"


async def test_an_upload_of_a_service_that_nobody_serves_says_so() -> None:
    asked = AskedCall(upload="items", items=["1"])
    assert (await make_call(Remote(), "a.b", asked, {})).error == "NoServer"
    events = [event async for event in stream_call(Remote(), "a.b", asked, {})]
    assert msgspec.json.decode(events[0][1])["error"] == "NoServer"


async def test_what_streams_goes_to_no_chosen_server() -> None:
    asked = AskedCall(instance="b47af560", upload="items", items=["1"])
    answer = await make_call(Remote(), "a.b", asked, {})
    assert (answer.code, answer.executed) == ("INVALID_ARGUMENT", "no")
    events = [event async for event in stream_call(Remote(1), "a.b", asked, {})]
    assert msgspec.json.decode(events[0][1])["code"] == "INVALID_ARGUMENT"


async def test_a_stream_ends_with_what_became_of_it() -> None:
    events = [event async for event in stream_call(Remote(1, BIG), "a.b", AskedCall(), {})]
    assert events[:2] == [("item", "1"), ("item", str(BIG))]
    assert msgspec.json.decode(events[2][1])["ok"] is True
    broken = [it async for it in stream_call(Remote(NoServer("none")), "a.b", AskedCall(), {})]
    assert msgspec.json.decode(broken[0][1])["error"] == "NoServer"


def counted(calls: int, queue: float, handler: float) -> MethodTotals:
    totals = MethodTotals(method="a.b")
    totals.queue.counts[0] = totals.handler.counts[0] = calls
    totals.queue.total, totals.handler.total = queue, handler
    return totals


async def test_a_bar_is_of_what_the_servers_have_counted_meanwhile() -> None:
    parts, of = parts_of(1.0, counted(5, 1.0, 2.0), counted(6, 1.25, 2.5))
    assert of == 1
    assert [(part.name, part.seconds) for part in parts] == [
        *(("queue", 0.25), ("handler", 0.5), ("reply", 0.25))
    ]
    parts, of = parts_of(1.0, counted(5, 1.0, 2.0), counted(7, 1.5, 2.5))
    assert (of, [(part.name, part.seconds) for part in parts]) == (
        *(2, [("queue", 0.25), ("handler", 0.25)]),
    )
    assert parts_of(1.0, counted(5, 1.0, 2.0), counted(5, 1.0, 2.0)) == ([], 0)
    assert parts_of(1.0, counted(5, 1.0, 2.0), None) == ([], 0)

    async def after() -> MethodTotals:
        return counted(1, 0.1, 0.1)

    answer = await make_call(Remote(1), "a.b", AskedCall(), {}, counted(0, 0.0, 0.0), after)
    assert (len(answer.parts), answer.of) == (3, 1)


def test_what_a_browser_asks_for_is_checked() -> None:
    asked = read_call(b'{"arguments": "{}", "timeout": 2.5, "metadata": {"a": "b"}}')
    assert (asked.timeout, asked.metadata) == (2.5, {"a": "b"})
    for body in (b"", b"[]", b'{"timeout": "soon"}'):
        with pytest.raises(InvalidArgument):
            read_call(body)


def test_text_for_people() -> None:
    assert pretty({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'
