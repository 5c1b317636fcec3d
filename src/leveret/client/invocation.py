"""One call: encode and send its arguments, await and decode its reply.

Every call of a client passes through here, whatever its dialect is: the calls of typed remotes,
calls by name, and calls to servers of the tutorial's protocol. Only this file sends a request,
waits for the reply, and abandons the call if its caller goes away.
"""

from __future__ import annotations

import asyncio
import secrets
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from leveret.backoff import Backoff
from leveret.body_parts import Body
from leveret.client.calls.listener import Listener, OnProgress
from leveret.client.calls.request import Request
from leveret.client.policy.call_policy import CallPolicy
from leveret.client.request_ids import RequestIds
from leveret.client.results import Results
from leveret.client.sender import Sender
from leveret.client.tracing import TracedCall
from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, MethodCodec
from leveret.errors import (
    CallError,
    DeadlineExceeded,
    InvalidArgument,
    Unimplemented,
)
from leveret.observe import BATCH, ClientCounters
from leveret.wire.context import find_current_call, within_current_call
from leveret.wire.message import Reply

_PAUSES: Final = Backoff(first=0.05, most=1.0)
"""The pauses, in seconds, between the requests of a call that waits for its method's first
server."""


class TracedTerms(Struct, frozen=True, kw_only=True, gc=False):
    """Gives each attempt of a traced call a span of its own."""

    call: TracedCall
    """The call."""
    headers: Callable[[Mapping[str, str]], bytes]
    """Packs the headers of an attempt, with its trace context."""


class Terms(Struct, frozen=True, kw_only=True, gc=False):
    """What may differ between calls of one invocation, apart from their arguments."""

    timeout: float
    """Seconds from the call to its deadline. An outer call's deadline caps it."""
    headers: bytes = b""
    """Metadata and an idempotency key, packed by the request's dialect."""
    reply_metadata: dict[str, str] | None = None
    """A dict that receives the metadata that the handler sent with its result."""
    on_progress: OnProgress | None = None
    """Called with progress reports, for which the headers then ask."""
    traced: TracedTerms | None = None
    """Traces its attempts, if they are traced."""


class _Attempt(Struct, frozen=True, kw_only=True):
    """One of several attempts of a call."""

    sender: Sender
    """The client that sends all of its attempts."""
    request: Request
    """The request, or one that says that it was sent before."""
    body: Body
    """The encoded arguments."""
    headers: bytes
    """The terms of the call, with the key that all its attempts share."""
    timeout: float
    """Seconds from now to the call's deadline."""
    ids: Iterator[str]
    """Gives the ids of the call's further requests."""


