"""Calls servers that speak the dialect of RabbitMQ's tutorial, whatever they are written in."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from leveret.amqp.properties import short_string
from leveret.client.calls.request import Request
from leveret.client.invocation import Invocation, Terms
from leveret.client.invocations import RoutingSender
from leveret.client.options import check_timeout
from leveret.codec import TEXT, method_codec
from leveret.errors import ContractError, InvalidArgument
from leveret.wire.tutorial import TEXT_CONTENT_TYPE, TutorialClient

R = TypeVar("R")

_DIALECT = TutorialClient()

_Body = msgspec.defstruct("_Body", [("body", str)])


class PlainRemote(Generic[R]):
    """A queue whose servers answer text with text; `rabbit.plain("rpc_queue")` gives one.

    A server that fails mostly says nothing. Then only the deadline ends the call.
    """

    def __init__(self, sender: RoutingSender, queue: str, result: type[R], timeout: float) -> None:
        check_timeout(timeout)
        try:
            short_string(queue)
            codec = method_codec(TEXT, _Body, result)
        except (ValueError, ContractError) as error:
            raise InvalidArgument(str(error)) from error
        route = sender.route(queue, _DIALECT, label=f"queue {queue}")
        self._name = route.key
        self._terms = Terms(timeout=timeout)
        self._invocation = Invocation(
            sender,
            Request(sender.channel, _DIALECT, route, key=queue, content_type=TEXT_CONTENT_TYPE),
            method=route.key,
            parameters=_Body,
            codec=codec,
            make_codec=lambda _content_type: codec,
            default_content_type=TEXT_CONTENT_TYPE,
            raises={},
            expected="text of the type asked for",
        )

    async def call(self, body: object) -> R:
        """Send `str(body)`, wait for the answer, and read it as the result's type.

        :raises Unimplemented: if there is no such queue. :raises NoServer: if nobody serves it.
        :raises DeadlineExceeded: if no answer comes in time.
        :raises InvalidResult: if the answer is not text of the result's type.
        :raises RemoteError: if a Leveret server reports an error.
        """
        result: R = await self._invocation.call((str(body),), {}, self._terms)
        return result

    def __repr__(self) -> str:
        return f"<plain remote {self._name}>"
