"""Calls servers that speak the protocol of RabbitMQ's tutorial, in whatever language."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, Literal, TypeVar, Unpack

import msgspec

from leveret.amqp.properties import short_string
from leveret.client.calls.request import Request
from leveret.client.invocation import Invocation, Terms
from leveret.client.invocations import Invocations
from leveret.client.middleware import CallNext, OutgoingCall, compose
from leveret.client.options import CallOptions, GivenOptions, check_timeout
from leveret.client.request_ids import ids_within, within_call
from leveret.client.results import Results
from leveret.client.sender import Sender
from leveret.codec import TEXT, method_codec, normal_content_type
from leveret.contract import Hedge, Retry
from leveret.errors import ContractError, InvalidArgument
from leveret.of_one_process import OfOneProcess
from leveret.wire.tutorial import TEXT_CONTENT_TYPE, TutorialClient

R = TypeVar("R")

TIMEOUT: Final = 10.0
"""Seconds that a call may take by default."""

_DIALECT: Final = TutorialClient()

_Body = msgspec.defstruct("_Body", [("body", str)])


class _Method(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy needs to know of a queue's servers, about which nothing is known."""

    key: str
    service: str
    idempotent: bool = False
    once: bool = False
    retry: Retry | Literal[False] | None = None
    hedge: Hedge | Literal[False] | None = None


class PlainRemote(OfOneProcess, Generic[R]):
    """A queue whose servers answer text with text; `rabbit.plain("rpc_queue")` gives one.

    A server that fails usually says nothing. Then only the deadline ends the call.

    :raises InvalidArgument: for an invalid queue name or result type, and for options that the
        tutorial's protocol cannot support.
    """

    def __init__(
        self, invocations: Invocations, queue: str, result: type[R], options: CallOptions
    ) -> None:
        _check_options(options)
        _check_queue(queue)
        try:
            codec = method_codec(TEXT, _Body, result)
        except (ValueError, TypeError) as error:
            raise InvalidArgument(str(error)) from error
        self._name = f"queue {queue}"
        self._again = (invocations, queue, result, options)
        self._terms = Terms(
            timeout=options.timeout or TIMEOUT, reply_metadata=options.reply_metadata
        )
        self._invocation = Invocation(
            invocations.here,
            invocations.new_id,
            self._make_request(queue, options),
            method=self._name,
            parameters=_Body,
            codec=codec,
            results=Results(
                self._name,
                codec,
                make_codec=lambda _content_type: codec,
                default_content_type=TEXT_CONTENT_TYPE,
                raises={},
                expected="text of the type asked for",
            ),
            counters=invocations.counters.of(self._name),
            policy=invocations.policy(_Method(key=self._name, service=self._name), options),
        )
        self._chain: CallNext | None = None
        if invocations.middleware:
            self._chain = compose(invocations.middleware, self._innermost)

    def _make_request(self, queue: str, options: CallOptions) -> Callable[[Sender], Request]:
        return lambda sender: Request(
            sender.channel,
            _DIALECT,
            sender.route(queue, _DIALECT, label=self._name),
            key=queue,
            content_type=TEXT_CONTENT_TYPE,
            priority=options.priority,
            wait_for_server=options.wait_for_server,
            wait_for_connection=options.wait_for_connection,
        )

    async def call(self, body: object) -> R:
        """Send `str(body)`, wait for the answer, and read it as the result's type.

        :raises Unimplemented: if there is no such queue. :raises NoServer: if nobody serves it.
        :raises DeadlineExceeded: if no answer comes in time.
        :raises InvalidResult: if the answer is not text of the result's type.
        :raises RemoteError: if a Leveret server reports an error.
        """
        result: R
        if self._chain is None:
            result = await self._invocation.call((str(body),), {}, self._terms)
        else:
            call = OutgoingCall(
                method=self._name,
                arguments={"body": str(body)},
                metadata={},
                timeout=self._terms.timeout,
                id=self._invocation.new_id(),
            )
            with within_call(call.id):
                result = await self._chain(call)
        return result

    def with_options(self, **options: Unpack[GivenOptions]) -> PlainRemote[R]:
        """The same with other options for its calls; `Service.with_options` lists them.

        :raises InvalidArgument: for options that the tutorial's protocol cannot support.
        """
        invocations, queue, result, before = self._again
        return PlainRemote(invocations, queue, result, before.merged(options))

    async def _innermost(self, call: OutgoingCall) -> Any:
        """Make the call as the middleware left it."""
        check_timeout(call.timeout)
        if call.metadata:
            raise InvalidArgument(_NOTHING_FOR["metadata"], method=self._name)
        terms = msgspec.structs.replace(self._terms, timeout=call.timeout)
        ids = ids_within(call.id, self._invocation.new_id)
        return await self._invocation.call((), call.arguments, terms, ids)

    def __repr__(self) -> str:
        return f"<plain remote {self._name}>"


_NOTHING_FOR: Final = {
    "metadata": "requests of the tutorial's protocol carry nothing but their text: no metadata",
    "idempotency_key": "requests of the tutorial's protocol carry nothing but their text: no"
    " idempotency_key",
    "hedge": "hedge sends a second request, which may run as well, and nobody knows whether the"
    " servers of a plain queue are idempotent",
    "if_busy": "if_busy='fail' needs a queue that sends requests back, and a plain queue drops"
    " what it cannot deliver",
    "on_progress": "servers of the tutorial's protocol report no progress",
    "expires_in": "expires_in is for one-way requests, and a plain call waits for its answer",
    "idle_timeout": "idle_timeout is for streams, and a plain call has one answer",
    "total_timeout": "total_timeout is for streams, and a plain call has one answer",
    "content_type": "bodies of the tutorial's protocol are text/plain",
}
"""Why an option is refused."""


def _check_queue(name: object) -> None:
    """:raises InvalidArgument: for what cannot name a queue."""
    if isinstance(name, str) and name:
        with suppress(ValueError):
            short_string(name)
            return
    raise InvalidArgument(f"queue must be text of 1 to 255 bytes; got {name!r}")


def _check_options(options: CallOptions) -> None:
    """:raises InvalidArgument: for an option that this protocol cannot support."""
    given = {
        "metadata": bool(options.metadata),
        "idempotency_key": options.idempotency_key is not None,
        "hedge": bool(options.hedge),
        "if_busy": options.if_busy == "fail",
        "on_progress": options.on_progress is not None,
        "expires_in": options.expires_in is not None,
        "idle_timeout": options.idle_timeout is not None,
        "total_timeout": options.total_timeout is not None,
        "content_type": options.content_type is not None and not _is_text(options.content_type),
    }
    for name, is_given in given.items():
        if is_given:
            raise InvalidArgument(_NOTHING_FOR[name])


def _is_text(content_type: str) -> bool:
    try:
        return normal_content_type(content_type) == TEXT
    except ContractError:
        return False
