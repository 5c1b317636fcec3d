"""The invocations of one client, shared by all options with which requests look the same.

A caller may set other options for each call (`remote.with_options(metadata=...).fib(30)`), so what
is made for each set of options must be cheap. An invocation has a codec, a packer and a policy, but
no timeout and no metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct, structs

from leveret.client.calls.request import Request
from leveret.client.invocation import Invocation
from leveret.client.middleware import Middleware
from leveret.client.options import CallOptions
from leveret.client.policy.call_policy import CallPolicy, PolicedMethod, Policies
from leveret.client.results import Results
from leveret.client.sender import Sender
from leveret.client.streams.opening import StreamOpener, StreamSender
from leveret.client.tracing import ClientTracing
from leveret.codec import (
    RAW,
    TEXT,
    ItemCodec,
    MethodCodec,
    as_plain,
    item_codec,
    method_codec,
    normal_content_type,
)
from leveret.contract import MethodSpec, given_struct
from leveret.errors import ContractError, InvalidArgument
from leveret.observe import ClientMethods
from leveret.wire.native.dialect import NativeClient
from leveret.wire.native.names import call_ids
from leveret.wire.native.one_way import OneWayClient
from leveret.wire.native.started import StartedClient

_KEPT: Final = 4096
"""How many invocations are kept for later options. Remotes in use keep their own."""

NATIVE: Final = NativeClient()
"""The dialect of all remote methods."""

MakeCodec = Callable[[MethodSpec, str], MethodCodec]
"""Makes the codec of a method for a content type; raises `ContractError` for a bad one."""


def typed_codec(spec: MethodSpec, content_type: str) -> MethodCodec:
    """The codec of a method whose contract is known."""
    return method_codec(content_type, _given(spec, content_type), spec.result)


def discovered_codec(spec: MethodSpec, content_type: str) -> MethodCodec:
    """The codec of a method that its servers describe; it decodes plain values."""
    codec = typed_codec(spec, content_type)
    decode = codec.decode_result
    return structs.replace(codec, decode_result=lambda body: as_plain(decode(body)))


def _one_way_codec(codec: MethodCodec) -> MethodCodec:
    """The codec of one-way requests, whose result is always None."""
    return structs.replace(codec, decode_result=lambda _body: None)


def _given(spec: MethodSpec, content_type: str) -> type[Struct]:
    """The struct for the arguments of a call. A body that is a single value cannot omit it."""
    if normal_content_type(content_type) in (TEXT, RAW):
        return spec.parameters
    return given_struct(spec.parameters)


class Invocations:
    """Makes the invocations of one client's remote methods.

    :param here: gives the client for calls of the running event loop; `RuntimeError` if there is
        none.
    :param middleware: runs around each call; the remote methods compose it.
    :param policies: make several attempts of a call.
    """

    def __init__(
        self,
        here: Callable[[], StreamSender],
        middleware: tuple[Middleware, ...],
        policies: Policies,
    ) -> None:
        self.here = here
        self.new_id = call_ids().__next__
        """Gives a new call id, for calls whose id must be known before they are sent."""
        self.middleware = middleware
        self.tracing: ClientTracing | None = None
        """Traces its calls, if they are traced."""
        self.counters = ClientMethods()
        """Counts its calls, method by method."""
        self._policies = policies
        self.pipes: dict[tuple[Any, ...], Any] = {}
        """The pipes made from its methods, for `verbs/pipe.py`."""
        self._openers: dict[tuple[Any, ...], tuple[MethodSpec, StreamOpener]] = {}
        self._made: dict[tuple[Any, ...], tuple[MethodSpec, Invocation]] = {}

    def of(
        self,
        spec: MethodSpec,
        options: CallOptions,
        make_codec: MakeCodec = typed_codec,
        *,
        one_way: bool = False,
        started: bool = False,
    ) -> Invocation:
        """The invocation of a method with these options.

        :param one_way: whether its requests are one-way, whatever the method declares.
        :param started: whether these start calls, whose outcome is kept for `expires_in` seconds.
        :raises InvalidArgument: if the method cannot be called with them.
        """
        one_way = one_way or spec.one_way
        # The id stays taken, as the spec is kept beside.
        shape = (id(spec), one_way, started, *options.shape)
        made = self._made.get(shape)
        if made is None:
            if len(self._made) >= _KEPT:
                self._made.clear()
            made = self._made[shape] = (
                spec,
                self._make(spec, options, make_codec, one_way=one_way, started=started),
            )
        return made[1]

    def opener_of(
        self, spec: MethodSpec, options: CallOptions, make_codec: MakeCodec = typed_codec
    ) -> StreamOpener:
        """The opener of the streams of a method with these options.

        :raises InvalidArgument: if the method cannot be called with them.
        """
        shape = (id(spec), *options.shape)
        made = self._openers.get(shape)
        if made is None:
            if len(self._openers) >= _KEPT:
                self._openers.clear()
            made = self._openers[shape] = (spec, self._make_opener(spec, options, make_codec))
        return made[1]

    def policy(self, method: PolicedMethod, options: CallOptions) -> CallPolicy | None:
        """The policy that makes the attempts of a call; None if there is only one.

        :raises InvalidArgument: if the options do not fit such a method.
        """
        return self._policies.of(method, options)

    def _make(
        self,
        spec: MethodSpec,
        options: CallOptions,
        make_codec: MakeCodec,
        *,
        one_way: bool,
        started: bool,
    ) -> Invocation:
        _check_priority(spec, options)
        codec = _codec(spec, options, make_codec)
        dialect: NativeClient = NATIVE
        if one_way:
            codec = _one_way_codec(codec)
            keep = options.expires_in
            dialect = StartedClient(keep) if started and keep else OneWayClient(keep)
            # Nobody waits for its handler, so there is nothing to be faster than.
            options = structs.replace(options, hedge=False, if_busy="wait")
        policy = self.policy(spec, options)
        has_key = options.idempotency_key is not None
        new_key = policy is not None and spec.once and not spec.idempotent and not has_key
        is_typed = make_codec is typed_codec

        def make_request(sender: Sender) -> Request:
            route = sender.route(spec.key, NATIVE)
            if is_typed:
                route.described(limited=spec.queue.max_length is not None)
            return Request(
                sender.channel,
                dialect,
                route,
                key=spec.key,
                content_type=codec.content_type,
                priority=options.priority,
                idempotent=spec.idempotent,
                keyed=spec.once or has_key,
                names_key=has_key or new_key,
                wait_for_server=options.wait_for_server,
                wait_for_connection=options.wait_for_connection,
                if_busy_fail=options.if_busy == "fail",
                one_way=one_way,
            )

        return Invocation(
            self.here,
            self.new_id,
            make_request,
            method=spec.key,
            parameters=_parameters(spec, codec.content_type, make_codec),
            codec=codec,
            results=Results(
                spec.key,
                codec,
                make_codec=lambda content_type: make_codec(spec, content_type),
                default_content_type=codec.content_type if one_way else spec.content_type,
                raises=spec.raises,
            ),
            counters=self.counters.of(spec.key),
            policy=policy,
            new_key=new_key,
        )

    def _make_opener(
        self, spec: MethodSpec, options: CallOptions, make_codec: MakeCodec
    ) -> StreamOpener:
        _check_priority(spec, options)
        codec = _codec(spec, options, make_codec)

        def make_request(sender: StreamSender) -> Request:
            route = sender.route(spec.key, NATIVE)
            if make_codec is typed_codec:
                route.described(limited=spec.queue.max_length is not None)
            return Request(
                sender.channel,
                NATIVE,
                route,
                key=spec.key,
                content_type=codec.content_type,
                priority=options.priority,
                idempotent=spec.idempotent,
                wait_for_server=options.wait_for_server,
                wait_for_connection=options.wait_for_connection,
                if_busy_fail=options.if_busy == "fail",
                streams=True,
            )

        return StreamOpener(
            self.here,
            self.new_id,
            make_request,
            method=spec.key,
            parameters=_parameters(spec, codec.content_type, make_codec),
            codec=codec,
            make_codec=lambda content_type: make_codec(spec, content_type),
            default_content_type=spec.content_type,
            raises=spec.raises,
            counters=self.counters.of(spec.key),
            tracing=lambda: self.tracing,
            streams=spec.streams,
            resumes=spec.resume,
            uploads=_upload_codec(spec, codec.content_type),
        )


def _codec(spec: MethodSpec, options: CallOptions, make_codec: MakeCodec) -> MethodCodec:
    """The codec of calls with these options.

    :raises InvalidArgument: if there is none for them.
    """
    try:
        return make_codec(spec, options.content_type or spec.content_type)
    except ContractError as error:
        raise InvalidArgument(str(error), method=spec.key) from error


def _upload_codec(spec: MethodSpec, content_type: str) -> ItemCodec | None:
    """The codec of a method's upload; None if it takes no upload.

    :raises InvalidArgument: if its items cannot have this content type.
    """
    if spec.upload is None:
        return None
    try:
        return item_codec(content_type, spec.upload.item)
    except ContractError as error:
        raise InvalidArgument(str(error), method=spec.key) from error


def _parameters(spec: MethodSpec, content_type: str, make_codec: MakeCodec) -> Callable[..., Any]:
    """Turns arguments into what the codec encodes."""
    if make_codec in (typed_codec, discovered_codec):
        return _given(spec, content_type)
    return spec.parameters


def _check_priority(spec: MethodSpec, options: CallOptions) -> None:
    """Refuse a priority above the queue's `x-max-priority`, which RabbitMQ would cap silently.

    :raises InvalidArgument: for such a priority.
    """
    if options.priority is not None and options.priority > spec.queue.max_priority:
        raise InvalidArgument(
            f"priority {options.priority} is more than the {spec.queue.max_priority} of the"
            " method; declare it with @method(priority_levels=...)",
            method=spec.key,
        )
