"""Calls servers that speak the dialect of RabbitMQ's tutorial, whatever they are written in."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

import msgspec

from leveret.amqp.properties import short_string
from leveret.client.calls.client import Client
from leveret.client.calls.request import Request
from leveret.client.options import MAX_TIMEOUT
from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, TEXT, method_codec
from leveret.errors import ContractError, InvalidArgument, InvalidResult
from leveret.wire.context import within_current_call
from leveret.wire.message import Reply
from leveret.wire.tutorial import TEXT_CONTENT_TYPE, TutorialClient

R = TypeVar("R")

_DIALECT = TutorialClient()

_Body = msgspec.defstruct("_Body", [("body", str)])


class PlainRemote(Generic[R]):
    """A queue whose servers answer text with text; `rabbit.plain("rpc_queue")` gives one.

    Where such a server fails it mostly says nothing: then only the deadline ends the call.
    """

    def __init__(self, client: Client, queue: str, result: type[R], timeout: float) -> None:
        if not 0 < timeout <= MAX_TIMEOUT:
            raise InvalidArgument(f"timeout must be a number of seconds above 0; got {timeout!r}")
        try:
            short_string(queue)
            self._codec = method_codec(TEXT, _Body, result)
        except (ValueError, ContractError) as error:
            raise InvalidArgument(str(error)) from error
        self._client = client
        self._timeout = timeout
        self._route = client.route(queue, _DIALECT, label=f"queue {queue}")
        self._request = Request(
            client.channel, _DIALECT, self._route, key=queue, content_type=TEXT_CONTENT_TYPE
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
        client = self._client
        client.check_loop()
        timeout = within_current_call(self._timeout, self._route.key)
        if client.held:
            timeout = await client.ready(self._request, timeout)
        sink: asyncio.Future[Reply] = client.loop.create_future()
        call = client.send(self._request, request, timeout, sink)
        try:
            answer = await sink
        except BaseException:
            client.abandon(call)
            raise
        reply = answer.body
        if reply is None:
            raise InvalidResult(
                f"the reply takes {answer.body_size} bytes, more than max_message_size",
                method=self._route.key,
            )
        if answer.problem:
            raise InvalidResult(answer.problem, method=self._route.key)
        if answer.is_error:
            raise _DIALECT.error(answer, {}, self._route.key)
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
