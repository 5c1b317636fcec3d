"""A scripted AMQP client: sends what a test says, frame by frame, and tells what came back.

It packs and reads with pamqp alone, so no mistake of Leveret's own AMQP engine hides another. It
reads only when it is asked for the next frame: no task runs beside the test.
"""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

import pamqp.base
import pamqp.frame
from pamqp import body, commands, header, heartbeat
from pamqp.commands import Basic, Channel, Confirm, Connection, Queue

from tests.behaviour.amqp.typed import typed_headers
from tests.behaviour.patience import PATIENCE, until_found

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
AMQP_1_HEADER = b"AMQP\x03\x01\x00\x00"
"""With SASL; RabbitMQ 4 answers it to whatever it does not know."""

CAPABILITIES = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}

Properties = Basic.Properties


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    channel: int
    payload: bytes


class Refusal(NamedTuple):
    """A connection.close or channel.close of the broker's; `by` is the method it blames, if any."""

    code: int
    text: str
    by: str


class Message(NamedTuple):
    """A method that carries content (deliver, get-ok, return), and the content."""

    method: Any
    properties: Properties
    body: bytes
    raw_properties: bytes

    @property
    def headers(self) -> dict[str, Any]:
        return dict(self.properties.headers or {})

    @property
    def typed_headers(self) -> Any:
        """The headers with the type octet of each value; see `typed`."""
        return typed_headers(self.raw_properties)

    @property
    def tag(self) -> int:
        return int(self.method.delivery_tag)


class Wire:
    """A socket to the broker, and frames on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, url: str) -> Self:
        """Connect, and say nothing yet."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, method: pamqp.base.Frame, channel: int = 0) -> None:
        """One method frame."""
        self.write(pamqp.frame.marshal(method, channel))

    async def frame(self) -> Frame:
        """The next frame."""
        async with asyncio.timeout(PATIENCE):
            kind, channel, size = struct.unpack(">BHI", await self._reader.readexactly(7))
            payload = await self._reader.readexactly(size + 1)
        assert payload[-1:] == b"\xce", "a frame of the broker's ends without its end octet"
        return Frame(kind, channel, payload[:-1])

    async def read(self, size: int) -> bytes:
        """So many bytes, as they come."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readexactly(size)

    async def method(self) -> Any:
        """The next frame, which is to be a method on channel 0."""
        frame = await self.frame()
        assert (frame.kind, frame.channel) == (1, 0), f"a method on channel 0 was due: {frame}"
        return parsed(frame)

    async def ends(self) -> bool:
        """Whether the broker closes the socket and sends nothing more before that."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self._reader.read(1) == b""
            except ConnectionResetError:
                return True

    def heard_nothing(self) -> bool:
        """Whether nothing came that was not read."""
        return not self._reader._buffer  # type: ignore[attr-defined]

    async def drain(self) -> None:
        """Return when the socket took what was written."""
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    async def hang_up(self) -> None:
        """Close the socket without a word."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, OSError):
            pass  # the broker was first


def parsed(frame: Frame) -> Any:
    """A frame as pamqp has it."""
    data = struct.pack(">BHI", frame.kind, frame.channel, len(frame.payload))
    return pamqp.frame.unmarshal(data + frame.payload + b"\xce")[2]


class Client(Wire):
    """A connection that is open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.vhost = "/"
        self.start: Any = None
        self.tune: Any = None
        self.frame_max = 0
        self._channels = 0
        self._came: defaultdict[int, deque[Any]] = defaultdict(deque)

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        frame_max: int | None = None,
        channel_max: int | None = None,
        heartbeat: int = 0,
        capabilities: dict[str, bool] | None = None,
    ) -> Self:
        """Shake hands; None takes what the broker offers."""
        client = await cls.dial(url)
        parts = urlsplit(url)
        client.write(PROTOCOL_HEADER)
        client.start = await client.method()
        known: Any = CAPABILITIES if capabilities is None else capabilities
        client.send(
            Connection.StartOk(
                {"product": "script", "capabilities": known},
                "PLAIN",
                f"\0{unquote(parts.username or '')}\0{unquote(parts.password or '')}",
                "en_US",
            )
        )
        tune = client.tune = await client.method()
        client.frame_max = tune.frame_max if frame_max is None else frame_max
        client.send(
            Connection.TuneOk(
                tune.channel_max if channel_max is None else channel_max,
                client.frame_max,
                heartbeat,
            )
        )
        client.vhost = unquote(parts.path[1:]) or "/"
        client.send(Connection.Open(client.vhost))
        assert isinstance(await client.method(), Connection.OpenOk)
        return client

    async def channel(self, number: int | None = None) -> Lane:
        """Open a channel, the next number where none is given."""
        self._channels = number or self._channels + 1
        lane = Lane(self, self._channels)
        assert isinstance(await lane.call(Channel.Open()), Channel.OpenOk)
        return lane

    async def next(self, channel: int) -> Any:
        """What comes next on a channel: a method, or a `Message`. Heartbeats are passed over."""
        while not self._came[channel]:
            number, came = await self._event()
            self._came[number].append(came)
        return self._came[channel].popleft()

    async def anything(self) -> Any:
        """What comes next on any channel."""
        return (await self._event())[1]

    async def _event(self) -> tuple[int, Any]:
        frame = await self.frame()
        found = parsed(frame)
        if isinstance(found, heartbeat.Heartbeat):
            return await self._event()
        if not isinstance(found, Basic.Deliver | Basic.GetOk | Basic.Return):
            return frame.channel, found
        raw = await self.frame()
        head = parsed(raw)
        assert isinstance(head, header.ContentHeader), f"a content header was due: {raw}"
        chunks = b""
        while len(chunks) < head.body_size:
            part = await self.frame()
            assert (part.kind, part.channel) == (3, frame.channel), f"a body was due: {part}"
            assert part.payload, "an empty body frame"
            assert not self.frame_max or len(part.payload) + 8 <= self.frame_max
            chunks += part.payload
        return frame.channel, Message(found, head.properties, chunks, raw.payload[12:])

    async def refusal(self) -> Refusal:
        """The connection.close that comes next; it is answered, and the socket ends."""
        refusal = _refusal(await self.next(0))
        self.send(Connection.CloseOk())
        assert await self.ends(), "after close-ok the broker closes the socket"
        await self.hang_up()
        return refusal

    async def refused(self, method: pamqp.base.Frame, channel: int = 0) -> Refusal:
        """Send a method that is to cost the connection."""
        self.send(method, channel)
        return await self.refusal()

    def put_back(self, channel: int, came: list[Any]) -> int:
        """What came too early on a channel is to come next; returns how much waits there."""
        self._came[channel].extendleft(reversed(came))
        return len(self._came[channel])

    async def alive(self) -> bool:
        """Whether the broker still serves this connection."""
        lane = await self.channel(60_000 if self.tune.channel_max == 0 else self.tune.channel_max)
        return isinstance(await lane.call(Channel.Close(200, "", 0, 0)), Channel.CloseOk)

    async def close(self) -> None:
        """Say goodbye, if that is still to be done, and close the socket."""
        if not self.writer.is_closing():
            self.send(Connection.Close(200, "", 0, 0))
            try:
                while not isinstance(await self.next(0), Connection.CloseOk):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # the broker was first
            await self.hang_up()


