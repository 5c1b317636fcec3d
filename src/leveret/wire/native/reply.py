"""Replies and notices of wire protocol 1: packed at the server, read at the client."""

from __future__ import annotations

import struct
from functools import partial
from typing import Final

from msgspec import structs

from leveret.amqp.codes import BASIC
from leveret.amqp.events import Delivery
from leveret.amqp.frames import (
    FRAME_OVERHEAD,
    SMALL_BODY,
    content_frames,
    publish_prefix,
    with_body,
)
from leveret.amqp.properties import (
    CONTENT_TYPE,
    CORRELATION_ID,
    TYPE,
    Properties,
    encode_properties,
    short_string,
)
from leveret.body_parts import Body
from leveret.contract import MethodSpec
from leveret.errors import CallError
from leveret.wire.dialect import Metadata
from leveret.wire.failures import ERROR_CONTENT_TYPE, encode_failure
from leveret.wire.message import (
    Bounce,
    Copy,
    Incoming,
    Notice,
    NoticeKind,
    Reply,
    ReplyAddress,
    StageReply,
)
from leveret.wire.native.headers import (
    INSTANCE,
    METADATA,
    STAGE,
    attempts,
    bounce_reason,
    has_original,
    is_copy,
    metadata_of,
    problem_of,
    stage_of,
)
from leveret.wire.native.names import (
    ACCEPTED,
    CALL,
    CONFIRM,
    ERROR,
    EXCHANGE,
    NOT_BEGUN,
    PASSED,
    PROGRESS,
    RESULT,
)
from leveret.wire.native.request import pack_copy
from leveret.wire.native.stream import StreamPacker
from leveret.wire.progress import decode_progress, encode_progress

_ADDRESSES: Final = 1024
"""For how many reply addresses a packer keeps the constant part of a result."""

_ANSWERS: Final = frozenset({RESULT, ERROR})
"""The types of messages that end a call."""

_NOTICES: Final = {
    ACCEPTED: NoticeKind.RUNS,
    PROGRESS: NoticeKind.PROGRESS,
    CONFIRM: NoticeKind.CONFIRM,
    PASSED: NoticeKind.PASSED,
}
"""The types of messages about a call that goes on, and what they mean without a body."""

_HEADER = struct.Struct(">BHIHH").pack
_U16 = struct.Struct(">H").pack


class ResultPacker:
    """Packs the results that go to one reply address with one content type."""

    def __init__(
        self, *, channel: int, frame_max: int, reply_to: ReplyAddress, content_type: str
    ) -> None:
        self._channel = channel
        self._room = (frame_max or 1 << 62) - FRAME_OVERHEAD
        self._small = min(self._room, SMALL_BODY)
        self._publish = publish_prefix(channel, reply_to.exchange, reply_to.key)
        self._head = _U16(CONTENT_TYPE | CORRELATION_ID | TYPE) + short_string(content_type)
        self._after = short_string(RESULT) + b"\xce"
        self._id_size: int | None = None  # nothing is laid out yet

    def pack(self, call_id: bytes, body: Body) -> bytes:
        """The frames of one result."""
        if len(call_id) != self._id_size:
            self._lay_out(len(call_id))
        size = len(body)
        frames = self._pack(
            self._start, size, self._middle, call_id, self._after, 3, self._channel, size
        )
        if 0 < size <= self._small:  # an empty body has no frame of its own
            return frames + body + b"\xce"
        return with_body(frames[:-7], self._channel, body, self._room)

    def _lay_out(self, id_size: int) -> None:
        self._id_size = id_size
        self._middle = self._head + bytes((id_size,))
        size = 12 + len(self._middle) + id_size + len(self._after) - 1
        self._start = self._publish + _HEADER(2, self._channel, size, BASIC, 0)
        self._pack = struct.Struct(
            f">{len(self._start)}sQ{len(self._middle)}s{id_size}s{len(self._after)}sBHI"
        ).pack


