"""Makes the calls of the method page, and says of each what came of it and where its time went.

Arguments come as the text of a JSON object and results go as JSON text, so that integers of any
size are what they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct, field

from leveret.client.named import named_spec
from leveret.client.streams.remote_stream import RemoteStream
from leveret.client.totals import MethodTotals
from leveret.errors import CallError, InvalidArgument, LeveretError, RemoteError

__all__ = ["Answer", "AskedCall", "Callers", "make_call", "read_call", "stream_call"]

_MOST_TEXT: Final = 32_000_000
"""Characters of a result that are sent to the browser."""


class Callers(Protocol):
    """What makes calls with certain options."""

    async def call(self, method: str, /, **arguments: Any) -> Any:
        """Call "service.method"."""
        ...

    async def discover(self, service: str, /) -> Any:
        """A remote of a service, made of what its servers say."""
        ...

    def ask_one(self, method: Any, instance: str) -> Callable[..., Awaitable[Any]]:
        """Have one server run a method of a remote."""
        ...

    def stream(self, method: str, /, **arguments: Any) -> RemoteStream[Any]:
        """Stream from "service.method"."""
        ...


class AskedCall(Struct, frozen=True, kw_only=True):
    """A call that somebody asks for."""

    arguments: str = "{}"
    """The text of a JSON object."""
    timeout: float | None = None
    """Seconds; None: the console's own default."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Text that goes with the request."""
    priority: int | None = None
    """0 to the method's `priority_levels`."""
    idempotency_key: str | None = None
    """The caller's name for what is to happen once."""
    upload: str = ""
    """The parameter that takes a stream; "" if none does."""
    items: list[str] = []
    """What is sent by it, each as JSON text."""
    instance: str = ""
    """The server that is to run it, and no other one; "" for any."""

    def read_arguments(self) -> dict[str, Any]:
        """The arguments as plain values.

        :raises InvalidArgument: if they are no JSON object.
        """
        try:
            found = msgspec.json.decode(self.arguments)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"the arguments are no JSON: {error}") from None
        if not isinstance(found, dict):
            raise InvalidArgument("the arguments must be a JSON object")
        return found


async def _items_of(asked: AskedCall) -> AsyncIterator[Any]:
    """The items of an upload.

    :raises InvalidArgument: if one is no JSON.
    """
    for number, text in enumerate(asked.items, 1):
        try:
            item = msgspec.json.decode(text)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"item {number} is no JSON: {error}") from None
        yield item


async def _uploading(callers: Callers, method: str, asked: AskedCall) -> Any:
    """What calls a method with an upload: an awaitable, or a stream where it streams as well."""
    service, _, name = method.partition(".")
    remote = await callers.discover(service)
    return getattr(remote, name)(**asked.read_arguments(), **{asked.upload: _items_of(asked)})


async def _at_one(callers: Callers, method: str, asked: AskedCall) -> Any:
    """The result of a call that one server runs.

    :raises InvalidArgument: for an upload, which goes to any server.
    """
    if asked.upload:
        raise InvalidArgument("a call that takes a stream goes to any server, not to a chosen one")
    service, _, name = method.partition(".")
    remote = await callers.discover(service)
    run = callers.ask_one(getattr(remote, name), asked.instance)
    return await run(**asked.read_arguments())


class Part(Struct, frozen=True, kw_only=True):
    """A part of the time that a call took."""

    name: str
    """What it was spent on: client, queue, handler or reply."""
    seconds: float
    """How long."""


class Answer(Struct, frozen=True, kw_only=True):
    """What came of a call."""

    ok: bool
    """Whether it has a result."""
    text: str = ""
    """The result as JSON text; of a declared error its fields."""
    code: str = ""
    """The error's code."""
    error: str = ""
    """The error's class."""
    message: str = ""
    """What the error says."""
    executed: str = "yes"
    """Whether the handler ran."""
    seconds: float = 0.0
    """How long the call took."""
    metadata: dict[str, str] = field(default_factory=dict)
    """What the handler sent back beside its result."""
    parts: list[Part] = field(default_factory=list)
    """Where the time went, as far as anybody can tell."""
    of: int = 0
    """Of how many calls `parts` are the mean: all that ended meanwhile, with this one."""


