"""One method's consumer: takes requests from its queue, runs them, replies and acknowledges.

A reply and the acknowledgement of its request leave in one write, the reply first: a server that
dies in between leaves a request that is delivered again, never one that is lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from leveret.amqp import frames
from leveret.amqp.confirms import Confirms
from leveret.amqp.events import Delivery
from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, MethodCodec, method_codec
from leveret.contract import MethodSpec
from leveret.errors import (
    Busy,
    CallError,
    Cancelled,
    ContractError,
    DeadlineExceeded,
    DeclaredError,
    Executed,
    InvalidArgument,
    InvalidResult,
    MaybeExecuted,
    PermissionDenied,
    RemoteError,
    Unauthenticated,
)
from leveret.server.execution import Executor, Invoke, Middleware, compose
from leveret.server.running import Running, StopReason
from leveret.transport.channel import Channel
from leveret.wire.current import set_current_call
from leveret.wire.failures import ERROR_CONTENT_TYPE, encode_failure, said
from leveret.wire.native import ACCEPTED, ERROR, EXCHANGE, RESULT, ReplyTemplate, pack_reply
from leveret.wire.topology import declare_request_queue

if TYPE_CHECKING:
    from leveret.server.server import Server

log = logging.getLogger("leveret.server")

_TEMPLATES: Final = 1024
"""For how many clients the constant part of a reply is kept."""

_CONFIRM_TIMEOUT: Final = 5.0

_SAME_DEADLINE: Final = 0.05
"""Seconds by which a nested call may learn of the common deadline before its outer call does."""

_OWN: Final = (InvalidArgument, PermissionDenied, Unauthenticated, Busy)
"""Errors of ours that a handler may raise itself, to its caller."""


class MethodConsumer:
    """Serves one method from its request queue."""

    def __init__(
        self,
        server: Server,
        executor: Executor,
        channel: Channel,
        middleware: tuple[Middleware, ...],
    ) -> None:
        self.spec: MethodSpec = executor.spec
        self.executor = executor
        self.channel = channel
        self.queue = self.spec.queue_name
        self.exchange, self.routing_key = EXCHANGE, self.spec.key
        self.tag = ""
        self.draining = False
        self.finished = 0
        self.failed = 0
        self._server = server
        self._loop = server.loop
        self._send = channel.connection.send
        self._frame_max = channel.connection.frame_max
        self._codec = self._make_codec(self.spec.content_type)
        self._codecs: dict[str, MethodCodec] = {}
        self._templates: dict[str, ReplyTemplate] = {}
        self._middleware = middleware
        self._invoke: Invoke = compose(middleware, executor.invoke)
        self.running: dict[int, Running] = {}
        """By delivery tag, so the longest running first."""
        self._finished: list[int] = []
        self._confirms: Confirms[bool] | None = None
        self._confirmed = asyncio.Event()

    async def declare(self) -> None:
        """See that the request queue exists."""
        await declare_request_queue(self.channel, self.spec)

    async def start(self) -> None:
        """Take requests."""
        await self.executor.start()
        self.tag = await self.channel.consume(
            self.queue, self.on_delivery, prefetch=self.executor.concurrency
        )

    # -- a request comes ----------------------------------------------------------------------

    def on_delivery(self, delivery: Delivery) -> None:
        """Check a request, and begin its handler in a task of its own."""
        if self.draining:
            self._hand_back(delivery)
            return
        spec = self.spec
        server = self._server
        now = time.time()
        remaining = self._remaining(delivery, now)
        running = Running(self, spec.key, delivery, now + remaining)
        try:
            if delivery.redelivered and not spec.idempotent:
                raise MaybeExecuted(
                    "a server took this request before and died or lost its connection;"
                    " the method is not idempotent, so it is not run again"
                )
            if remaining <= 0:
                raise DeadlineExceeded(
                    "the deadline had passed when a server took the request", where="queue"
                )
            if server.early_cancels and server.early_cancels.take(running.key):
                raise Cancelled("the caller cancelled before a server took it", executed="no")
            arguments = self._arguments(delivery)
        except CallError as error:
            self._answer(running, self._pack_error(running, error))
            self._acknowledge(delivery.delivery_tag)
            return
        self.running[delivery.delivery_tag] = running
        running.tick = server.deadlines.add(self._loop.time() + remaining, running)
        running.task = self._loop.create_task(self._run(running, arguments))

    def _remaining(self, delivery: Delivery, now: float) -> float:
        """Seconds until the caller's deadline.

        Its absolute form is trusted only as far as the message's time to live allows, so that a
        client's clock that runs ahead cannot hold a handler for longer.
        """
        properties = delivery.properties
        expiration = properties.expiration
        budget = (
            int(expiration) / 1000 if expiration and expiration.isdecimal() else self.spec.timeout
        )
        deadline = properties.headers.get("deadline") if properties.headers else None
        if type(deadline) is not int:
            return budget or self.spec.timeout
        remaining = deadline / 1000 - now
        return min(remaining, budget) if budget else remaining

    def _arguments(self, delivery: Delivery) -> Struct:
        """The decoded arguments.

        :raises CallError: if the body is too large or does not fit.
        """
        body = delivery.body
        if body is None:
            raise Busy(
                f"the arguments take {delivery.body_size} bytes, more than the server's"
                " max_message_size"
            )
        codec = self._codec
        content_type = delivery.properties.content_type
        if content_type != codec.content_type and content_type is not None:
            codec = self._codec_for(content_type)
        try:
            return codec.decode_arguments(body)
        except DECODE_ERRORS as error:
            raise InvalidArgument(said(error) or type(error).__name__) from error

    def _codec_for(self, content_type: str) -> MethodCodec:
        codec = self._codecs.get(content_type)
        if codec is None:
            try:
                codec = self._make_codec(content_type)
            except ContractError as error:
                raise InvalidArgument(str(error)) from error
            if len(self._codecs) < 16:
                self._codecs[content_type] = codec
        return codec

    def _make_codec(self, content_type: str) -> MethodCodec:
        return method_codec(content_type, self.spec.parameters, self.spec.result)

    # -- it runs ------------------------------------------------------------------------------

    async def _run(self, running: Running, arguments: Struct) -> None:
        set_current_call(running)
        running.begun = True
        handed_back = False  # to another server, which may run it as well
        try:
            if running.stopped_by:  # before it began: a task not begun must not be cancelled
                raise asyncio.CancelledError
            result = await self._invoke(arguments)
        except asyncio.CancelledError:
            if running.stopped_by == "drain" and self.spec.idempotent:
                handed_back = True
            reply = self._pack_error(running, self._cancelled(running))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the caller is told of any
            reply = self._pack_error(running, self._raised(running, error))
        else:
            reply = self._pack_result(running, result)
        self.running.pop(running.delivery.delivery_tag, None)
        self._server.deadlines.discard(running.tick, running)
        if handed_back:
            self._send(frames.nack(self.channel.number, running.delivery.delivery_tag))
        else:
            self._answer(running, reply)
            self._acknowledge(running.delivery.delivery_tag)

    def stop(self, running: Running, reason: StopReason) -> None:
        """End a call before its handler does.

        Its caller is answered at once. The handler is cancelled; one in a thread cannot be, so its
        place stays taken until it returns.
        """
        if running.stopped_by:
            return
        running.stopped_by = reason
        if reason == "deadline":
            self._answer(running, self._pack_error(running, self._cancelled(running)))
        if running.begun and running.task is not None and self.executor.stops_when_cancelled:
            running.task.cancel()

    def _cancelled(self, running: Running) -> CallError:
        match running.stopped_by:
            case "deadline":
                return DeadlineExceeded(
                    "the handler did not end by the deadline and was cancelled", where="handler"
                )
            case "caller":
                return Cancelled("the caller cancelled")
            case "drain":
                return Cancelled("the server stopped while the handler ran")
        return Cancelled("the handler was cancelled, by itself or by what it waited for")

    def _raised(self, running: Running, error: BaseException) -> CallError:
        """What the caller gets for what the handler, or the middleware around it, raised."""
        executed: Executed = "yes" if running.entered or not self._middleware else "no"
        if isinstance(error, DeclaredError) and self.spec.raises.get(error.code) is type(error):
            return error
        if isinstance(error, _OWN) and not error.method:
            error.executed = executed
            return error
        if isinstance(error, DeadlineExceeded) and running.remaining() < _SAME_DEADLINE:
            # A nested call has this call's deadline, and may find first that it passed.
            return DeadlineExceeded(
                f"the deadline passed in a nested call: {error}", where="handler"
            )
        self.failed += 1
        log.error("%s raised %r", self.spec.key, error, exc_info=error)
        if isinstance(error, RemoteError) and not error.method:
            # Made by the process pool for one that could not travel.
            if not self._server.send_tracebacks:
                error.remote_traceback = ""
            return error
        return RemoteError(
            said(error),
            executed=executed,
            type_name=type(error).__name__,
            remote_traceback=(
                "".join(traceback.format_exception(error)) if self._server.send_tracebacks else ""
            ),
        )

    # -- it is answered -----------------------------------------------------------------------

    def _pack_result(self, running: Running, result: Any) -> bytes:
        properties = running.delivery.properties
        codec = self._codec
        content_type = properties.content_type
        if content_type != codec.content_type and content_type is not None:
            codec = self._codec_for(content_type)
        try:
            body = codec.encode_result(result)
        except ENCODE_ERRORS as error:
            log.error("%s returned what its annotation forbids: %s", self.spec.key, said(error))
            return self._pack_error(
                running,
                InvalidResult(f"the handler's result does not fit its annotation: {said(error)}"),
            )
        if len(body) > self._server.max_message_size:
            return self._pack_error(
                running,
                InvalidResult(
                    f"the result takes {len(body)} bytes, more than the"
                    f" {self._server.max_message_size} of the server's max_message_size"
                ),
            )
        reply_to, correlation_id = running.key
        if not reply_to:
            return b""
        if running.has_reply_metadata or not correlation_id or codec is not self._codec:
            try:
                return self._pack_any(running, body, codec.content_type, RESULT)
            except (TypeError, ValueError) as error:
                running.reply_metadata.clear()
                return self._pack_error(
                    running, InvalidResult(f"the handler's reply_metadata cannot be sent: {error}")
                )
        template = self._templates.get(reply_to)
        if template is None:
            template = self._template(reply_to)
        return template.pack(correlation_id.encode("utf-8", "surrogateescape"), body)

    def _template(self, reply_to: str) -> ReplyTemplate:
        if len(self._templates) >= _TEMPLATES:
            self._templates.clear()
        template = self._templates[reply_to] = ReplyTemplate(
            channel=self.channel.number,
            frame_max=self._frame_max,
            reply_to=reply_to,
            content_type=self._codec.content_type,
            kind=RESULT,
        )
        return template

    def _pack_error(self, running: Running, error: CallError) -> bytes:
        """The reply that tells of an error."""
        body = encode_failure(error)
        try:
            return self._pack_any(running, body, ERROR_CONTENT_TYPE, ERROR)
        except (TypeError, ValueError):  # as in _pack_result; here the error is what matters
            running.reply_metadata.clear()
            return self._pack_any(running, body, ERROR_CONTENT_TYPE, ERROR)

    def _pack_any(self, running: Running, body: bytes, content_type: str, kind: str) -> bytes:
        reply_to, correlation_id = running.key
        if not reply_to:
            return b""
        return pack_reply(
            self.channel.number,
            self._frame_max,
            reply_to,
            correlation_id,
            body,
            content_type=content_type,
            kind=kind,
            metadata=running.reply_metadata if running.has_reply_metadata else None,
        )

    def _answer(self, running: Running, reply: bytes) -> None:
        """Send the one reply of a call; what comes after it is dropped."""
        if not running.answered:
            running.answered = True
            if reply:
                self._send(reply)
                if self._confirms is not None:
                    self._confirms.add(True)

    def _acknowledge(self, delivery_tag: int) -> None:
        """Acknowledge a request with the next write, after the replies that are in it."""
        self.finished += 1
        if not self._finished:
            self.channel.connection.defer(self._acknowledge_finished)
        self._finished.append(delivery_tag)

    def _acknowledge_finished(self) -> None:
        """All requests before the oldest that still runs by one frame, the others one by one."""
        finished, self._finished = self._finished, []
        oldest = next(iter(self.running), None)
        number = self.channel.number
        if oldest is not None:
            for tag in finished:
                if tag > oldest:
                    self._send(frames.ack(number, tag))
            finished = [tag for tag in finished if tag < oldest]
        if finished:
            self._send(frames.ack(number, max(finished), multiple=len(finished) > 1))

    # -- the end ------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Take no more requests; tell those whose calls run that they do.

        A client that sees no consumer on the queue would take its call for lost.
        """
        self.draining = True
        for running in self.running.values():
            if not running.answered:
                self._tell_accepted(running)
        # From here on it matters that the broker has each reply: soon nobody can send it again.
        self._confirms = Confirms()
        self.channel.on_confirm = self._on_confirm
        await self.channel.select_confirms()
        await self.channel.cancel_consumer(self.tag)

    def _tell_accepted(self, running: Running) -> None:
        self._send(self._pack_any(running, b"", ERROR_CONTENT_TYPE, ACCEPTED))

    async def finish(self) -> None:
        """Wait for the calls that run."""
        while self.running:
            await asyncio.wait([call.task for call in self.running.values() if call.task])

    async def confirm(self) -> None:
        """Wait until the broker has confirmed the replies of the drain."""
        try:
            async with asyncio.timeout(_CONFIRM_TIMEOUT):
                while self._confirms:
                    self._confirmed.clear()
                    await self._confirmed.wait()
        except TimeoutError:
            log.error("%s: the broker did not confirm the last replies", self.queue)

    def _on_confirm(self, number: int, multiple: bool, ok: bool) -> None:
        if self._confirms is not None:
            self._confirms.settle(number, multiple)
            self._confirmed.set()

    def _hand_back(self, delivery: Delivery) -> None:
        """Return a request that was not begun, as a new message: a nack would mark it redelivered.

        By way of the exchange, where its CC matches nothing; behind the requests that wait.
        """
        properties = delivery.properties
        remaining = self._remaining(delivery, time.time())
        if remaining <= 0 or delivery.body is None:
            self._send(frames.nack(self.channel.number, delivery.delivery_tag))
            return
        expiration = str(int(remaining * 1000)) if properties.expiration else None
        self.channel.publish(
            self.exchange,
            self.routing_key,
            structs.replace(properties, expiration=expiration),
            delivery.body,
        )
        if self._confirms is not None:
            self._confirms.add(True)
        self.channel.ack(delivery.delivery_tag)
