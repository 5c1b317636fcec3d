"""Methods of a remote that stream: calling one returns a `RemoteStream`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any

from leveret.client.middleware import CallNext, Middleware, OutgoingCall, compose
from leveret.client.options import CallOptions, check_timeout
from leveret.client.request_ids import RequestIds, ids_within, within_call
from leveret.client.signatures import DocOfMethod, SignatureOfMethod
from leveret.client.streams.going_on import PAUSES
from leveret.client.streams.opening import StreamOpener, StreamTerms
from leveret.client.streams.plan import Plan
from leveret.client.streams.remote_stream import RemoteStream
from leveret.client.streams.sending import Source, is_source
from leveret.contract import MethodSpec, given_arguments
from leveret.errors import InvalidArgument
from leveret.of_one_process import OfOneProcess
from leveret.wire.dialect import ClientDialect

_NOT_FOR_STREAMS = {
    "idempotency_key": "",
    "retry": "",
    "hedge": "",
    "on_progress": "; what comes of a stream, or what was drawn of an upload, says how far it is",
}
"""Options for calls that do not stream, and what streams have in their place."""


class RemoteStreamMethod(OfOneProcess):
    """One method of a remote service whose results stream. Calling it returns a `RemoteStream`.

    :param opener: opens the method's streams with these options.
    :param dialect: packs the metadata.
    :raises InvalidArgument: for options that are for calls that do not stream, and if the metadata
        cannot be sent.
    """

    __slots__ = ("_dialect", "_middleware", "_opener", "_options", "_spec", "_terms")
    __signature__ = SignatureOfMethod()
    __defaults__ = None
    __kwdefaults__ = None

    def __init__(
        self,
        opener: StreamOpener,
        spec: MethodSpec,
        options: CallOptions,
        dialect: ClientDialect,
        middleware: tuple[Middleware, ...] = (),
    ) -> None:
        for name, instead in _NOT_FOR_STREAMS.items():
            if getattr(options, name):
                raise InvalidArgument(
                    f"{name} is for calls that do not stream, and this method does{instead}",
                    method=spec.key,
                )
        self._spec = spec
        self._opener = opener
        self._options = options
        self._dialect = dialect
        self._middleware = middleware
        self._terms = self._terms_with(options.timeout or spec.timeout, options.metadata)

    @property
    def __name__(self) -> str:
        """The name of the method in Python."""
        return self._spec.attribute

    @property
    def key(self) -> str:
        """The method that it calls: "service.method"."""
        return self._spec.key

    def __get__(self, instance: object, owner: type | None = None) -> RemoteStreamMethod:
        """Return itself. With this, `help` takes it for a routine, and shows its signature."""
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> RemoteStream[Any]:
        """Make one stream; its request is sent when the first item is asked for.

        :raises InvalidArgument: if there is nothing to upload where the method takes an upload.
        """
        source, args, kwargs = _source_of(self._spec, args, kwargs)
        plan = Plan(
            self._opener,
            args,
            kwargs,
            self._terms,
            source=source,
            outgoing=self._outgoing,
            chain=self._around if self._middleware else None,
            terms_with=self._changed,
            with_carrier=self._with_carrier,
        )
        return RemoteStream(plan)

    def __repr__(self) -> str:
        return f"<remote stream {self._spec.key}>"

    def _around(self, innermost: CallNext) -> CallNext:
        return compose(self._middleware, innermost)

    def _outgoing(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OutgoingCall:
        """The call as the middleware sees it first.

        :raises InvalidArgument: for arguments that do not fit the method.
        """
        try:
            arguments = self._opener.parameters(*args, **kwargs)
        except TypeError as error:
            raise InvalidArgument(str(error), method=self._spec.key) from error
        metadata = self._options.metadata
        return OutgoingCall(
            self._spec.key,
            arguments if isinstance(arguments, dict) else given_arguments(arguments),
            metadata.copy() if metadata else {},
            self._terms.timeout,
            self._opener.new_id(),
        )

    def _changed(self, call: OutgoingCall) -> StreamTerms:
        """The terms of a call as the middleware left it.

        :raises InvalidArgument: for an invalid timeout or invalid metadata.
        """
        return self._terms_with(check_timeout(call.timeout), call.metadata)

    def _with_carrier(self, carrier: Mapping[str, str]) -> StreamTerms:
        """The terms with the trace context added to the metadata."""
        metadata = {**(self._options.metadata or {}), **carrier}
        return self._terms_with(self._terms.timeout, metadata)

    def _terms_with(self, timeout: float, metadata: dict[str, str] | None) -> StreamTerms:
        headers = b""
        if metadata:
            try:
                headers = self._dialect.headers(metadata)
            except (TypeError, ValueError) as error:
                raise InvalidArgument(f"the metadata cannot be sent: {error}") from error
        options = self._options
        return StreamTerms(
            timeout=timeout,
            idle_timeout=options.idle_timeout,
            total_timeout=options.total_timeout,
            headers=headers,
            reply_metadata=options.reply_metadata,
        )


class RemoteUploadMethod(RemoteStreamMethod):
    """One method of a remote service with an upload and one result."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:  # type: ignore[override]
        """Make one call, which sends items as fast as the server takes them.

        :raises InvalidArgument: if there is nothing to upload.
        :raises CallError: however it fails, once it is awaited. It also raises what the source
            raises.
        """
        source, args, kwargs = _source_of(self._spec, args, kwargs)
        call = self._call(source, args, kwargs)
        call.__qualname__ = self._spec.key  # type: ignore[attr-defined]
        return call

    async def _call(
        self, source: Source | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        counters, loop = self._opener.counters, asyncio.get_running_loop()
        began = loop.time()
        counters.started += 1
        tracing = self._opener.tracing()
        try:
            if tracing is None or not (tracing.traces_streams and tracing.is_wanted()):
                result = await self._send(source, args, kwargs, {})
            else:
                with tracing.call(self._spec.key) as traced:
                    try:
                        result = await self._send(source, args, kwargs, traced.carrier)
                    finally:
                        counters.exemplify(traced.exemplar(loop.time() - began))
        except BaseException as error:
            counters.failed(error, loop.time() - began)
            raise
        counters.answered(loop.time() - began)
        return result

    async def _send(
        self,
        source: Source | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        carrier: Mapping[str, str],
    ) -> Any:
        """Make the call, through the middleware if there is any.

        :param carrier: the trace context that is sent with it.
        """
        if not self._middleware:
            ids = RequestIds(self._opener.new_id())
            terms = self._with_carrier(carrier) if carrier else self._terms
            return await self._upload(source, args, kwargs, terms, ids)
        call = self._outgoing(args, kwargs)
        call.metadata.update(carrier)
        is_of_one_use = isinstance(source, AsyncIterator | Iterator)
        is_taken = False

        async def innermost(changed: OutgoingCall) -> Any:
            nonlocal is_taken
            if is_taken:
                raise RuntimeError(
                    "another attempt has drawn the items to upload: middleware can call"
                    f" {self._spec.key} again only with what can be iterated over again, as a list"
                )
            is_drawn = False

            def drawn() -> None:
                nonlocal is_drawn
                is_drawn = True

            terms = self._changed(changed)
            ids = ids_within(changed.id, self._opener.new_id)
            is_taken = is_of_one_use
            try:
                return await self._upload(source, (), changed.arguments, terms, ids, drawn)
            finally:
                is_taken = is_of_one_use and is_drawn

        with within_call(call.id):
            return await self._around(innermost)(call)

    async def _upload(
        self,
        source: Source | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: StreamTerms,
        ids: RequestIds,
        drawn: Callable[[], None] = lambda: None,
    ) -> Any:
        """Make the call.

        :param drawn: is called at its end, if items were drawn from the source.
        """
        opener, loop = self._opener, asyncio.get_running_loop()
        body = opener.encode(args, kwargs)
        until, left = opener.until(terms), terms.timeout
        give_up = loop.time() + left
        tries, may_have_run = 0, False
        while True:  # more than once only while the method's first server is awaited
            tries += 1
            opened = await opener.open(body, terms, ids, until=until, source=source, timeout=left)
            if may_have_run:
                opened.call.doubt()
            try:
                await opened.stream.wait()
            finally:
                opened.stop()
                if opened.stream.upload is not None and opened.stream.upload.is_drawn:
                    drawn()
                if opened.sending is not None:
                    await asyncio.wait((opened.sending,))
            missing = opener.waits(opened)
            if missing is None:
                break
            may_have_run = missing.executed != "no"
            left = min(give_up, until) - loop.time()
            pause = PAUSES.pause_within(tries, left)
            if pause is None:
                raise opener.came_too_late(missing)
            await asyncio.sleep(pause)
            left = min(give_up, until) - loop.time()
            if left <= 0:
                raise opener.came_too_late(missing)
        metadata = opened.stream.metadata
        if terms.reply_metadata is not None and metadata:
            terms.reply_metadata.update(metadata)
        return opener.result(opened)


def _source_of(
    spec: MethodSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Source | None, tuple[Any, ...], dict[str, Any]]:
    """The upload, and the other arguments.

    :raises InvalidArgument: if the upload is missing, or cannot be iterated over.
    """
    upload = spec.upload
    if upload is None:
        return None, args, kwargs
    if upload.name in kwargs:
        source = kwargs[upload.name]
        kwargs = {name: value for name, value in kwargs.items() if name != upload.name}
    elif upload.position is not None and len(args) > upload.position:
        source = args[upload.position]
        args = args[: upload.position] + args[upload.position + 1 :]
    else:
        raise InvalidArgument(f"it uploads {upload.name!r}; give it an iterator", method=spec.key)
    if not is_source(source):
        raise InvalidArgument(
            f"{upload.name!r} is uploaded item by item; give it an iterator, not {source!r:.80}",
            method=spec.key,
        )
    return source, args, kwargs


RemoteStreamMethod.__doc__ = DocOfMethod(RemoteStreamMethod.__doc__)  # type: ignore[assignment]