class ReplyPacker:
    """Packs what the server of one method sends on one channel; see `wire.dialect.ReplyPacker`.

    :param instance: the server, where its replies have to say which one it is.
    """

    def __init__(
        self, channel: int, frame_max: int, spec: MethodSpec, *, instance: str = ""
    ) -> None:
        self._channel = channel
        self._frame_max = frame_max
        self._spec = spec
        self._instance = instance
        self._pack = partial(pack_reply, channel, frame_max, instance=instance)
        self._results: dict[ReplyAddress, ResultPacker] = {}

    def result(
        self, call: Incoming, body: Body, content_type: str, metadata: Metadata | None = None
    ) -> bytes:
        """The frames of a result."""
        reply_to = call.reply_to
        if reply_to is None:
            return b""
        if (
            metadata
            or call.stage
            or self._instance
            or not call.call_id
            or content_type != self._spec.content_type
        ):
            return self._pack(call, body, content_type, RESULT, metadata)
        packer = self._results.get(reply_to)
        if packer is None:
            packer = self._packer(reply_to)
        return packer.pack(call.call_id.encode("utf-8", "surrogateescape"), body)

    def error(self, call: Incoming, error: CallError, metadata: Metadata | None = None) -> bytes:
        """The frames of an error."""
        return self._pack(call, encode_failure(error), ERROR_CONTENT_TYPE, ERROR, metadata)

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
        """The frames of a notice."""
        if not call.call_id:
            return b""
        if notice.kind is NoticeKind.CONFIRM:
            answer_to = notice.answer_to or None
            return self._pack(call, b"", ERROR_CONTENT_TYPE, CONFIRM, answer_to=answer_to)
        if notice.kind is NoticeKind.PROGRESS:
            told = b"" if notice.progress is None else encode_progress(notice.progress)
            return self._pack(call, told, ERROR_CONTENT_TYPE, PROGRESS)
        if notice.kind is NoticeKind.PASSED:
            return self._pack(call, b"", ERROR_CONTENT_TYPE, PASSED, stage=call.stage + 1)
        body = NOT_BEGUN if notice.kind is NoticeKind.WAITS else b""
        return self._pack(call, body, ERROR_CONTENT_TYPE, ACCEPTED)

    def stream(self, call: Incoming, sender: str) -> StreamPacker:
        """What packs the messages of a call that streams."""
        return StreamPacker(
            self._channel,
            self._frame_max,
            call,
            sender,
            call.content_type or self._spec.content_type,
        )

    def copy(self, copy: Copy) -> bytes:
        """The request once more, by way of the exchange, where its CC matches nothing."""
        return pack_copy(
            copy,
            channel=self._channel,
            frame_max=self._frame_max,
            exchange=EXCHANGE,
            key=self._spec.key,
        )

    def _packer(self, reply_to: ReplyAddress) -> ResultPacker:
        if len(self._results) >= _ADDRESSES:
            self._results.clear()
        packer = self._results[reply_to] = ResultPacker(
            channel=self._channel,
            frame_max=self._frame_max,
            reply_to=reply_to,
            content_type=self._spec.content_type,
        )
        return packer


def pack_reply(
    channel: int,
    frame_max: int,
    call: Incoming,
    body: Body,
    content_type: str,
    kind: str,
    metadata: Metadata | None = None,
    answer_to: str | None = None,
    stage: int = 0,
    *,
    instance: str = "",
) -> bytes:
    """One reply that is out of the ordinary: an error, a result with metadata, a notice.

    It is b"" for a request without a reply address.

    :param stage: the stage of a pipe that it tells of, if not that of the request.

    :raises TypeError: if the metadata does not map text to text.
    :raises ValueError: if it does not fit into a frame, or is not Unicode.
    """
    reply_to = call.reply_to
    if reply_to is None:
        return b""
    if metadata and not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise TypeError(f"metadata must map text to text; got {metadata!r}")
    headers: dict[str, object] = {}
    if metadata:
        headers[METADATA] = dict(metadata)
    if call.stage:
        headers[STAGE] = stage or call.stage
    if instance:
        headers[INSTANCE] = instance
    properties = encode_properties(
        Properties(
            content_type=content_type,
            correlation_id=call.call_id or None,
            type=kind,
            reply_to=answer_to,
            headers=headers or None,
        )
    )
    if frame_max and len(properties) + 12 + FRAME_OVERHEAD > frame_max:
        raise ValueError(f"metadata must fit into one frame of {frame_max} bytes with the rest")
    return publish_prefix(channel, reply_to.exchange, reply_to.key) + content_frames(
        channel, properties, body, frame_max
    )


def read_reply(delivery: Delivery) -> Reply | Notice | Bounce:
    """A delivery from a client's reply queue; see `wire.dialect.ClientDialect.read`."""
    properties = delivery.properties
    kind = properties.type
    encoding = properties.content_encoding
    if kind == RESULT and properties.headers is None and encoding is None:  # as nearly all are
        return Reply(
            is_error=False,
            content_type=properties.content_type,
            body=delivery.body,
            body_size=delivery.body_size,
        )
    headers = properties.headers
    if kind in _ANSWERS:
        problem = "" if encoding is None else problem_of(encoding)
        reply = Reply(
            is_error=kind == ERROR,
            content_type=properties.content_type,
            body=delivery.body,
            body_size=delivery.body_size,
            metadata=None if headers is None else metadata_of(headers),
            problem=problem and f"the reply has {problem}",
        )
        stage = stage_of(headers)
        return StageReply(**structs.asdict(reply), stage=stage) if stage else reply
    if kind == CALL:
        return Bounce(
            reason=bounce_reason(headers),
            attempts=attempts(headers),
            is_copy=is_copy(headers),
            has_original=has_original(headers),
            stage=stage_of(headers),
        )
    if kind in _NOTICES:
        return _notice(_NOTICES[kind], delivery)
    return Reply(
        is_error=True,
        content_type=properties.content_type,
        body=delivery.body,
        body_size=delivery.body_size,
        metadata=metadata_of(headers),
        problem=f"a reply of the unknown type {kind!r}",
    )


def _notice(kind: NoticeKind, delivery: Delivery) -> Notice:
    stage = stage_of(delivery.properties.headers)
    if kind is NoticeKind.PROGRESS:
        return Notice(kind=kind, progress=decode_progress(delivery.body or b""), stage=stage)
    if kind is NoticeKind.RUNS and delivery.body:
        kind = NoticeKind.WAITS
    return Notice(kind=kind, answer_to=delivery.properties.reply_to or "", stage=stage)
