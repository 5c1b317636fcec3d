"""The protocol of RabbitMQ's sixth tutorial as a dialect: text, `reply_to`, `correlation_id`.

https://www.rabbitmq.com/tutorials/tutorial-six-python. A request goes to a named queue through the
default exchange. The tutorial has no errors. Leveret's travel with `type` = "error", which the
tutorial's own clients ignore: they get the text. Those clients take the first message for the
answer, so they are sent no notices.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from msgspec import structs

from leveret.amqp.events import Delivery
from leveret.amqp.frames import content_frames, publish_prefix
from leveret.amqp.properties import Properties, encode_properties
from leveret.body_parts import Body
from leveret.contract import MethodSpec
from leveret.errors import CallError, DeclaredError, RemoteError
from leveret.transport.channel import Channel
from leveret.wire.dialect import ClientChannel, Metadata, StreamPacker
from leveret.wire.error_texts import safe_str, shortened
from leveret.wire.message import Copy, Incoming, Notice, Reply
from leveret.wire.native.headers import metadata_of, problem_of
from leveret.wire.native.names import ERROR, RESULT
from leveret.wire.native.reply import pack_reply
from leveret.wire.native.request import pack_copy, read_request
from leveret.wire.plain_queue import PlainQueue, PlainTopology

TEXT_CONTENT_TYPE: Final = "text/plain"


class TutorialRequestPacker:
    """Packs the requests to one queue."""

    headers_room = 0

    def __init__(self, channel: ClientChannel, queue: str, priority: int | None = None) -> None:
        self._channel = channel
        self._priority = priority
        self._publish = publish_prefix(channel.number, "", queue, mandatory=True)

    def pack(
        self, call_id: bytes, _deadline: int, expiration: int, body: Body, _headers: bytes = b"", /
    ) -> bytes:
        """The frames of one request. The deadline shows only in its expiration."""
        properties = Properties(
            content_type=TEXT_CONTENT_TYPE,
            correlation_id=call_id.decode(),
            reply_to=self._channel.reply_to.key,
            expiration=str(expiration),
            priority=self._priority,
            user_id=self._channel.user or None,
        )
        return self._publish + content_frames(
            self._channel.number, encode_properties(properties), body, self._channel.frame_max
        )


_SILENT: Final = "its server answered with an error, and says nothing of it; look into its log"


class TutorialClient:
    """The client's end. A routing key is the name of the queue."""

    exchange = ""

    def queue(self, key: str) -> str:
        """The queue itself."""
        return key

    def control_key(self, key: str) -> str:
        """The tutorial's servers do not listen to control messages."""
        return ""

    def packer(
        self, channel: ClientChannel, *, key: str, content_type: str, priority: int | None = None
    ) -> TutorialRequestPacker:
        """What packs requests to this queue; the body is text."""
        del content_type
        return TutorialRequestPacker(channel, key, priority)

    def headers(
        self,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        *,
        resent: bool = False,
        waits: bool = False,
        progress: bool = False,
    ) -> bytes:
        """The tutorial's requests have no headers.

        :raises ValueError: if there is something to send in them.
        """
        if metadata or idempotency_key is not None or resent or waits or progress:
            raise ValueError("requests of the tutorial's protocol carry nothing but their text")
        return b""

    def read_stream(self, delivery: Delivery) -> Reply:
        """As any reply: there are no streams."""
        return self.read(delivery)

    def read(self, delivery: Delivery) -> Reply:
        """A reply, whatever its type: the tutorial's servers set none."""
        properties = delivery.properties
        problem = problem_of(properties.content_encoding)
        return Reply(
            is_error=properties.type == ERROR,
            content_type=TEXT_CONTENT_TYPE,
            body=delivery.body,
            body_size=delivery.body_size,
            metadata=metadata_of(properties.headers),
            problem=problem and f"the reply has {problem}",
        )

    def error(
        self, reply: Reply, raises: Mapping[str, type[DeclaredError]], method: str
    ) -> CallError:
        """The error's text, all that this protocol has of it.

        It does not say whether the handler ran: the server may have refused the request.
        """
        del raises
        text = (reply.body or b"").decode("utf-8", "replace")
        return RemoteError(text or _SILENT, method=method, executed="maybe")


class TutorialReplyPacker:
    """Packs what the server of one queue sends on one channel; see `wire.dialect.ReplyPacker`."""

    def __init__(self, channel: int, frame_max: int, queue: str, *, says_why: bool) -> None:
        self._channel = channel
        self._frame_max = frame_max
        self._queue = queue
        self._says_why = says_why
        self._pack = partial(pack_reply, channel, frame_max)

    def result(
        self, call: Incoming, body: Body, content_type: str, metadata: Metadata | None = None
    ) -> bytes:
        """The frames of a result."""
        return self._pack(call, body, content_type, RESULT, metadata)

    def error(self, call: Incoming, error: CallError, metadata: Metadata | None = None) -> bytes:
        """The error's own words, or none. The type says that it is an error."""
        body = shortened(safe_str(error)).encode("utf-8", "replace") if self._says_why else b""
        return self._pack(call, body, TEXT_CONTENT_TYPE, ERROR, metadata)

    def recorded(
        self,
        call: Incoming,
        body: bytes,
        content_type: str,
        metadata: Metadata | None,
        *,
        is_error: bool,
    ) -> bytes:
        """The frames of a reply that was recorded before."""
        return self._pack(call, body, content_type, ERROR if is_error else RESULT, metadata)

    def notice(self, call: Incoming, notice: Notice) -> bytes:
        """The tutorial's clients would take a notice for the answer."""
        return b""

    def stream(self, call: Incoming, sender: str) -> StreamPacker:
        """:raises ValueError: the tutorial's protocol has no streams."""
        raise ValueError("the tutorial's protocol has no streams")

    def copy(self, copy: Copy) -> bytes:
        """The request once more, to its queue."""
        return pack_copy(
            copy,
            channel=self._channel,
            frame_max=self._frame_max,
            exchange="",
            key=self._queue,
        )


class TutorialServer:
    """The server's end, on one queue."""

    def __init__(self, queue: str, options: PlainQueue) -> None:
        self._queue = queue
        self._says_why = options.failed != "empty"
        self._topology = PlainTopology(queue, options)

    def queue(self, spec: MethodSpec) -> str:
        """The queue that it was made for."""
        return self._queue

    def read(self, delivery: Delivery, now: float, timeout: float) -> Incoming:
        """A request. Its body is text, whatever the sender calls it."""
        call = read_request(delivery, now, timeout)
        return structs.replace(call, content_type=TEXT_CONTENT_TYPE)

    def packer(self, channel: int, frame_max: int, spec: MethodSpec) -> TutorialReplyPacker:
        """What packs replies on this channel."""
        return TutorialReplyPacker(channel, frame_max, self._queue, says_why=self._says_why)

    async def declare(self, channel: Channel, spec: MethodSpec) -> None:
        """See that the queue exists. One that does is taken as it is, whatever its options."""
        await self._topology.declare(channel)

    async def bind(self, channel: Channel, spec: MethodSpec) -> None:
        """The default exchange has each queue bound, for ever."""
