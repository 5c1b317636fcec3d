"""What a dialect is: how requests, replies and notices look on the wire.

A client and a server know only these Protocols and the records of `message.py`. Which dialect a
queue speaks is decided where client and server are put together.

A packer belongs to one channel: its frames carry the channel's number. Who changes channels makes
new packers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from leveret.amqp.events import Delivery
from leveret.amqp.frames import Frames
from leveret.body_parts import Body
from leveret.contract import MethodSpec
from leveret.errors import CallError, DeclaredError
from leveret.streaming import Credit
from leveret.transport.channel import Channel
from leveret.wire.message import Bounce, Copy, Incoming, Notice, Reply, ReplyAddress
from leveret.wire.stream_messages import Received

Metadata = Mapping[str, str]
"""Text that travels with arguments or a result."""

ONLY_IF_FREE: Final = 0
"""The expiration of a request that is to come back unless a server takes it this moment."""


# -- the client's end --------------------------------------------------------------------------


class ClientChannel(Struct, frozen=True, kw_only=True):
    """The channel that a client's requests leave by, and where their replies go."""

    number: int
    """The channel's number."""
    frame_max: int
    """The largest frame in bytes that the broker takes; 0 for no limit."""
    reply_to: ReplyAddress
    """Where the client waits for replies."""
    user: str
    """The broker's user that the connection logged in as, "" if it is unknown. RabbitMQ refuses
    requests that name another (https://www.rabbitmq.com/docs/validated-user-id)."""
    name: str
    """The name that the client gave itself, "" if none."""


NO_CHANNEL: Final = ClientChannel(
    number=0, frame_max=0, reply_to=ReplyAddress(exchange="", key=""), user="", name=""
)
"""In place of the channel of a client that has had none yet."""


class RequestPacker(Protocol):
    """Packs the requests of one method with one set of options."""

    headers_room: int
    """How many bytes of headers of its own a request has room for in its frame."""

    def pack(
        self, call_id: bytes, deadline: int, expiration: int, body: Body, headers: bytes = b"", /
    ) -> bytes:
        """The frames of one request.

        :param deadline: milliseconds since 1970.
        :param expiration: milliseconds from now, or `ONLY_IF_FREE`.
        :param headers: the request's own, from `ClientDialect.headers`; no longer than
            `headers_room`.
        """
        ...


class ClientDialect(Protocol):
    """How a client writes requests, and reads what comes to its reply queue."""

    @property
    def exchange(self) -> str:
        """The exchange that its requests are published to."""
        ...

    def queue(self, key: str) -> str:
        """The queue in which requests with this routing key wait."""
        ...

    def control_key(self, key: str) -> str:
        """The routing key on the control exchange that reaches all servers of `key`.

        It is "" where the servers do not listen to control messages.
        """
        ...

    def packer(
        self, channel: ClientChannel, *, key: str, content_type: str, priority: int | None = None
    ) -> RequestPacker:
        """What packs requests to `key`.

        :raises ValueError: if what is the same for all of them does not fit into a frame.
        """
        ...

    def headers(
        self,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        *,
        resent: bool = False,
        waits: bool = False,
        progress: bool = False,
    ) -> bytes:
        """What a request carries besides, packed for `RequestPacker.pack`.

        The results of several calls may be joined, as long as no argument is given twice.

        :param progress: whether the caller wants to be told how far its call is.
        :raises TypeError, ValueError: if it cannot be sent.
        """
        ...

    def read(self, delivery: Delivery) -> Reply | Notice | Bounce:
        """What came to the reply queue, for the call that its correlation id names.

        It never raises: a reply that cannot be read says so in `Reply.problem`.
        """
        ...

    def read_stream(self, delivery: Delivery) -> Received:
        """The same for the call of a stream, to which further messages come."""
        ...

    def error(
        self, reply: Reply, raises: Mapping[str, type[DeclaredError]], method: str
    ) -> CallError:
        """The error that a reply tells of; it never raises.

        :param raises: the errors that the contract declares, by code.
        :param method: "service.method", for the error.
        """
        ...


