"""Wire protocol 1 as a dialect: both ends of `wire/dialect.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leveret.amqp.tables import encode_table
from leveret.contract import MethodSpec
from leveret.errors import CallError, DeclaredError
from leveret.transport.channel import Channel
from leveret.wire.dialect import ClientChannel, Metadata
from leveret.wire.dialect import RequestPacker as PacksRequests
from leveret.wire.failures import decode_failure
from leveret.wire.message import Reply, Stage
from leveret.wire.native.failed import declare_failed_queue
from leveret.wire.native.headers import (
    IDEMPOTENCY_KEY,
    PROGRESS,
    RESENT,
    WAITS,
    pack_metadata,
)
from leveret.wire.native.names import EXCHANGE, QUEUE_PREFIX
from leveret.wire.native.reply import ReplyPacker, read_reply
from leveret.wire.native.request import RequestPacker, read_request
from leveret.wire.native.stages import pack_stages
from leveret.wire.native.stream_replies import read_stream
from leveret.wire.native.topology import bind_request_queue, declare_request_queue


class NativeClient:
    """The client's end."""

    exchange = EXCHANGE

    def queue(self, key: str) -> str:
        """The request queue of "service.method"."""
        return QUEUE_PREFIX + key

    def control_key(self, key: str) -> str:
        """The name of the service: each of its servers binds a queue by it."""
        return key.partition(".")[0]

    def packer(
        self, channel: ClientChannel, *, key: str, content_type: str, priority: int | None = None
    ) -> PacksRequests:
        """What packs requests to "service.method"."""
        return RequestPacker(channel, key=key, content_type=content_type, priority=priority)

    def headers(
        self,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        *,
        resent: bool = False,
        waits: bool = False,
        progress: bool = False,
    ) -> bytes:
        """Entries of the header table, between `CC` and `deadline`."""
        packed = pack_metadata(metadata) if metadata else b""
        if idempotency_key is not None:
            packed += encode_table({IDEMPOTENCY_KEY: idempotency_key})[4:]
        if resent:
            packed += encode_table({RESENT: True})[4:]
        if waits:
            packed += encode_table({WAITS: True})[4:]
        if progress:
            packed += encode_table({PROGRESS: True})[4:]
        return packed

    def stages(self, then: Sequence[Stage], content_type: str) -> bytes:
        """What the first request of a pipe carries besides; see `wire.native.stages`."""
        return pack_stages(then, content_type)

    metadata = staticmethod(pack_metadata)
    """As `headers`, of metadata alone: a call may have its own."""
    read = staticmethod(read_reply)
    read_stream = staticmethod(read_stream)

    def error(
        self, reply: Reply, raises: Mapping[str, type[DeclaredError]], method: str
    ) -> CallError:
        """The error in a reply's body."""
        return decode_failure(reply.body or b"", raises, method)


class NativeServer:
    """The server's end."""

    def queue(self, spec: MethodSpec) -> str:
        """The method's request queue."""
        return spec.queue_name

    read = staticmethod(read_request)

    def packer(self, channel: int, frame_max: int, spec: MethodSpec) -> ReplyPacker:
        """What packs the method's replies on this channel."""
        return ReplyPacker(channel, frame_max, spec)

    async def declare(self, channel: Channel, spec: MethodSpec) -> None:
        """Declare the request queue and bind it; and the queue of its failed requests."""
        await declare_request_queue(channel, spec)
        if spec.keep_failed:
            await declare_failed_queue(channel, spec)

    async def bind(self, channel: Channel, spec: MethodSpec) -> None:
        """Bind the request queue, which is there."""
        await bind_request_queue(channel, spec)