def _refusal(came: Any) -> Refusal:
    assert isinstance(came, Connection.Close | Channel.Close), f"a close was due: {came}"
    close: Any = came
    blamed: Any = commands.INDEX_MAPPING.get(close.class_id << 16 | close.method_id)
    return Refusal(close.reply_code, close.reply_text, blamed.name if blamed else "")


class Lane:
    """A channel of a `Client`."""

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.number = number

    # -- the protocol -------------------------------------------------------------------------

    def send(self, *methods: pamqp.base.Frame) -> None:
        """Methods, one after the other, whose answers are awaited by `next` or not at all."""
        for method in methods:
            self.client.send(method, self.number)

    async def next(self) -> Any:
        """What comes next: a method, or a `Message`."""
        return await self.client.next(self.number)

    async def call(self, method: pamqp.base.Frame) -> Any:
        """A method, and what comes next, which is to be one of its answers."""
        self.send(method)
        answer = await self.next()
        name = answer.method.name if isinstance(answer, Message) else answer.name
        assert name in method.valid_responses, f"{method.name} was answered by {answer}"
        return answer

    async def refusal(self) -> Refusal:
        """The channel.close that comes next; it is answered."""
        refusal = _refusal(await self.next())
        self.send(Channel.CloseOk())
        return refusal

    async def refused(self, method: pamqp.base.Frame) -> Refusal:
        """Send a method that is to cost the channel."""
        self.send(method)
        return await self.refusal()

    async def close(self) -> None:
        assert isinstance(await self.call(Channel.Close(200, "", 0, 0)), Channel.CloseOk)

    # -- sentences ----------------------------------------------------------------------------

    def publish(
        self,
        exchange: str,
        routing_key: str,
        content: bytes = b"",
        *,
        mandatory: bool = False,
        immediate: bool = False,
        **properties: Any,
    ) -> None:
        """Send a message; `properties` by their names in AMQP."""
        self.send(
            Basic.Publish(
                exchange=exchange,
                routing_key=routing_key,
                mandatory=mandatory,
                immediate=immediate,
            )
        )
        head = header.ContentHeader(0, len(content), Properties(**properties))
        self.client.write(pamqp.frame.marshal(head, self.number))
        room = (self.client.frame_max or len(content) + 8) - 8
        for start in range(0, len(content), room):
            part = body.ContentBody(content[start : start + room])
            self.client.write(pamqp.frame.marshal(part, self.number))

    async def declare(self, queue: str = "", *, exclusive: bool = False, **arguments: Any) -> str:
        """Declare a durable queue; x_max_length=1 is the argument x-max-length. Its name."""
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        answer = await self.call(
            Queue.Declare(queue=queue, durable=True, exclusive=exclusive, arguments=given)
        )
        return str(answer.queue)

    async def ask(self, method: pamqp.base.Frame) -> Any:
        """A method, and its answer; what comes between them stays to be asked for."""
        self.send(method)
        came = []
        while (answer := await self.next()).__class__.__name__ == "Message" or (
            answer.name not in method.valid_responses
        ):
            assert not isinstance(answer, Channel.Close), _refusal(answer)
            came.append(answer)
        self.client.put_back(self.number, came)
        return answer

    async def counts(self, queue: str) -> tuple[int, int]:
        """How many messages are ready in a queue, and how many consumers it has.

        RabbitMQ's queues answer this before all else that waits for them: what this very channel
        has just published may not count yet. `until_ready` and `bodies` are for that.
        """
        answer = await self.ask(Queue.Declare(queue=queue, passive=True))
        return answer.message_count, answer.consumer_count

    async def until_ready(self, queue: str, count: int) -> None:
        """Return once so many messages are ready in a queue."""

        async def ready() -> int:
            return (await self.counts(queue))[0]

        await until_found(ready, count, f"{count} messages are ready in {queue!r}")

    async def until_consumers(self, queue: str, count: int) -> None:
        """Return once a queue has so many consumers."""

        async def consumers() -> int:
            return (await self.counts(queue))[1]

        await until_found(consumers, count, f"{queue!r} has {count} consumers")

    async def until_missing(self, queue: str) -> None:
        """Return once there is no such queue; it is looked for on a channel of its own."""
        lane = await self.client.channel()

        async def is_there() -> bool:
            found = await lane.next_of(Queue.Declare(queue=queue, passive=True))
            return isinstance(found, Queue.DeclareOk)

        await until_found(is_there, False, f"queue {queue!r} goes")
        lane.send(Channel.CloseOk())

    async def nothing_came(self) -> bool:
        """Whether the broker had nothing for this channel that was not asked for."""
        await self.ask(Channel.Flow(active=True))
        return not self.client.put_back(self.number, [])

    async def next_of(self, method: pamqp.base.Frame) -> Any:
        """A method, and what comes next, whatever it is."""
        self.send(method)
        return await self.next()

    async def get(self, queue: str, *, no_ack: bool = True) -> Message | None:
        """The next message of a queue; None where it is empty."""
        answer = await self.call(Basic.Get(queue=queue, no_ack=no_ack))
        return answer if isinstance(answer, Message) else None

    async def bodies(self, queue: str) -> list[bytes]:
        """Take all messages that are ready, and return what they say."""
        found = []
        while (message := await self.get(queue)) is not None:
            found.append(message.body)
        return found

    async def consume(self, queue: str, tag: str = "c", **options: Any) -> str:
        """Become a consumer; its tag. What is delivered at once stays to be asked for."""
        self.send(Basic.Consume(queue=queue, consumer_tag=tag, **options))
        answer = await self.next()
        assert isinstance(answer, Basic.ConsumeOk), f"consume-ok was due: {answer}"
        return str(answer.consumer_tag)

    async def delivery(self) -> Message:
        """What comes next, which is to be a delivery."""
        came = await self.next()
        assert isinstance(came, Message), f"a delivery was due: {came}"
        assert isinstance(came.method, Basic.Deliver), f"a delivery was due: {came}"
        return came

    async def confirms(self) -> None:
        """Switch publisher confirms on."""
        assert isinstance(await self.call(Confirm.Select()), Confirm.SelectOk)


Connect = Callable[..., Awaitable[Client]]
"""What the fixture `connect` gives: opens a connection with the options of `Client.connect`."""
