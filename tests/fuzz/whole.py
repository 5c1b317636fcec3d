"""A server and a client as a whole, with a peer that sends what no peer of ours would.

Over the embedded broker, so that all that may pass a broker reaches them, and nothing else of
theirs is known here than the public API.
"""
# ruff: noqa: PT017 - whether a call fails is open: if it does, this must be true

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Final

import leveret
from leveret import CallError, Service, method
from leveret.amqp import frames
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties, short_string
from leveret.amqp.tables import decode_table
from leveret.broker.embedded import EmbeddedBroker
from leveret.errors import InvalidResult
from leveret.wire.failures import decode_failure
from tests.behaviour.raw import RawPeer
from tests.fuzz.choices import Choices
from tests.fuzz.decoders import MALFORMED, Check
from tests.fuzz.nasty import RAISES, Color, Even, Loaded, Plain, Strict, Tree

PATIENCE: Final = 8.0
"""Seconds after which what must happen counts as hung."""

_CONTENT_TYPES: Final = (
    *("application/json", "application/msgpack", "text/plain", "application/octet-stream", None),
    *("", "application/json; charset=latin-1", "x" * 255),
)
_AT_ONCE: Final = "0"
"""An expiration: the broker drops the message unless a consumer takes it at once."""
_KINDS: Final = ("result", "error", "call", "accepted", "claim", "cancel", "go", "ping", None, "")


class Hostile(Service):
    """What a stranger may call."""

    def __init__(self) -> None:
        self.ran = 0

    @method(idempotent=True)
    async def take(
        self, value: Tree | None = None, color: Color = Color.RED, extra: Any = None
    ) -> Any:
        self.ran += 1
        return extra

    @method(raises=[Plain, Loaded, Strict])
    async def fail(self, even: Even | None = None, sku: str = "") -> int:
        self.ran += 1
        raise Strict(sku=sku, left=even.n if even else 0)

    @method
    async def text(self, text: str) -> str:
        self.ran += 1
        return text


class Far(Service):
    """What the hostile peer serves."""

    @method(timeout=PATIENCE, idempotent=True, raises=[Plain, Loaded, Strict])
    async def get(self) -> Tree:
        raise NotImplementedError


