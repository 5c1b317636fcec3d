"""What client and server see of a message, in whatever dialect it was written.

The dialects (`dialect.py`) make these records from deliveries. A server reads `Incoming`, and may
publish it again as a `Copy`. A client reads a delivery from its reply queue as `Reply`, `Notice` or
`Bounce`; for which of its calls, the correlation id says in every dialect.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final, TypeAlias

from msgspec import Struct

from leveret.amqp.events import Delivery
from leveret.body_parts import Body
from leveret.contract import Progress


class ReplyAddress(Struct, frozen=True, kw_only=True, gc=False):
    """Where the replies to a request go."""

    exchange: str
    """The exchange to publish to, "" for the default one."""
    key: str
    """The routing key; on the default exchange, the name of the reply queue."""


CallKey: TypeAlias = tuple[ReplyAddress | None, str]
"""What names a call at a server: its reply address and its call id. It names one call only where
neither is missing."""


MAX_STAGES: Final = 16
"""How many stages a pipe has at most."""


class Stage(Struct, frozen=True, kw_only=True, gc=False):
    """A stage of a pipe, as the requests of the stages before it name it."""

    method: str
    """The method, as "service.method"."""
    argument: str
    """The parameter of the method that takes the result of the stage before it."""
    content_type: str
    """The encoding of its arguments and of its result."""
    repeatable: bool = False
    """Whether a second request does no harm: the method is idempotent, or has a key."""


class StreamRequest(Struct, frozen=True, kw_only=True, gc=False):
    """What a request says of the streams that it begins."""

    items: int = 0
    """The highest number that an item of the results may have at first; 0: it takes none."""
    size: int = 0
    """Bytes of item bodies that may come at first."""
    packed: int = 0
    """Bytes of the largest body with several items that its caller takes; 0: it takes none."""
    uploads: bool = False
    """Whether its caller uploads."""
    total: float | None = None
    """When all has to be over, in seconds since 1970."""
    cursor: str = ""
    """Where to go on; "" at the start."""


class Incoming(Struct, frozen=True, kw_only=True, gc=False):
    """A request, as a server reads it."""

    delivery: Delivery
    """The message itself; only dialects look into it."""
    call_id: str
    """Unique among the caller's calls; "" if the request has none. Bytes that are not UTF-8 are
    surrogate escapes, so that a reply can echo them."""
    reply_to: ReplyAddress | None
    """Where the caller waits for replies; None if it does not."""
    content_type: str | None
    """The encoding of the body; None leaves it to the method."""
    body: bytes | None
    """The encoded arguments; None if they were larger than the server takes."""
    body_size: int
    """The size of the body in bytes."""
    deadline: float
    """When the caller stops waiting, in seconds since 1970. It is at most `timeout` from now, so a
    client's clock that runs ahead cannot hold a handler for longer."""
    timeout: float
    """The seconds that the caller gave its call; the method's own timeout where it does not say."""
    only_if_free: bool
    """Whether the caller wants an error at once where no server has a free place."""
    redelivered: bool
    """Whether the broker delivered the request before."""
    user: str = ""
    """The broker's user that published the message, verified by the broker; "" if it is unknown."""
    on_behalf_of: str | None = None
    """The user whose request it is, by the word of `user`, a server that handed it back."""
    caller: str = ""
    """The name that the caller gave itself; nobody checks it."""
    metadata: dict[str, object] | None = None
    """The metadata that the caller sent with its arguments; None if there is none. Only text
    counts."""
    idempotency_key: str | None = None
    """The caller's own name for what it wants done once."""
    resent: bool = False
    """Whether the caller sent the request before, and does not know what became of that."""
    is_copy: bool = False
    """Whether a server published it in place of the original, which it had not begun. If that
    server lost its connection, the original may be another one's by now."""
    old: bool = False
    """Whether it was in its queue before a server that gave it on, so that its caller may have been
    told that there is no server."""
    waits: bool = False
    """Whether the caller waits for a server until the deadline, and says so."""
    for_all: bool = False
    """Whether every server of the service got it: it was in no queue, so none can take it back."""
    wants_progress: bool = False
    """Whether the caller wants to be told how far its call is."""
    attempts: int = 0
    """How many servers had the request before, as servers of classic queues count them."""
    delivery_count: int | None = None
    """How often a quorum queue delivered the request before; None for other queues."""
    stage: int = 0
    """The stage of a pipe that this is the request of, from 1 on; 0 outside of pipes."""
    then: tuple[Stage, ...] = ()
    """The stages after it: who runs the request passes its result on to the first of them."""
    problem: str = ""
    """Why the body cannot be read; "" if nothing is known to be wrong with it."""
    started: float | None = None
    """Seconds for which its outcome is kept, if the call outlives its caller."""
    expires: float = inf
    """Of a request without `reply_to`: when no server is to begin it any more, in seconds since
    1970. The `deadline` of such a request is only its handler's, and begins when that does."""
    stream: StreamRequest | None = None
    """What it says of streams; None for a call with one result."""

    @property
    def is_awaited(self) -> bool:
        """Whether a caller waits for its reply: the call is neither one-way nor started."""
        return self.reply_to is not None and self.started is None


