"""What the calls of one remote method with one set of options have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

from msgspec import Struct

from leveret.amqp.events import Delivery
from leveret.client.calls.route import Route
from leveret.client.calls.stages import StageReader
from leveret.errors import InvalidArgument
from leveret.wire.dialect import ClientChannel, ClientDialect, RequestPacker
from leveret.wire.stream_messages import Received


class InPipe(Struct, frozen=True, kw_only=True):
    """What makes a request the first one of a pipe."""

    headers: bytes
    """Its headers that name the stages after it, packed."""
    routes: Sequence[Route]
    """What is known of the queues of the stages after it."""


class Request:
    """Packs the requests of one method, for the current channel.

    A packer writes the channel's number, the reply address and the user into every request. All
    three can change with a connection. The packer was made for `channel`, so one
    comparison per call tells whether it is out of date, and no list of packers has to be kept.
    """

    __slots__ = (
        "channel",
        "content_type",
        "dialect",
        "headers",
        "if_busy_fail",
        "in_pipe",
        "is_resent",
        "key",
        "looks_first",
        "names_key",
        "needs_key",
        "one_way",
        "packer",
        "priority",
        "read",
        "repeatable",
        "route",
        "stage",
        "stages",
        "wait_for_connection",
        "wait_for_server",
    )

    channel: ClientChannel
    packer: RequestPacker

    def __init__(
        self,
        channel: ClientChannel,
        dialect: ClientDialect,
        route: Route,
        *,
        key: str,
        content_type: str,
        priority: int | None = None,
        idempotent: bool = False,
        keyed: bool = False,
        names_key: bool = False,
        resent: bool = False,
        wait_for_server: bool = False,
        wait_for_connection: bool = True,
        if_busy_fail: bool = False,
        one_way: bool = False,
        in_pipe: InPipe | None = None,
        streams: bool = False,
    ) -> None:
        """:raises InvalidArgument: if the headers of all requests do not fit into a frame.

        :param key: the routing key.
        :param idempotent: whether a second run of the handler does no harm.
        :param keyed: whether servers run the handler once for each idempotency key.
        :param names_key: whether the headers of each call carry a key; else it is the call's id.
        :param resent: whether every request says that it was sent before.
        :param one_way: whether nobody answers: its calls end with the broker's confirm.
        :param in_pipe: what makes it the first request of a pipe, if it is.
        :param streams: whether it begins a stream, in either direction.
        """
        self.dialect = dialect
        self.read: Callable[[Delivery], Received] = dialect.read_stream if streams else dialect.read
        """Reads the messages of the reply queue for its calls."""
        self.route = route
        self.key = key
        self.content_type = content_type
        self.priority = priority
        self.repeatable = idempotent or keyed
        """Whether a second copy of a request does no harm."""
        self.needs_key = keyed and not idempotent
        """Whether only its key makes that so. Then each copy says that it is a copy."""
        self.names_key = names_key
        self.wait_for_server = wait_for_server
        self.wait_for_connection = wait_for_connection
        self.if_busy_fail = if_busy_fail
        self.one_way = one_way
        waits_first = bool(route.control_key or wait_for_server or one_way)
        self.looks_first = if_busy_fail or not waits_first
        """Whether the client looks at the queue before it sends a request: the call must not wait,
        or its request could stay for a later server, which would not ask whether anybody waits."""
        # Servers of 0.2.0 ask whether the caller waits, and without an answer run only such calls.
        waits = idempotent and wait_for_server and bool(route.control_key)
        self.is_resent = resent
        self.headers = dialect.headers(resent=resent, waits=waits)
        """Headers of every request, packed, in addition to those of the call."""
        self.in_pipe = in_pipe
        self.stage = 0
        """The stage of a pipe that this is for, counted from 1; 0 outside of pipes."""
        self.stages: tuple[Request, ...] = ()
        """The request of each stage of the pipe. The client sends only the first one."""
        if in_pipe is not None:
            self._begin_pipe(in_pipe)
        self.renew(channel)

    def again(self) -> Request:
        """The same for a second attempt of a call, whose first attempt may have been executed."""
        return Request(
            self.channel,
            self.dialect,
            self.route,
            key=self.key,
            content_type=self.content_type,
            priority=self.priority,
            keyed=True,
            names_key=self.names_key,
            resent=True,
            wait_for_server=self.wait_for_server,
            wait_for_connection=self.wait_for_connection,
            if_busy_fail=self.if_busy_fail,
            one_way=self.one_way,
            in_pipe=self.in_pipe,
        )

    def _begin_pipe(self, in_pipe: InPipe) -> None:
        self.read = StageReader(self.dialect).read
        self.headers += in_pipe.headers
        at = [self, *(copy(self) for _ in in_pipe.routes)]
        self.stages = tuple(at)
        for number, (request, route) in enumerate(
            zip(at, (self.route, *in_pipe.routes), strict=True), start=1
        ):
            request.stage, request.stages, request.route = number, self.stages, route

    @property
    def first(self) -> Request:
        """The request that is sent: in a pipe, that of the first stage."""
        return self.stages[0] if self.stages else self

    def renew(self, channel: ClientChannel) -> None:
        """Make the packer for another channel.

        :raises InvalidArgument: if the headers of all requests do not fit into its frames.
        """
        try:
            self.packer = self.dialect.packer(
                channel, key=self.key, content_type=self.content_type, priority=self.priority
            )
        except ValueError as error:
            raise InvalidArgument(f"the request cannot be sent: {error}") from error
        self.channel = channel

    def check_headers(self, headers: bytes) -> None:
        """:raises InvalidArgument: if the headers of a call do not fit into a frame."""
        if len(self.headers) + len(headers) > self.packer.headers_room:
            raise InvalidArgument(
                "the metadata cannot be sent: it must fit into one frame of"
                f" {self.channel.frame_max} bytes with the rest",
                method=self.route.key,
            )

    def headers_again(self, headers: bytes, *, doubtful: bool, key: str) -> bytes:
        """The headers of a call whose request is sent again.

        :param headers: those of the call.
        :param doubtful: whether a server may have an earlier copy.
        :param key: the idempotency key that the earlier copy had, "" if it is the same now.
        """
        added = self.headers
        if doubtful and self.needs_key and not self.is_resent:
            added += self.dialect.headers(resent=True)
        if key and not self.names_key:
            key += "/1" if self.in_pipe is not None else ""
            added += self.dialect.headers(idempotency_key=key)
        return added + headers
