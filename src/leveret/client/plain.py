"""Calls servers that speak the dialect of RabbitMQ's tutorial, whatever they are written in."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from leveret.amqp.properties import short_string
from leveret.client.calls import Calls
from leveret.client.options import MAX_TIMEOUT
from leveret.client.pending import Request
from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, TEXT, method_codec
from leveret.errors import ContractError, InvalidArgument, InvalidResult, RemoteError
from leveret.wire.before import PlainTemplate, is_compressed
from leveret.wire.context import within_current_call
from leveret.wire.native.names import ERROR

R = TypeVar("R")

_Body = msgspec.defstruct("_Body", [("body", str)])


class PlainRemote(Generic[R]):
    """A queue whose servers answer text with text; `rabbit.plain("rpc_queue")` gives one.

    Where such a server fails it mostly says nothing: then only the deadline ends the call.
    """

    def __init__(self, calls: Calls, queue: str, result: type[R], timeout: float) -> None:
        if not 0 < timeout <= MAX_TIMEOUT:
            raise InvalidArgument(f"timeout must be a number of seconds above 0; got {timeout!r}")
        try:
            short_string(queue)
            self._codec = method_codec(TEXT, _Body, result)
        except (ValueError, ContractError) as error:
            raise InvalidArgument(str(error)) from error
        self._calls = calls
        self._timeout = timeout
        self._route = calls.plain_route(queue)
        self._request = Request(
            calls,
            self._route,
            lambda _again, _key: PlainTemplate(
                channel=calls.channel.number,
                frame_max=calls.connection.frame_max,
                queue=queue,
                reply_queue=calls.reply_queue,
                user_id=calls.connection.user,
            ),
        )

    async def call(self, body: object) -> R:
        """Send `str(body)`, wait for the answer, and read it as the result's type.

        :raises Unimplemented: if there is no such queue. :raises NoServer: if nobody serves it.
        :raises DeadlineExceeded: if no answer comes in time.
        :raises InvalidResult: if the answer is no text of the result's type.
        :raises RemoteError: if a Leveret server reports an error.
        """
        try:
            request = self._codec.encode_arguments(_Body(str(body)))
        except ENCODE_ERRORS as error:
            raise InvalidArgument(str(error), method=self._route.key) from error
        calls = self._calls
        calls.check_loop()
        timeout = within_current_call(self._timeout, self._route.key)
        if calls.flow.held:
            timeout = await calls.flow.ready(self._request, timeout)
        pending = calls.send(self._request, request, timeout)
        try:
            delivery = await pending.future
        except BaseException:
            calls.abandon(pending)
            raise
        reply = delivery.body
        if reply is None:
            raise InvalidResult(
                f"the reply takes {delivery.body_size} bytes, more than max_message_size",
                method=self._route.key,
            )
        if is_compressed(delivery.properties.content_encoding):
            raise InvalidResult(
                f"the reply has the content_encoding {delivery.properties.content_encoding!r};"
                " bodies are never compressed",
                method=self._route.key,
            )
        if delivery.properties.type == ERROR:
            raise RemoteError(reply.decode("utf-8", "replace"), method=self._route.key)
        try:
            result: R = self._codec.decode_result(reply)
        except DECODE_ERRORS as error:
            raise InvalidResult(
                f"the reply {reply[:80]!r} is no {self._codec.content_type} of the type asked"
                f" for: {error}",
                method=self._route.key,
            ) from error
        return result

    def __repr__(self) -> str:
        return f"<plain remote {self._route.key}>"
