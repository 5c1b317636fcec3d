"""Begins the streams of calls: their results, and their uploads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import Final

from leveret.contract import MethodSpec
from leveret.errors import Code, InvalidArgument
from leveret.server.calls.life import Answer, ServerCall
from leveret.server.calls.replies import Replies
from leveret.server.streams.registry import Streams
from leveret.server.streams.stream import ServerStream
from leveret.transport.deadlines import Deadlines
from leveret.wire.context import CurrentCall
from leveret.wire.message import Incoming, StreamRequest

_NO_STREAMS: Final = StreamRequest()
"""What a request says that names no streams."""


class BeginningStreams:
    """Begins the streams of one method.

    :param sender: the sender that messages of streams name.
    :param acknowledge: acknowledges the request of a call that has not ended.
    :param clock: a clock in seconds that never jumps.
    """

    def __init__(
        self,
        spec: MethodSpec,
        replies: Replies,
        streams: Streams,
        deadlines: Deadlines[ServerCall],
        *,
        sender: str,
        acknowledge: Callable[[ServerCall], None],
        clock: Callable[[], float],
    ) -> None:
        self._spec = spec
        self._replies = replies
        self._streams = streams
        self._deadlines = deadlines
        self._sender = sender
        self._acknowledge = acknowledge
        self._clock = clock

    def stream_of(self, call: ServerCall, now: float) -> ServerStream | None:
        """The streams of a call that is about to run, which `check` allows; None if it has none.

        :raises InvalidArgument: if its request cannot have any.
        """
        spec, request = self._spec, call.incoming.stream
        if request is None or not (spec.streams or spec.upload is not None):
            return None
        if not call.name:
            raise InvalidArgument("it streams: a call needs an id and a reply address")
        replies = self._replies
        replies.codec(call.incoming.content_type)
        return ServerStream(
            call,
            request,
            sender=self._sender,
            encode=replies.item if spec.streams else None,
            decode=None if spec.upload is None else replies.uploaded,
            now=now,
        )

    def check(self, incoming: Incoming) -> None:
        """Comes before the arguments are read, among which an upload would be an unknown one.

        :raises InvalidArgument: if a caller's contract has other streams than the method.
        """
        request = incoming.stream or _NO_STREAMS
        streams, upload = self._spec.streams, self._spec.upload
        if streams and not request.items:
            raise InvalidArgument(
                "it streams its results, and this caller takes one result only; take its items by"
                " `rabbit.stream`, by a remote of its class, or by `leveret call --stream`"
            )
        if request.items and not streams:
            raise InvalidArgument(
                "it gives one result, and this caller takes a stream; call it by `rabbit.call`, or"
                " by the contract that its servers have"
            )
        if upload is not None and not request.uploads:
            raise InvalidArgument(
                f"it is given {upload.name!r} item by item, and this caller sends none; call it by"
                " a remote, of its class or of `rabbit.discover`"
            )
        if request.uploads and upload is None:
            raise InvalidArgument(
                "it takes no upload, and this caller sends one, which nobody would read; call it by"
                " the contract that its servers have"
            )

    def begin(self, call: ServerCall, context: CurrentCall) -> None:
        """The handler of a streaming call begins: acknowledge its request.

        The server would hold it for longer than the broker waits; and half a stream is not run
        again.
        """
        stream = call.stream
        assert isinstance(stream, ServerStream)
        if call.name in self._streams:  # its caller sent the request twice
            call.answer = Answer.GIVEN
            call.code = Code.CANCELLED.value
            self._acknowledge(call)
            raise asyncio.CancelledError
        self._acknowledge(call)
        self._streams.add(stream)
        stream.begin(self._clock(), lambda: self._first_sent(call, stream.total, context))

    def _first_sent(self, call: ServerCall, total: float | None, context: CurrentCall) -> None:
        """The caller of a stream has heard of it: from now on its deadline is `total`."""
        self._deadlines.discard(call.tick, call)
        if total is None:
            call.ends = context.deadline = inf
        else:
            call.ends = self._clock() + total - time.time()
            context.deadline = total
            call.tick = self._deadlines.add(call.ends, call)