class Invocation:
    """The calls of one method whose requests differ only in arguments and terms.

    :param here: gives the client for calls of the running event loop. It is called at the first
        call, and when the client takes no more calls of that loop; `RuntimeError` if there is none.
    :param new_id: gives a call id that no call has had.
    :param make_request: makes the request for the channel of a client.
    :param method: "service.method", for errors.
    :param parameters: turns arguments into what the codec encodes.
    :param codec: for the requests, and for replies with the same content type.
    :param results: reads all replies that are not simply a result in the requests' content type.
    :param policy: makes the attempts of a call; None where there is only one.
    :param counters: counts its calls.
    :param new_key: whether to make an idempotency key for each call, which its attempts share.
    """

    __slots__ = (
        "_codec",
        "_content_type",
        "_counters",
        "_decode",
        "_encode",
        "_here",
        "_make_request",
        "_method",
        "_new_id",
        "_new_key",
        "_parameters",
        "_policy",
        "_request",
        "_results",
        "_sender",
    )

    is_pipe = False
    """Whether its calls are pipes of several methods."""

    def __init__(
        self,
        here: Callable[[], Sender],
        new_id: Callable[[], str],
        make_request: Callable[[Sender], Request],
        *,
        method: str,
        parameters: Callable[..., Any],
        codec: MethodCodec,
        results: Results,
        counters: ClientCounters,
        policy: CallPolicy | None = None,
        new_key: bool = False,
    ) -> None:
        self._counters = counters
        self._new_id = new_id
        self._parameters = parameters
        self._here = here
        self._sender: Sender | None = None
        self._request: Request
        """The request for calls by this sender."""
        self._make_request = make_request
        self._method = method
        self._codec = codec
        self._encode = codec.encode_arguments
        self._decode = codec.decode_result
        self._content_type = codec.content_type
        self._results = results
        self._policy = policy
        self._new_key = new_key

    @property
    def new_id(self) -> Callable[[], str]:
        """Gives a call id that no call has had."""
        return self._new_id

    @property
    def parameters(self) -> Callable[..., Any]:
        """Turns arguments into what the codec encodes; `TypeError` if they do not fit."""
        return self._parameters

    async def call(  # noqa: C901, PLR0912, PLR0915 - the hot path: one coroutine is faster than two
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: Terms,
        ids: Iterator[str] | None = None,
        attempt: _Attempt | None = None,
    ) -> Any:
        """Make one call, of one attempt or several.

        :param ids: the ids of its requests, if its id is known before the first one is sent.
        :param attempt: one of several attempts, with its arguments already encoded.
        :raises CallError: however it fails.
        """
        loop = get_running_loop()
        counters = self._counters
        began = loop.time()
        if attempt is None:
            counters.started += 1
        try:
            if attempt is not None:
                sender, request, body = attempt.sender, attempt.request, attempt.body
                headers, timeout, ids = attempt.headers, attempt.timeout, attempt.ids
            else:
                try:
                    body = self._encode(self._parameters(*args, **kwargs))
                except ENCODE_ERRORS as error:
                    raise InvalidArgument(str(error), method=self._method) from error
                timeout = terms.timeout
                if find_current_call() is not None:
                    timeout = within_current_call(timeout, self._method)
                last = self._sender
                if last is not None and loop is last.takes_from:
                    sender = last
                else:
                    sender = self._sender_here()
                # A body that is too large is refused: no fault of the service.
                if self._policy is not None and len(body) <= sender.max_message_size:
                    attempts = self._attempts(sender, body, terms, ids)
                    result = await self._policy.run(attempts, timeout)
                    counters.answered(loop.time() - began)
                    return result
                request, headers = self._request, terms.headers
            waits = request.wait_for_server
            end = loop.time() + timeout if waits else 0.0
            tries, may_have_run = 0, False
            while True:  # more than once only while a method's first server is awaited
                if sender.held or request.looks_first:
                    ready = sender.ready(request, timeout)
                    timeout = await (_once_more(ready) if tries else ready)
                sink: asyncio.Future[Reply] = loop.create_future()
                call = sender.send(request, body, timeout, sink, headers, ids)
                if terms.on_progress is not None:
                    call.listener = Listener(terms.on_progress, loop, self._method)
                if not waits:
                    body = b""  # it is not to be kept while the call waits
                elif may_have_run:
                    call.doubt()
                try:
                    reply = await sink
                    break
                except Unimplemented as error:
                    if not waits or (request.needs_key and error.executed != "no"):
                        raise  # another request would have another key, and run again
                    tries += 1
                    may_have_run = error.executed != "no"
                    if ids is None:
                        ids = RequestIds(call.id, sent=1)
                    timeout = await self._pause(error, tries, end)
                except BaseException:
                    sender.abandon(call)
                    raise
            # The common reply, without a detour.
            if (
                not reply.is_error
                and reply.content_type == self._content_type
                and reply.metadata is None
                and not reply.problem
                and reply.body is not None
            ):
                try:
                    result = self._decode(reply.body)
                except DECODE_ERRORS as error:
                    raise self._results.misfit(call, reply.body, error) from error
            else:
                most = sender.max_message_size
                result = self._results.read(reply, call, terms.reply_metadata, most)
        except BaseException as error:
            if attempt is None:
                counters.failed(error, loop.time() - began)
            raise
        if attempt is None:
            # Written out, as each call comes by here; see `ClientCounters.answered`.
            records = counters.records
            records.append(loop.time() - began)
            if len(records) >= BATCH:
                counters.count_some()
        return result

    @property
    def counters(self) -> ClientCounters:
        """What is counted of its calls."""
        return self._counters

    @property
    def codec(self) -> MethodCodec:
        """The codec for its requests, and for replies with the same content type."""
        return self._codec

    @property
    def content_type(self) -> str:
        """The content type of its requests."""
        return self._content_type

    @property
    def results(self) -> Results:
        """Reads the replies to its calls."""
        return self._results

    def is_of(self, here: Callable[[], Sender]) -> bool:
        """Whether this client sends its calls."""
        return self._here == here

    def encoded(self, arguments: Mapping[str, Any]) -> Body:
        """The body of a call with these arguments.

        :raises InvalidArgument: if they do not fit.
        """
        try:
            return self._encode(self._parameters(**arguments))
        except ENCODE_ERRORS as error:
            raise InvalidArgument(str(error), method=self._method) from error

    def _sender_here(self) -> Sender:
        """The client for this call of the running loop, and for later ones.

        :raises RuntimeError: if there is none in that loop.
        """
        sender = self._here()
        if sender is not self._sender:
            self._request = self._make_request(sender)
            self._sender = sender
        return sender

    def _attempts(
        self, sender: Sender, body: Body, terms: Terms, ids: Iterator[str] | None
    ) -> Callable[[float], Coroutine[Any, Any, Any]]:
        """Makes an attempt within a number of seconds."""
        first = request = self._request
        headers = terms.headers
        ids = RequestIds(self._new_id()) if ids is None else ids
        counters, further = self._counters, 0
        if self._new_key:
            key = secrets.token_urlsafe(16)
            headers += request.dialect.headers(idempotency_key=key)

        async def attempt(timeout: float, headers: bytes = headers) -> Any:
            nonlocal request, further
            counters.retries += further
            further = 1
            one = _Attempt(
                sender=sender,
                request=request,
                body=body,
                headers=headers,
                timeout=timeout,
                ids=ids,
            )
            try:
                return await self.call((), {}, terms, attempt=one)
            except CallError as error:
                if request.needs_key and error.executed != "no":
                    request = first.again()  # further attempts say that they are
                raise

        traced = terms.traced
        if traced is None:
            return attempt
        key_headers = headers[len(terms.headers) :]

        async def traced_attempt(timeout: float) -> Any:
            with traced.call.attempt() as carrier:
                return await attempt(timeout, traced.headers(carrier) + key_headers)

        return traced_attempt

    async def _pause(self, error: Unimplemented, tries: int, end: float) -> float:
        """Wait before the next request to a queue that is not there yet; returns the seconds left.

        :param end: the deadline, on the event loop's clock.
        :raises DeadlineExceeded: if too little time is left.
        """
        loop = get_running_loop()
        pause = _PAUSES.pause_within(tries, end - loop.time())
        if pause is not None:
            await asyncio.sleep(pause)
            left = end - loop.time()  # less than meant, where the process stood still
            if left > 0:
                return left
        late = DeadlineExceeded(
            f"no server came up in time: {error.message}",
            where="queue",
            executed=error.executed,
            method=self._method,
        )
        late.call_id = error.call_id
        raise late from error


async def _once_more(ready: Awaitable[float]) -> float:
    """The seconds left for a request that was sent before.

    :raises CallError: its last error, if the request cannot be sent again.
    """
    try:
        return await ready
    except CallError as error:
        error.attempts = max(error.attempts, 1)
        raise
