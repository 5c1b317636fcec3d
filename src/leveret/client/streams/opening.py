"""Begins streams: encodes the arguments and sends the request.

`StreamOpener` is for streams what `Invocation` is for calls: it has what all streams of one method
with one set of options have in common.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import get_running_loop
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import inf
from typing import Any, Final, Protocol

from msgspec import Struct, structs

from leveret.body_parts import Body
from leveret.client.calls.life import Pending
from leveret.client.calls.request import Request
from leveret.client.calls.stream import Stream
from leveret.client.calls.upload import Upload
from leveret.client.calls.upload_channel import UploadChannel
from leveret.client.sender import Sender
from leveret.client.streams.sending import Source, send_items
from leveret.client.tracing import ClientTracing
from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, ItemCodec, MethodCodec
from leveret.errors import (
    CallError,
    ContractError,
    DeadlineExceeded,
    DeclaredError,
    InvalidArgument,
    InvalidResult,
    MaybeExecuted,
    StreamBroken,
    Unimplemented,
)
from leveret.observe import ClientCounters
from leveret.streaming.credit import WINDOW_BYTES, WINDOW_ITEMS
from leveret.wire.context import (
    find_current_call,
    total_within_current_call,
    within_current_call,
)
from leveret.wire.message import Reply
from leveret.wire.native.stream_replies import stream_headers
from leveret.wire.native.upload_packer import UploadPacker
from leveret.wire.stream_messages import Item
from leveret.wire.timing import REPLY_GRACE

CALL_IT: Final = "its server does not stream this method, and answered it like an ordinary call"


class StreamTerms(Struct, frozen=True, kw_only=True, gc=False):
    """What may differ between streams of one method, apart from their arguments."""

    timeout: float
    """Seconds until the first message of the stream. An outer call's deadline caps it."""
    idle_timeout: float | None = None
    """Seconds that the consumer waits for an item at most."""
    total_timeout: float | None = None
    """Seconds within which the stream must be over."""
    headers: bytes = b""
    """Metadata, packed by the request's dialect."""
    reply_metadata: dict[str, str] | None = None
    """A dict that receives the metadata that the handler sent with the end."""


class StreamSender(Sender, Protocol):
    """What a stream needs of the client."""

    @property
    def uploads(self) -> UploadChannel:
        """The channel for uploads."""
        ...


class Opened(Struct, frozen=True, kw_only=True):
    """A stream whose request was sent."""

    sender: StreamSender
    """The client that sent it."""
    call: Pending
    """Its call."""
    stream: Stream
    """The items that come."""
    sending: asyncio.Task[None] | None = None
    """The task that draws the items of its upload; None if it has none."""

    def stop(self) -> None:
        """Nobody waits for it any more: cancel it at its server, and draw no more items."""
        if not self.stream.is_over:
            self.sender.abandon(self.call)
        if self.sending is not None:
            self.sending.cancel()