# -- the server's end --------------------------------------------------------------------------


class StreamPacker(Protocol):
    """Packs what a server sends of one call that streams, on one channel."""

    def item(self, number: int, body: Body, cursor: str = "") -> bytes:
        """The frames of one item of the results.

        :raises ValueError: if the cursor cannot be sent.
        """
        ...

    def items(self, first: int, bodies: Sequence[bytes]) -> Frames:
        """The frames of several items in one message, the first of which has this number."""
        ...

    def end(self, count: int, metadata: Metadata | None = None, *, moved: bool = False) -> bytes:
        """The frames of the end of the results, after so many items.

        :param moved: whether the handler had not ended: the stream may go on at another server.
        :raises TypeError, ValueError: if the metadata cannot be sent.
        """
        ...

    def error(self, count: int, error: CallError, metadata: Metadata | None = None) -> bytes:
        """The frames of an error after so many items.

        :raises TypeError, ValueError: if the metadata cannot be sent.
        """
        ...

    def progress(self, number: int) -> bytes:
        """The frames of a sign of life, after the item with this number."""
        ...

    def credit(self, credit: Credit) -> bytes:
        """The frames that tell the caller what may come of its upload."""
        ...


class ReplyPacker(Protocol):
    """Packs what the server of one queue sends on one channel.

    A request without a reply address gets no reply: then the frames are b"".
    """

    def result(
        self, call: Incoming, body: Body, content_type: str, metadata: Metadata | None = None
    ) -> bytes:
        """The frames of a result.

        :raises TypeError, ValueError: if the metadata cannot be sent.
        """
        ...

    def error(self, call: Incoming, error: CallError, metadata: Metadata | None = None) -> bytes:
        """The frames of an error.

        :raises TypeError, ValueError: if the metadata cannot be sent.
        """
        ...

    def recorded(
        self,
        call: Incoming,
        body: bytes,
        content_type: str,
        metadata: Metadata | None,
        *,
        is_error: bool,
    ) -> bytes:
        """The frames of a reply that was recorded before, whose body is packed already.

        :raises TypeError, ValueError: if the metadata cannot be sent.
        """
        ...

    def notice(self, call: Incoming, notice: Notice) -> bytes:
        """The frames of a notice, b"" where the dialect has none or the request names no call."""
        ...

    def stream(self, call: Incoming, sender: str) -> StreamPacker:
        """What packs the messages of a call that streams.

        :param sender: "service.instance", where the caller's answers go.
        :raises ValueError: if the dialect has no streams, or the request names no call.
        """
        ...

    def copy(self, copy: Copy) -> bytes:
        """The frames that publish a request again, for another server.

        :raises TypeError, ValueError: if it has headers that only its sender could pack.
        """
        ...


class ServerDialect(Protocol):
    """How a server reads the requests of one queue, and answers them."""

    def queue(self, spec: MethodSpec) -> str:
        """The queue in which requests for this method wait."""
        ...

    def read(self, delivery: Delivery, now: float, timeout: float) -> Incoming:
        """A request. It never raises: a body that cannot be read says so in `Incoming.problem`.

        :param now: seconds since 1970.
        :param timeout: seconds that a request has which does not say how many.
        """
        ...

    def packer(self, channel: int, frame_max: int, spec: MethodSpec) -> ReplyPacker:
        """What packs replies on this channel.

        :param frame_max: the largest frame in bytes that the broker takes; 0 for no limit.
        """
        ...

    async def declare(self, channel: Channel, spec: MethodSpec) -> None:
        """See that the method's queue exists.

        :raises TopologyError: if it exists with other options.
        :raises PermissionDenied: if the user may not declare it.
        :raises ChannelClosed: if the broker closed the channel for another reason.
        """

    async def bind(self, channel: Channel, spec: MethodSpec) -> None:
        """See that requests reach the method's queue, which is there.

        :raises ChannelClosed: if the broker closed the channel.
        """