def read_call(body: bytes) -> AskedCall:
    """Read what a browser asks for.

    :raises InvalidArgument: if it cannot be read.
    """
    try:
        return msgspec.json.decode(body, type=AskedCall)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"the request cannot be read: {error}") from None


async def make_call(
    callers: Callers,
    method: str,
    asked: AskedCall,
    reply_metadata: Mapping[str, str],
    before: MethodTotals | None = None,
    after: Any = None,
) -> Answer:
    """Call a method, and tell what came of it.

    :param reply_metadata: what the callers' options have for it.
    :param before: what the method's servers had counted before.
    :param after: asks what they have counted since: `await after()`.
    """
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        named_spec(method)
        if asked.instance:
            result = await _at_one(callers, method, asked)
        elif asked.upload:
            result = await (await _uploading(callers, method, asked))
        else:
            result = await callers.call(method, **asked.read_arguments())
    except LeveretError as error:
        answer = failed(error, clock() - began, reply_metadata)
    else:
        answer = Answer(
            ok=True,
            text=pretty(result),
            seconds=clock() - began,
            metadata=dict(reply_metadata),
        )
    if before is None or after is None:
        return answer
    since: MethodTotals | None = await after()
    parts, of = parts_of(answer.seconds, before, since)
    return msgspec.structs.replace(answer, parts=parts, of=of)


async def stream_call(
    callers: Callers, method: str, asked: AskedCall, reply_metadata: Mapping[str, str]
) -> AsyncIterator[tuple[str, str]]:
    """The events of a stream: "item" with JSON text, and "end" with an `Answer`."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        named_spec(method)
        if asked.instance:
            raise InvalidArgument("a stream comes from any server, not from a chosen one")
        if asked.upload:
            opened = await _uploading(callers, method, asked)
        else:
            opened = callers.stream(method, **asked.read_arguments())
        async with opened as items:
            async for item in items:
                yield "item", msgspec.json.encode(item).decode()
    except LeveretError as error:
        answer = failed(error, clock() - began, reply_metadata)
    else:
        answer = Answer(ok=True, seconds=clock() - began, metadata=dict(reply_metadata))
    yield "end", msgspec.json.encode(answer).decode()


def failed(error: LeveretError, seconds: float, metadata: Mapping[str, str]) -> Answer:
    """What is told of an error."""
    fields: dict[str, Any] = {}
    name = type(error).__name__
    if isinstance(error, RemoteError):
        fields, name = error.data, error.type_name or name
    return Answer(
        ok=False,
        text=pretty(fields) if fields else "",
        code=str(error.code) if isinstance(error, CallError) else "",
        error=name,
        message=error.message if isinstance(error, CallError) else str(error),
        executed=str(error.executed) if isinstance(error, CallError) else "no",
        seconds=seconds,
        metadata=dict(metadata),
    )


def pretty(value: object) -> str:
    """A value as JSON text for people."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT]


def parts_of(
    seconds: float, before: MethodTotals, after: MethodTotals | None
) -> tuple[list[Part], int]:
    """Where the time of a call went, by what its method's servers have counted meanwhile.

    Nobody tells of one call. If this one was the only call of its method, the sums tell of it, and
    what is left is the way of its reply. Else the means of all of them are the best that is known.

    :returns: the parts, and of how many calls they are the mean.
    """
    calls = after.queue.count - before.queue.count if after is not None else 0
    if after is None or calls <= 0:
        return [], 0
    queue = max(after.queue.total - before.queue.total, 0.0) / calls
    handler = max(after.handler.total - before.handler.total, 0.0) / calls
    found = [("queue", queue), ("handler", handler)]
    if calls == 1:
        found.append(("reply", max(seconds - queue - handler, 0.0)))
    return [Part(name=name, seconds=value) for name, value in found], calls