class UploadMessage(Struct, frozen=True, kw_only=True, gc=False):
    """An item of an upload, its end, or a sign of life of its sender."""

    key: CallKey
    """The call."""
    number: int
    """Which one it is; of the end, how many there were; of a sign, the highest that was sent."""
    is_end: bool
    """Whether it is the end."""
    is_sign: bool
    """Whether it is a sign of life."""
    user: str
    """The broker's user that published it, verified by the broker; "" if it is unknown."""
    content_type: str | None
    """The encoding of the body; None leaves it to the method."""
    body: bytes | None
    """The encoded item; None if it was larger than the server takes."""
    body_size: int
    """The size of the body in bytes."""
    problem: str = ""
    """Why the body cannot be read; "" if nothing is known to be wrong with it."""


class Next(Struct, frozen=True, kw_only=True, gc=False):
    """The request of the next stage of a pipe, as the server of the one before publishes it."""

    request: Incoming
    """The request of the stage before it."""
    body: Body
    """The encoded arguments."""
    seconds: float
    """What is left of the time of the pipe."""
    user: str
    """Whose pipe it is, "" if that is unknown."""
    own_user: str
    """The broker's user of the server that publishes it, "" if that is unknown."""
    resent: bool
    """Whether an earlier copy of it may have been published."""


class Copy(Struct, frozen=True, kw_only=True, gc=False):
    """A request that a server publishes again, for another server."""

    request: Incoming
    """The request, as this server got it."""
    seconds: float
    """What is left of its time to live."""
    user: str
    """Whose request it is, "" if that is unknown."""
    own_user: str
    """The broker's user of the server that publishes it, "" if that is unknown."""
    has_original: bool = False
    """Whether this server keeps the original until the broker has the copy."""
    attempts: int | None = None
    """How many servers have had it; None if that is not to be counted."""


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    """The message that ends a call."""

    is_error: bool
    """Whether it tells of an error; `ClientDialect.error` reads it."""
    content_type: str | None
    """The encoding of the body; None leaves it to the method."""
    body: bytes | None
    """The encoded result or error; None if it was larger than the client takes."""
    body_size: int
    """The size of the body in bytes."""
    metadata: dict[str, str] | None = None
    """The metadata that the handler sent with its result; None if there is none."""
    problem: str = ""
    """Why the reply cannot be read; "" if nothing is known to be wrong with it."""


class StageReply(Reply, frozen=True, kw_only=True, gc=False):
    """The message that ends a pipe."""

    stage: int
    """The stage that it is of, from 1 on; 0 if the server did not know that there are stages."""


class NoticeKind(Enum):
    """What a server tells the caller of a call that goes on."""

    WAITS = "waits"
    """The server has the request; the handler waits for its turn."""
    RUNS = "runs"
    """The handler runs."""
    PROGRESS = "progress"
    """The handler runs, and may say how far it is."""
    CONFIRM = "confirm"
    """The server asks whether the caller still waits. Only then it begins."""
    PASSED = "passed"
    """The server passes the result of a stage on: the request of the next one is on its way."""


class Notice(Struct, frozen=True, kw_only=True, gc=False):
    """A message about a call that goes on."""

    kind: NoticeKind
    """What the server tells or asks."""
    answer_to: str = ""
    """With CONFIRM: the routing key on the control exchange for the answer."""
    progress: Progress | None = None
    """With PROGRESS: how far the call is; None where the handler is just alive."""
    stage: int = 0
    """The stage of a pipe that it tells of, with PASSED the next one; 0 outside of pipes."""


class Bounce(Struct, frozen=True, kw_only=True, gc=False):
    """The client's own request, which the broker sent back (https://www.rabbitmq.com/docs/dlx)."""

    reason: str
    """The broker's word: "expired", "rejected", "maxlen", "delivery_limit"; "" if it gives none."""
    attempts: int = 0
    """How many servers had the request before."""
    is_copy: bool = False
    """Whether it is a copy, made by a server."""
    has_original: bool = False
    """Whether that server still has the original."""
    stage: int = 0
    """The stage of a pipe that it is the request of; 0 outside of pipes."""