class StreamOpener:
    """Opens the streams of one method.

    :param here: gives the client for streams of the running event loop; `RuntimeError` if there is
        none.
    :param new_id: gives a call id that no call has had.
    :param make_request: makes the request for the channel of a client.
    :param method: "service.method", for errors.
    :param parameters: turns arguments into what the codec encodes.
    :param codec: for the requests, and for items with the same content type.
    :param make_codec: for items with another content type. It raises `ContractError` for one that
        Leveret does not speak.
    :param default_content_type: the content type of an item that does not name its own.
    :param raises: the errors that the contract declares, by code.
    :param counters: counts its streams.
    :param tracing: gives what traces them, if they are traced.
    :param streams: whether its results stream.
    :param resumes: whether a broken stream goes on after its last cursor.
    :param uploads: the codec of the upload; None if there is none.
    """

    def __init__(
        self,
        here: Callable[[], StreamSender],
        new_id: Callable[[], str],
        make_request: Callable[[StreamSender], Request],
        *,
        method: str,
        parameters: Callable[..., Any],
        codec: MethodCodec,
        make_codec: Callable[[str], MethodCodec],
        default_content_type: str,
        raises: Mapping[str, type[DeclaredError]],
        counters: ClientCounters,
        tracing: Callable[[], ClientTracing | None] = lambda: None,
        streams: bool = True,
        resumes: bool = False,
        uploads: ItemCodec | None = None,
    ) -> None:
        self.tracing = tracing
        """Gives what traces its streams, if they are traced."""
        self.counters = counters
        """Counts its streams."""
        self.new_id = new_id
        self.method = method
        self.parameters = parameters
        self.resumes = resumes
        self._streams = streams
        self._uploads = uploads
        self._here = here
        self._make_request = make_request
        self._codec = codec
        self._make_codec = make_codec
        self._default_content_type = default_content_type
        self._raises = raises

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Body:
        """The body of a request with these arguments.

        :raises InvalidArgument: if they do not fit the method.
        """
        try:
            return self._codec.encode_arguments(self.parameters(*args, **kwargs))
        except ENCODE_ERRORS as error:
            raise InvalidArgument(str(error), method=self.method) from error

    async def open(
        self,
        body: Body,
        terms: StreamTerms,
        ids: Iterator[str],
        *,
        until: float = inf,
        cursor: str | None = None,
        source: Source | None = None,
        timeout: float = inf,
    ) -> Opened:
        """Send the request of a stream.

        :param until: when the stream must be over, on the event loop's clock.
        :param cursor: where to go on.
        :param source: gives the items to upload, once a server takes them.
        :param timeout: seconds until its first message, if less than in the terms.
        :raises CallError: if it is not sent.
        """
        loop = get_running_loop()
        timeout = min(timeout, terms.timeout)
        if find_current_call() is not None:
            timeout = within_current_call(timeout, self.method)
        sender = self._here()
        request = self._make_request(sender)
        if sender.held or request.looks_first:
            timeout = await sender.ready(request, timeout)
        left = until - loop.time()
        headers = terms.headers + stream_headers(
            credit=WINDOW_ITEMS if self._streams else None,
            credit_bytes=WINDOW_BYTES,
            packed=sender.max_message_size,
            uploads=self._uploads is not None,
            total=None if left == inf else int((time.time() + left) * 1000),
            cursor=cursor,
        )
        upload = None
        if self._uploads is not None:
            upload = Upload(
                sender.uploads,
                lambda server: UploadPacker(
                    request.channel,
                    key=request.key,
                    server=server,
                    call_id=call.id,
                    content_type=request.content_type,
                ),
            )
        stream = Stream(
            loop,
            items=WINDOW_ITEMS,
            size=WINDOW_BYTES,
            until=until,
            results=self._streams,
            upload=upload,
        )
        call = sender.send(request, body, min(timeout, max(left, 0.001)), stream, headers, ids)
        opened = Opened(sender=sender, call=call, stream=stream)
        if upload is None or source is None or self._uploads is None:
            return opened
        sending = sender.uploads.begin(
            send_items(source, upload, self._uploads.encode, sender.uploads.writable)
        )
        upload.sending = sending
        sending.add_done_callback(partial(self._sent, opened, terms.timeout))
        return structs.replace(opened, sending=sending)

    def _sent(self, opened: Opened, timeout: float, sending: asyncio.Task[None]) -> None:
        """An upload was sent completely, or its source failed."""
        stream = opened.stream
        if stream.is_over or sending.cancelled():
            return
        error = sending.exception()
        if error is not None:
            if isinstance(error, CallError):
                error.method = self.method
                error.call_id = opened.call.id
            opened.sender.abandon(opened.call)
            stream.fail(error)
        elif not self._streams:
            until = min(stream.until, get_running_loop().time() + timeout)
            stream.extend(until + REPLY_GRACE)

    def waits(self, opened: Opened) -> Unimplemented | None:
        """The broker's error, if the call waits for the first server of its method.

        The method has no queue yet. So the request is sent again in a moment, if the call is to
        wait for a server.
        """
        failure = opened.stream.error
        call, request = opened.call, opened.call.request
        if not (isinstance(failure, Unimplemented) and request.wait_for_server):
            return None
        may_run = failure.executed != "no" or call.doubtful
        may_run_again = request.repeatable and not request.needs_key
        if opened.stream.server or (may_run and not may_run_again):
            return None
        if may_run:
            failure.executed = "maybe"
        return failure

    def came_too_late(self, failure: Unimplemented) -> DeadlineExceeded:
        """The error of a call that has waited in vain for the first server of its method."""
        late = DeadlineExceeded(
            f"no server came up in time: {failure.message}",
            where="queue",
            executed=failure.executed,
            method=self.method,
        )
        late.call_id = failure.call_id
        late.__cause__ = failure
        return late

    def until(self, terms: StreamTerms) -> float:
        """When a stream that begins now must be over, on the event loop's clock; inf: never."""
        total = inf if terms.total_timeout is None else terms.total_timeout
        return get_running_loop().time() + total_within_current_call(total)

    # -- what comes of it -----------------------------------------------------------------------

    def value(self, opened: Opened, item: Item, what: str = "") -> Any:
        """The value of an item.

        :param what: its name in errors, if not its number.
        :raises InvalidResult: if the item does not fit the contract.
        """
        what = what or f"item {item.n}"
        body = item.body
        if body is None:
            size, most = item.body_size, opened.sender.max_message_size
            why = f"{what} takes {size} bytes, more than the {most} of max_message_size"
            raise self._invalid(opened, why)
        if item.problem:
            raise self._invalid(opened, f"{what} has {item.problem}")
        content_type = item.content_type or self._default_content_type
        codec = self._codec
        try:
            if content_type != codec.content_type:
                codec = self._make_codec(content_type)
            return codec.decode_result(body)
        except ContractError as error:
            raise self._invalid(opened, str(error)) from error
        except DECODE_ERRORS as error:
            why = f"{what} does not fit the contract: {error}"
            raise self._invalid(opened, why) from error

    def failure(self, opened: Opened) -> BaseException | None:
        """The error of a stream that is over; None if it came to its end."""
        stream, call = opened.stream, opened.call
        error = stream.error
        if error is None:
            return None
        failure = self._told(call, stream, error) if isinstance(error, Reply) else error
        if not isinstance(failure, CallError):
            return failure  # what the source of the upload raised
        failure.call_id = call.id
        if failure.executed == "no" and call.doubtful:
            failure.executed = "maybe"  # it is true of the copy that was answered
        return failure

    def result(self, opened: Opened) -> Any:
        """The result of a call that is over and whose results do not stream.

        :raises BaseException: its error.
        """
        reply = opened.stream.error
        if not isinstance(reply, Reply) or reply.is_error:
            failure = self.failure(opened)
            raise failure or self._invalid(opened, "its server sent no result")
        size = reply.body_size
        return self.value(
            opened,
            Item("", 0, reply.body, size, reply.content_type, problem=reply.problem),
            what="the reply",
        )

    def _told(self, call: Pending, stream: Stream, reply: Reply) -> CallError:
        """The error that a server sent."""
        if not reply.is_error:
            return Unimplemented(CALL_IT, executed="yes", method=self.method)
        if reply.body is None or reply.problem:
            why = reply.problem or "the error is larger than max_message_size"
            return InvalidResult(why, method=self.method)
        failure = call.request.dialect.error(reply, self._raises, self.method)
        if stream.server and type(failure) is MaybeExecuted:
            failure = StreamBroken(f"the stream broke off: {failure.message}", method=self.method)
        return failure

    def _invalid(self, opened: Opened, why: str) -> InvalidResult:
        invalid = InvalidResult(why, method=self.method)
        invalid.call_id = opened.call.id
        return invalid