class World:
    """A broker, a server, a client and a hostile peer, on an event loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._complaints: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, context: self._complaints.append(context))
        self._closing: list[Callable[[], Coroutine[Any, Any, Any]]] = []
        self._number = 0
        self._script: list[tuple[str | None, bytes, bytes]] = []
        self._run(self._open())

    def _run(self, main: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(asyncio.wait_for(main, 3 * PATIENCE))
        assert not self._complaints, f"callbacks failed: {self._complaints}"

    async def _open(self) -> None:
        self._broker = await EmbeddedBroker().start()
        self._service = Hostile()
        host, self._client = leveret.connect(self._broker.url), leveret.connect(self._broker.url)
        await host
        serving = host.serving(self._service, plain={"tutorial": "hostile.text"})
        await serving.__aenter__()
        await self._client
        self._far = self._client.remote(Far)
        self._raw = await RawPeer.open(self._broker.url)
        await self._raw.listen()
        self._raw.connection.on_close.append(lambda error: self._complaints.append({"lost": error}))
        await self._serve_far()
        self._closing = [
            *(self._client.close, lambda: serving.__aexit__(None, None, None)),
            *(host.close, self._raw.close, self._broker.close),
        ]

    async def _serve_far(self) -> None:
        channel = await self._raw.connection.open_channel()
        await channel.declare_queue("leveret.far.get")
        await channel.bind_queue("leveret.far.get", "leveret", "far.get")
        await channel.consume("leveret.far.get", self._answer, no_ack=True)

    def close(self) -> None:
        """End all of it; nothing may be left."""

        async def close() -> None:
            self._raw.connection.on_close.clear()
            for step in self._closing:
                await step()

        self._run(close())
        left = asyncio.all_tasks(self._loop)
        self._loop.close()
        assert not left, f"tasks are left: {left}"

    # -- the server ---------------------------------------------------------------------------

    def request(self, data: bytes) -> None:
        """Whatever is asked of a server, it answers with a result or an error, and goes on."""
        self._run(self._request(Choices(data)))

    async def _request(self, choices: Choices) -> None:
        exchange, key = choices.one_of(
            (
                *(("leveret", "hostile.take"), ("leveret", "hostile.fail"), ("", "tutorial")),
                *(("leveret", "hostile.text"), ("leveret.control", "all")),
            )
        )
        before = self._service.ran
        reply_to = choices.one_of((self._raw.reply_queue, "", "nobody"))
        content = _message(choices, reply_to)
        await self._publish(exchange, key, content)
        replies = await self._replies_up_to_a_sane_one(key if exchange == "leveret" else "")
        if reply_to != self._raw.reply_queue or exchange == "leveret.control":
            return
        told = [_executed(reply, plain=not exchange) for reply in replies]
        assert told or short_string(_AT_ONCE) in content[0], "no answer"
        if "yes" not in told and exchange:
            assert set(told) <= {"no"}, f"it is not known what ran: {replies}"
            assert self._service.ran == before, f"it ran: {replies}"

    async def _publish(self, exchange: str, key: str, content: tuple[bytes, bytes]) -> None:
        # A channel of its own, as the broker may close it over what stands in the headers.
        channel = await self._raw.connection.open_channel()
        packed, body = content
        frame_max = self._raw.connection.frame_max
        self._raw.connection.send(
            frames.publish_prefix(channel.number, exchange, key)
            + frames.content_frames(channel.number, packed, body, frame_max)
        )
        await channel.close()

    async def _replies_up_to_a_sane_one(self, key: str) -> list[Delivery]:
        """What comes before the answer to a request as it should be, by the same way."""
        self._number += 1
        mark = f"sane {self._number}"
        before = self._service.ran
        if key in {"", "hostile.text"}:
            # The tutorial's queue has a channel of its own, and the control queue another.
            self._raw.channel.publish(
                *("", "tutorial") if not key else ("leveret", key),
                _sane(mark, self._raw.reply_queue, "text/plain"),
                b"alive",
            )
        else:
            self._raw.request(key, b"{}", correlation_id=mark)
        replies: list[Delivery] = []
        while True:
            async with asyncio.timeout(PATIENCE):
                reply = await self._raw.reply()
            if reply.properties.correlation_id == mark:
                break
            if reply.properties.type in {"result", "error"}:
                replies.append(reply)
        self._service.ran = before
        return replies

    # -- the client ---------------------------------------------------------------------------

    def reply(self, data: bytes) -> None:
        """Whatever a server answers, a call ends with a value or an error of ours."""
        choices = Choices(data)
        self._script = []
        for _ in range(1 + choices.number(3)):
            forged = choices.one_of((None, "0", "", "unknown"))
            packed, body = _message(choices, "leveret.control", own_id=forged)
            self._script.append((forged, packed, body))
        self._run(self._call())

    async def _call(self) -> None:
        async with asyncio.timeout(PATIENCE):
            try:
                assert isinstance(await self._far.get(), Tree)
            except CallError as error:
                assert error.executed in {"no", "maybe", "yes"}
                assert str(error)
        self._script = []
        async with asyncio.timeout(PATIENCE):
            assert await self._far.get() == Tree(7)
        assert self._client.in_flight == 0

    def _answer(self, request: Delivery) -> None:
        reply_to = request.properties.reply_to or ""
        connection, number = self._raw.connection, self._raw.channel.number
        own = short_string(request.properties.correlation_id or "")
        for forged, written, body in self._script:
            packed = written.replace(_HERE, own) if forged is None else written
            connection.send(
                frames.publish_prefix(number, "", reply_to)
                + frames.content_frames(number, packed, body, connection.frame_max)
            )
        self._raw.answer(request, b'{"value":7}')


_HERE: Final = short_string("the call's own id")


def _sane(call_id: str, reply_to: str, content_type: str) -> Properties:
    """Those of a request as it should be."""
    return Properties(
        content_type=content_type, correlation_id=call_id, reply_to=reply_to, type="call"
    )


def _message(choices: Choices, reply_to: str, own_id: str | None = "fuzz") -> tuple[bytes, bytes]:
    """Packed properties and a body; `own_id` None stands for what is filled in later."""
    content_type = choices.one_of(_CONTENT_TYPES)
    kind = choices.one_of(_KINDS)
    expiration = choices.one_of((None, "5000", _AT_ONCE, "4294967295"))
    headers = _headers(choices)
    call_id = _HERE if own_id is None else short_string(own_id)
    if choices.maybe():
        odd = choices.piece()
        call_id = bytes((len(odd),)) + odd if own_id is not None else call_id
    fields: list[tuple[int, bytes | None]] = [
        (0x8000, None if content_type is None else short_string(content_type)),
        (0x2000, None if headers is None else struct.pack(">I", len(headers)) + headers),
        (0x0400, call_id),
        (0x0200, short_string(reply_to) if reply_to else None),
        (0x0100, None if expiration is None else short_string(expiration)),
        (0x0020, None if kind is None else short_string(kind)),
    ]
    flags = sum(bit for bit, value in fields if value is not None)
    packed = b"".join(value for _, value in fields if value is not None)
    body = choices.rest() if own_id == "fuzz" else choices.piece()
    return struct.pack(">H", flags) + packed, body


def _headers(choices: Choices) -> bytes | None:
    """A table's entries, if they are any: a broker hands no others on."""
    raw = choices.piece() if choices.maybe() else b""
    if choices.maybe():
        raw += b"\x08deadlinel" + (choices.piece() + b"\x7f" * 8)[:8]
    try:
        decode_table(raw, 0, len(raw))
    except MALFORMED:
        return None
    return raw


def _executed(reply: Delivery, *, plain: bool) -> str:
    """Whether the handler ran, as its answer says."""
    assert reply.body is not None
    if reply.properties.type == "result" or plain:
        return "yes"
    error = decode_failure(reply.body, RAISES, "hostile.take")
    assert not isinstance(error, InvalidResult) or error.executed == "yes"
    assert "cannot be decoded" not in str(error), f"{reply.body!r}"
    return error.executed


_worlds: Final[list[World]] = []


def _world() -> World:
    """The one of this process, made when it is needed: atheris forks before."""
    if not _worlds:
        _worlds.append(World())
    return _worlds[0]


WHOLE: Final[dict[str, Check]] = {
    "server": lambda data: _world().request(data),
    "client": lambda data: _world().reply(data),
}
"""By the names that `python -m tests.fuzz.atheris_run` takes."""
