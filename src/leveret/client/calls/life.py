"""Where a call is, and what each event makes of it. Pure: no sockets, no event loop, no clock.

A `Pending` is one call between its request and its end. It has one state. Whatever happens is an
event, `TRANSITIONS` says what the event makes of the state and what the client is to do about it,
and `CallTable.fire` (`table.py`) is the only place that changes it.

    NEW ── send ──► QUIET ◄──► AT_SERVER, RUNNING     what servers say of it ("notices")
                     │  ▲
                     │  └───── SOUGHT                 its queue is empty and nobody has it
                     │
                     ├──► UNROUTED, REFUSED           the broker did not keep it; a probe says why
                     ├──► DELAYED                     it goes out again in a moment
                     ├──► UNSENT                      it waits for a channel to go out on again
                     ├──► EXPIRED                     nobody took it in time; a probe says why
                     ├──► STREAMING                   a server has sent a message of its stream
                     └──► ENDED                       by a reply, an error, or its caller

**Guards.** The table has no conditions. What an event depends on (may the call be repeated, has the
broker confirmed it, what did the probe find) is decided by the file that fires it, and shows in the
event's name. So `CHANNEL_GONE` is for calls that may be sent again, and `CHANNEL_LOST` for the
others. One guard is kept here as well, since a promise hangs on it: `REPEATABLE_ONLY` names the
events that make the client send a request again which a server may have. `CallTable.fire` refuses
them for a call whose handler must not run twice.

**Pairs that are not in the table** cannot happen, as far as we know. If one happens it is logged as
a bug, with the call's id, and changes nothing: the call still ends by its deadline. An ended call
takes no event at all. Whatever was under way for it comes too late, which is not a bug.

**Two pairs are hot**: a call that is sent, and a call that is replied to. They are rows of the
table like the others, but nobody looks them up. `CallTable.open` and `CallTable.replied` are the
same in straight code.

**One-way calls** end with the broker's confirm (TAKEN), and hear of no server. Whatever else can
happen before the confirm happens to them as to any other call.

**Streams.** The call of a stream is one like any other until a server sends the first message of
its stream. Then it is STREAMING: that server has it, whatever the broker says of copies of its
request, so it is not looked after, not sent again, and outlives its channel. Server and client see
by themselves that the other is there (`streams.py`). It ends by a reply, by its caller, when its
time is over, or as `StreamBroken`.

**Doubt** is a second machine, of two states: certain, doubtful, and never back. A call is in doubt
once its request was sent again though a server may have had it, or once the broker says that a
server had it and lost it. Then the client may hear of one copy what is not true of the other, so no
error of that call says that the handler was not executed.

**Trouble** is what the client has to remember of a call that does not simply get its reply. Nearly
all calls end without one, so it is made only when it is needed.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from msgspec import Struct

from leveret.body_parts import Body
from leveret.client.calls.listener import Listener
from leveret.client.calls.request import Request
from leveret.client.calls.route import Route
from leveret.client.calls.sinks import Sink
from leveret.errors import LeveretError
from leveret.wire.timing import QUERY_ANSWERED_WITHIN


class State(Enum):
    """Where a call is, as far as its client knows."""

    NEW = "new"
    """The call has no request yet."""
    QUIET = "quiet"
    """Its request was sent and nobody has said anything. A confirm changes only the ledger."""
    AT_SERVER = "at a server"
    """A server has it, and its handler waits: for a place, a thread, a key or the caller's word."""
    RUNNING = "running"
    """Its handler has begun."""
    UNROUTED = "unrouted"
    """The broker returned its request, as it had no queue for it. The queue is being probed."""
    REFUSED = "refused"
    """The broker refused its request (basic.nack). The queue is being probed."""
    EXPIRED = "expired"
    """Its request came back, as no server took it in time. The queue is being probed."""
    DELAYED = "delayed"
    """The broker has no copy of its request. The client sends it again on this channel, in a
    moment."""
    UNSENT = "unsent"
    """Its request is sent again as soon as requests may be sent, usually on the next channel."""
    SOUGHT = "sought"
    """Its request seems to be lost. The client has asked the servers for it, or its queue is
    gone."""
    STREAMING = "streaming"
    """A server has sent a message of its stream: it has the call, and client and server talk."""
    ENDED = "ended"
    """It is over; its caller has been told."""


class Event(Enum):
    """What can happen to a call."""

    # From the caller.
    SEND = "send"
    CALLER_GONE = "the caller was cancelled"
    SENDER_GONE = "the caller was cancelled, who does not want a reply"
    # From a server.
    REPLY = "a reply"
    WAITS = "a server has it, and its handler waits"
    RUNS = "its handler runs"
    CONFIRM = "a server asks whether the caller still waits"
    PASSED = "it is at a later stage of its pipe"
    UNHEARD = "a server did not hear whether its caller waits, and did not run it"
    BEGINS = "a server sent the first message of its stream"
    SERVER_GONE = "the server of its stream is gone"
    # From the broker: the request came back, or was not taken.
    NO_ROUTE = "the broker has no queue for it"
    EXPIRY = "no server took it in time"
    FULL = "there was no place for it in its queue"
    FULL_AGAIN = "a server passed it on, and there was no place for it in the queue"
    REJECTED = "the broker gave it up"
    TAKEN = "the broker has confirmed it, and its caller waits for nothing else"
    NACK = "the broker did not take it"
    NACK_BEFORE_CHANNEL = "the broker did not take it, and another channel is on its way"
    # What a probe says of a call that came back.
    QUEUE_RETURNS = "the queue is there, or may be in a moment"
    NO_QUEUE = "the queue is not there"
    EXPLAINED = "the broker said who listens"
    QUEUE_FULL = "the queue is full, or has refused it too often"
    QUEUE_AWAY = "the queue is out of reach"
    NEEDS_CHANNEL = "the channel is of no use for its queue"
    FULL_HERE = "the queue holds requests and did not take it; another channel tells if it is full"
    NOT_TAKEN = "the channel is of no use, and it may not be sent again"
    # What a probe says of a call that waits for long.
    QUEUE_EMPTY = "its queue is empty, and no server has said that it has it"
    QUEUE_GONE = "its queue is not there any more"
    STILL_MISSING = "nobody answered for it in time"
    NO_SERVER = "its queue holds it, and nobody listens"
    QUEUE_DELETED = "its queue was deleted, and is not declared again"
    BACKLOG = "requests wait, it must not, and no server has said that it has it"
    # The channel, the connection and the reply queue.
    RESEND = "its pause is over; no server can have an earlier copy"
    RESEND_DOUBTFUL = "its pause is over; a server may have an earlier copy"
    CHANNEL_GONE = "the channel ended before the confirm; it may be sent again"
    CHANNEL_LOST = "the channel ended before the confirm; it may not be sent again"
    DROPPED = "the channel ended before the broker took it"
    DROPPED_LOST = "the channel ended before the broker took it; the client has not kept its body"
    FORBIDDEN = "its user may not send it"
    TOO_LARGE = "it is larger than the broker takes"
    CONNECTED_AGAIN = "the connection is another one; it may be sent again"
    RESUMES = "the connection is another one, and its stream goes on"
    REPLY_QUEUE_GONE = "its reply cannot come; it may be sent again"
    REPLY_QUEUE_LOST = "its reply cannot come; it may not be sent again"
    SENDABLE = "requests may go; no server can have an earlier copy"
    SENDABLE_DOUBTFUL = "requests may go; a server may have an earlier copy"
    KEY_LOST = "its idempotency key is another user's"
    UNPACKABLE = "it does not fit into the frames of this broker"
    # The end.
    DEADLINE = "its deadline and the grace after it have passed"
    DEADLINE_UNCONFIRMED = "its deadline has passed, and its request was not even confirmed"
    CLOSED = "no reply will come any more"
    CLOSED_UNCONFIRMED = "no reply will come any more, and its request was not confirmed"


class Act(Enum):
    """What the client is to do about an event."""

    NOTHING = "nothing"
    DELIVER = "give the reply to its sink"
    DELIVER_CONFIRM = "tell its sink that the broker has the request"
    PUBLISH = "publish its request"
    PUBLISH_DOUBTFUL = "publish its request again, which a server may have"
    PUBLISH_LATER = "fire RESEND in a moment"
    PUBLISH_LATER_DOUBTFUL = "fire RESEND_DOUBTFUL in a moment"
    PROBE = "probe its queue to explain why its request came back"
    QUERY = "ask the servers for it, together with others of the same queue"
    SAY_WAITS = "tell the server that the caller still waits"
    CANCEL = "tell its server that the caller is gone"
    ASK_AGAIN = "ask its server for the items that may be lost"
    # The errors that end a call; `verdicts.py` makes them.
    FAIL_SILENCE = "no answer by the deadline"
    FAIL_SILENCE_UNCONFIRMED = "no answer by the deadline, not even a confirm"
    FAIL_EXPIRED = "no server took the request in time"
    FAIL_FULL = "the queue is full"
    FAIL_REJECTED = "the broker gave the request up"
    FAIL_REFUSED = "the broker refused the request"
    FAIL_NOT_TAKEN = "the broker did not take the request"
    FAIL_UNROUTED = "there is no such queue"
    FAIL_NO_SERVER = "nobody listens"
    FAIL_QUEUE_DELETED = "the queue was deleted"
    FAIL_BACKLOG = "it must not wait in the queue, and it seems that it does"
    FAIL_LOST = "the connection broke, and the broker had the request"
    FAIL_LOST_UNCONFIRMED = "the connection broke, and the broker may not have had the request"
    FAIL_DROPPED = "the broker did not take the request, as it closed the channel before"
    FAIL_FORBIDDEN = "the user may not send the request"
    FAIL_TOO_LARGE = "the broker takes no message of that size"
    FAIL_KEY = "the idempotency key is another user's"
    FAIL_UNPACKABLE = "the request cannot be packed"
    FAIL_BROKEN = "its stream broke off"
    FAIL_TOO_LONG = "its stream was not over in time"


class Trouble(Struct, kw_only=True):
    """What the client remembers of a call that did not simply get its reply."""

    doubtful: bool = False
    """Whether a server may have a copy of the request other than the last one."""
    resends: int = 0
    """How many more times the request was sent while a server may have had an earlier copy."""
    noticed_at: float = 0.0
    """When a server last said that it has the call; 0 if none has since the request was sent."""
    begun: bool = False
    """Whether a server said that the handler runs, since the request was sent."""
    had_by_server: bool = False
    """Whether a server ever said that it has the call, whichever copy of the request it had."""
    back_at: float = 0.0
    """When the broker last gave the request back, or is known not to have taken it; 0 while it may
    be in a queue or at a server."""
    unrouted_since: float = 0.0
    """When a probe first found no queue for the request; 0 if none did."""
    stray_since: float = 0.0
    """When a probe first found the queue of a request that the broker returned; 0 if none did."""
    missing_since: float = 0.0
    """Since when the request seems to be lost; 0 if it is not sought."""
    queried_at: float = 0.0
    """When the servers were asked for it on a new connection; 0 if they were not, or if one has
    answered."""
    resent_at: float = 0.0
    """When the request was last sent again while a server may have had a copy; 0 if never."""
    left_queue: bool = False
    """Whether its queue was found empty since the request was sent."""
    cut_off: bool = False
    """Whether the client lost its connection since the request was sent."""
    key: str | None = ""
    """The idempotency key that the request had, if a server would take another one for it now; ""
    if it would not; None if it was another user's, so that the request cannot be sent again."""


class Pending(Struct, eq=False):
    """One call between its request and its end."""

    request: Request
    """What all calls of its remote method have in common."""
    id: str
    """The call id, which its reply carries as correlation id."""
    started: float
    """When it was sent first, on the event loop's clock."""
    timeout: float
    """Seconds from then to its deadline."""
    sink: Sink
    """What takes its reply or its error."""
    body: Body | None
    """Its arguments, where the request may have to be sent again; None where they are too large to
    be kept for that."""
    headers: bytes
    """Its own headers, packed by the dialect; b"" if it has none."""
    size: int = 0
    """Bytes of its arguments, kept or not."""
    state: State = State.QUIET
    """Where it is; written by `CallTable` alone."""
    number: int = 0
    """The number of its latest publish on its channel."""
    tick: int = 0
    """The bucket of its deadline in the table's wheel."""
    watched: bool = False
    """Whether the monitor watches it."""
    trouble: Trouble | None = None
    """What the client remembers of it, if anything went wrong."""
    listener: Listener | None = None
    """Gives progress reports to its caller, if the caller wants them."""
    passed_at: float = 0.0
    """When it reached its stage of a pipe, if that is not the first one."""

    @property
    def route(self) -> Route:
        """What is known of its queue."""
        return self.request.route

    @property
    def method(self) -> str:
        """What it calls, as errors and logs name it."""
        return self.request.route.key

    @property
    def since(self) -> float:
        """When its request was sent first; in a pipe, the request of its current stage."""
        return self.passed_at or self.started

    @property
    def doubtful(self) -> bool:
        """Whether what the client hears of it may hold for one copy of its request only."""
        return self.trouble is not None and self.trouble.doubtful

    @property
    def resends(self) -> int:
        """How many more times its request was sent while a server may have had an earlier copy."""
        return 0 if self.trouble is None else self.trouble.resends

    @property
    def noticed_at(self) -> float:
        """When a server last said that it has the call; 0 if none has."""
        return 0.0 if self.trouble is None else self.trouble.noticed_at

    def ensure_trouble(self) -> Trouble:
        """What the client remembers of it; an empty record if there is nothing yet."""
        if self.trouble is None:
            self.trouble = Trouble()
        return self.trouble

    def doubt(self) -> None:
        """A server had it, and may have begun it: the call is in doubt from now on."""
        self.ensure_trouble().doubtful = True


MOST_RESENDS: Final = 10
"""How often a request is sent again if each time the broker refuses it or closes its channel."""

LIVE: Final = tuple(s for s in State if s not in (State.NEW, State.ENDED))
"""The states of a call that has not ended."""

WAITING: Final = tuple(s for s in LIVE if s is not State.STREAMING)
"""The states of a call whose server, if it has one, has sent no message of its stream."""

OUT: Final = (State.QUIET, State.AT_SERVER, State.RUNNING, State.SOUGHT)
"""Its request is out: in its queue or at a server, unless it got lost on the way."""

REPEATABLE_ONLY: Final = frozenset(
    {
        Event.FULL_AGAIN,
        Event.NACK_BEFORE_CHANNEL,
        Event.QUEUE_AWAY,
        Event.NEEDS_CHANNEL,
        Event.FULL_HERE,
        Event.QUEUE_EMPTY,
        Event.QUEUE_GONE,
        Event.STILL_MISSING,
        Event.RESEND_DOUBTFUL,
        Event.UNHEARD,
        Event.CHANNEL_GONE,
        Event.CONNECTED_AGAIN,
        Event.REPLY_QUEUE_GONE,
        Event.SENDABLE_DOUBTFUL,
    }
)
"""Only for calls whose handler may run twice, or that have a key: these lead to a second copy."""

_S, _E, _A = State, Event, Act

_OF_COPIES: Final = (
    Event.EXPIRY,
    Event.FULL,
    Event.FULL_AGAIN,
    Event.REJECTED,
    Event.NACK,
    Event.NACK_BEFORE_CHANNEL,
)
"""The events by which the broker tells of one copy of a request."""

TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, Act]]] = {
    # -- the two hot ones, never looked up ------------------------------------------------------
    (_S.NEW, _E.SEND): (_S.QUIET, _A.PUBLISH),
    **{(s, _E.REPLY): (_S.ENDED, _A.DELIVER) for s in LIVE},
    # -- the confirm of a one-way call ----------------------------------------------------------
    # A request that was returned is confirmed as well; so is one that went out again since.
    **{(s, _E.TAKEN): (s, _A.NOTHING) for s in LIVE},
    (_S.QUIET, _E.TAKEN): (_S.ENDED, _A.DELIVER_CONFIRM),
    # -- notices --------------------------------------------------------------------------------
    # A handler that has begun has begun, even if another server has the request now. A request that
    # came back, or goes out again, does so whatever a server says of another copy of it.
    **{(s, _E.WAITS): (s, _A.NOTHING) for s in LIVE},
    (_S.QUIET, _E.WAITS): (_S.AT_SERVER, _A.NOTHING),
    (_S.SOUGHT, _E.WAITS): (_S.AT_SERVER, _A.NOTHING),
    **{(s, _E.RUNS): (s, _A.NOTHING) for s in LIVE},
    **{(s, _E.RUNS): (_S.RUNNING, _A.NOTHING) for s in OUT},
    **{(s, _E.CONFIRM): (s, _A.SAY_WAITS) for s in LIVE},
    (_S.QUIET, _E.CONFIRM): (_S.AT_SERVER, _A.SAY_WAITS),
    (_S.SOUGHT, _E.CONFIRM): (_S.AT_SERVER, _A.SAY_WAITS),
    # The request of the next stage of a pipe is on its way, unless this one goes out again.
    **{(s, _E.PASSED): (s, _A.NOTHING) for s in LIVE},
    **{(s, _E.PASSED): (_S.QUIET, _A.NOTHING) for s in OUT},
    # Another server may have another copy, or had this one: it counts as sent again.
    **{(s, _E.UNHEARD): (_S.DELAYED, _A.PUBLISH_LATER_DOUBTFUL) for s in WAITING},
    **{(s, _E.UNHEARD): (s, _A.NOTHING) for s in (_S.EXPIRED, _S.DELAYED, _S.UNSENT)},
    # A server that sends has the call, even if its request came back, or is about to go out again.
    **{(s, _E.BEGINS): (_S.STREAMING, _A.NOTHING) for s in LIVE},
    (_S.STREAMING, _E.SERVER_GONE): (_S.ENDED, _A.FAIL_BROKEN),
    # -- no queue for the request ---------------------------------------------------------------
    **{(s, _E.NO_ROUTE): (_S.UNROUTED, _A.PROBE) for s in (*OUT, _S.UNROUTED, _S.REFUSED)},
    # Another copy came back before; that one decides.
    **{(s, _E.NO_ROUTE): (s, _A.NOTHING) for s in (_S.EXPIRED, _S.DELAYED, _S.UNSENT)},
    # Nor does it matter what becomes of another copy of a request whose stream has begun.
    **{
        (_S.STREAMING, e): (_S.STREAMING, _A.NOTHING)
        for e in (_E.NO_ROUTE, _E.UNHEARD, *_OF_COPIES, _E.CHANNEL_GONE, _E.CHANNEL_LOST)
    },
    **{(s, _E.QUEUE_RETURNS): (s, _A.NOTHING) for s in LIVE},  # it went on meanwhile
    (_S.UNROUTED, _E.QUEUE_RETURNS): (_S.DELAYED, _A.PUBLISH_LATER),
    **{(s, _E.NO_QUEUE): (s, _A.NOTHING) for s in LIVE},
    (_S.UNROUTED, _E.NO_QUEUE): (_S.ENDED, _A.FAIL_UNROUTED),
    # -- the request expired in its queue -------------------------------------------------------
    **{(s, _E.EXPIRY): (_S.EXPIRED, _A.PROBE) for s in WAITING},
    (_S.EXPIRED, _E.EXPIRY): (_S.EXPIRED, _A.NOTHING),  # another copy
    (_S.EXPIRED, _E.EXPLAINED): (_S.ENDED, _A.FAIL_EXPIRED),
    # -- the request came back for another reason -----------------------------------------------
    **{(s, _E.FULL): (_S.ENDED, _A.FAIL_FULL) for s in WAITING},
    **{(s, _E.FULL_AGAIN): (_S.DELAYED, _A.PUBLISH_LATER_DOUBTFUL) for s in WAITING},
    **{(s, _E.FULL_AGAIN): (s, _A.NOTHING) for s in (_S.EXPIRED, _S.DELAYED, _S.UNSENT)},
    **{(s, _E.REJECTED): (_S.ENDED, _A.FAIL_REJECTED) for s in WAITING},
    # -- the broker refused the request ---------------------------------------------------------
    **{(s, _E.NACK): (_S.REFUSED, _A.PROBE) for s in WAITING},
    **{(s, _E.NACK): (s, _A.NOTHING) for s in (_S.EXPIRED, _S.DELAYED, _S.UNSENT)},
    **{(s, _E.NACK_BEFORE_CHANNEL): (_S.UNSENT, _A.NOTHING) for s in WAITING},
    **{(s, _E.NACK_BEFORE_CHANNEL): (s, _A.NOTHING) for s in (_S.EXPIRED, _S.DELAYED)},
    **{
        (s, e): (s, _A.NOTHING)  # it went on meanwhile
        for s in LIVE
        for e in (_E.QUEUE_FULL, _E.QUEUE_AWAY, _E.NEEDS_CHANNEL, _E.FULL_HERE, _E.NOT_TAKEN)
    },
    (_S.REFUSED, _E.QUEUE_FULL): (_S.ENDED, _A.FAIL_REFUSED),
    (_S.REFUSED, _E.QUEUE_AWAY): (_S.DELAYED, _A.PUBLISH_LATER_DOUBTFUL),
    (_S.REFUSED, _E.NEEDS_CHANNEL): (_S.UNSENT, _A.NOTHING),
    (_S.REFUSED, _E.FULL_HERE): (_S.UNSENT, _A.NOTHING),
    (_S.REFUSED, _E.NOT_TAKEN): (_S.ENDED, _A.FAIL_NOT_TAKEN),
    # -- the pause is over ----------------------------------------------------------------------
    **{(s, e): (s, _A.NOTHING) for s in LIVE for e in (_E.RESEND, _E.RESEND_DOUBTFUL)},
    (_S.DELAYED, _E.RESEND): (_S.QUIET, _A.PUBLISH),
    (_S.DELAYED, _E.RESEND_DOUBTFUL): (_S.QUIET, _A.PUBLISH_DOUBTFUL),
    # -- a call that waits for long -------------------------------------------------------------
    **{(s, _E.QUEUE_EMPTY): (_S.SOUGHT, _A.QUERY) for s in (_S.QUIET, _S.AT_SERVER, _S.RUNNING)},
    (_S.QUIET, _E.QUEUE_GONE): (_S.SOUGHT, _A.NOTHING),
    (_S.SOUGHT, _E.STILL_MISSING): (_S.QUIET, _A.PUBLISH_DOUBTFUL),
    **{(s, _E.NO_SERVER): (_S.ENDED, _A.FAIL_NO_SERVER) for s in (_S.QUIET, _S.SOUGHT)},
    **{(s, _E.QUEUE_DELETED): (_S.ENDED, _A.FAIL_QUEUE_DELETED) for s in (_S.QUIET, _S.SOUGHT)},
    **{(s, _E.BACKLOG): (_S.ENDED, _A.FAIL_BACKLOG) for s in (_S.QUIET, _S.SOUGHT)},
    # -- the channel, the connection and the reply queue ----------------------------------------
    # A server may have said that it has the request, though the confirm was lost. It is sent again
    # all the same: the server may be lost as well, and a second run does no harm.
    **{(s, _E.CHANNEL_GONE): (_S.UNSENT, _A.NOTHING) for s in WAITING},
    (_S.EXPIRED, _E.CHANNEL_GONE): (_S.EXPIRED, _A.NOTHING),
    **{(s, _E.CHANNEL_LOST): (_S.ENDED, _A.FAIL_LOST_UNCONFIRMED) for s in WAITING},
    # No server can have it, so it is sent again whatever its handler does. Of a request that came
    # back something else is known already.
    **{(s, e): (s, _A.NOTHING) for s in LIVE for e in (_E.DROPPED, _E.DROPPED_LOST, _E.FORBIDDEN)},
    **{(s, _E.TOO_LARGE): (s, _A.NOTHING) for s in LIVE},
    **{(s, _E.TOO_LARGE): (_S.ENDED, _A.FAIL_TOO_LARGE) for s in (_S.QUIET, _S.SOUGHT)},
    **{(s, _E.DROPPED): (_S.DELAYED, _A.PUBLISH_LATER) for s in (_S.QUIET, _S.SOUGHT)},
    **{(s, _E.DROPPED_LOST): (_S.ENDED, _A.FAIL_DROPPED) for s in (_S.QUIET, _S.SOUGHT)},
    **{(s, _E.FORBIDDEN): (_S.ENDED, _A.FAIL_FORBIDDEN) for s in (_S.QUIET, _S.SOUGHT)},
    **{(s, _E.CONNECTED_AGAIN): (s, _A.NOTHING) for s in LIVE},
    **{(s, _E.CONNECTED_AGAIN): (_S.QUIET, _A.NOTHING) for s in OUT},
    (_S.STREAMING, _E.RESUMES): (_S.STREAMING, _A.ASK_AGAIN),
    **{(s, _E.REPLY_QUEUE_GONE): (_S.UNSENT, _A.NOTHING) for s in LIVE},
    (_S.EXPIRED, _E.REPLY_QUEUE_GONE): (_S.EXPIRED, _A.NOTHING),
    **{(s, _E.REPLY_QUEUE_LOST): (_S.ENDED, _A.FAIL_LOST) for s in LIVE},
    # Its server sends to the queue of before; a second stream would begin anew.
    (_S.STREAMING, _E.REPLY_QUEUE_GONE): (_S.ENDED, _A.FAIL_BROKEN),
    (_S.STREAMING, _E.REPLY_QUEUE_LOST): (_S.ENDED, _A.FAIL_BROKEN),
    (_S.UNSENT, _E.SENDABLE): (_S.QUIET, _A.PUBLISH),
    (_S.UNSENT, _E.SENDABLE_DOUBTFUL): (_S.QUIET, _A.PUBLISH_DOUBTFUL),
    **{(s, _E.KEY_LOST): (_S.ENDED, _A.FAIL_KEY) for s in (_S.UNSENT, _S.DELAYED, _S.SOUGHT)},
    (_S.QUIET, _E.UNPACKABLE): (_S.ENDED, _A.FAIL_UNPACKABLE),
    # -- the end --------------------------------------------------------------------------------
    **{(s, _E.DEADLINE): (_S.ENDED, _A.FAIL_SILENCE) for s in LIVE},
    **{(s, _E.DEADLINE_UNCONFIRMED): (_S.ENDED, _A.FAIL_SILENCE_UNCONFIRMED) for s in LIVE},
    (_S.EXPIRED, _E.DEADLINE): (_S.ENDED, _A.FAIL_EXPIRED),
    (_S.EXPIRED, _E.DEADLINE_UNCONFIRMED): (_S.ENDED, _A.FAIL_EXPIRED),
    (_S.STREAMING, _E.DEADLINE): (_S.ENDED, _A.FAIL_TOO_LONG),
    (_S.STREAMING, _E.DEADLINE_UNCONFIRMED): (_S.ENDED, _A.FAIL_TOO_LONG),
    **{(s, _E.CALLER_GONE): (_S.ENDED, _A.CANCEL) for s in LIVE},
    **{(s, _E.SENDER_GONE): (_S.ENDED, _A.NOTHING) for s in LIVE},
    **{(s, _E.CLOSED): (_S.ENDED, _A.FAIL_LOST) for s in LIVE},
    **{(s, _E.CLOSED_UNCONFIRMED): (_S.ENDED, _A.FAIL_LOST_UNCONFIRMED) for s in LIVE},
    (_S.STREAMING, _E.CLOSED): (_S.ENDED, _A.FAIL_BROKEN),
    (_S.STREAMING, _E.CLOSED_UNCONFIRMED): (_S.ENDED, _A.FAIL_BROKEN),
}


class Fire(Protocol):
    """Tells a call that something happened to it: `CallTable.fire`."""

    def __call__(self, call: Pending, event: Event, cause: LeveretError | None = None, /) -> Act:
        """Return the act, once it is carried out.

        :param cause: why the call fails, for its error.
        """
        ...


def remember(call: Pending, event: Event, act: Act, now: float) -> None:
    """Note what an event leaves behind in addition to the state. `CallTable.fire` calls this."""
    match event:
        case Event.WAITS | Event.CONFIRM:
            trouble = call.ensure_trouble()
            trouble.noticed_at, trouble.missing_since, trouble.queried_at = now, 0.0, 0.0
            trouble.had_by_server = True
        case Event.RUNS:
            trouble = call.ensure_trouble()
            trouble.noticed_at, trouble.missing_since, trouble.queried_at = now, 0.0, 0.0
            trouble.had_by_server = trouble.begun = True
        case Event.PASSED:
            trouble = call.ensure_trouble()
            trouble.noticed_at = trouble.missing_since = trouble.queried_at = 0.0
            trouble.begun = trouble.had_by_server = trouble.left_queue = False
            call.passed_at = now
        case Event.NO_ROUTE | Event.EXPIRY | Event.FULL | Event.FULL_HERE:
            call.ensure_trouble().back_at = now
        case Event.QUEUE_EMPTY:
            trouble = call.ensure_trouble()
            lately = now - trouble.queried_at <= QUERY_ANSWERED_WITHIN
            trouble.missing_since = trouble.queried_at if lately else now
        case Event.QUEUE_GONE:
            call.ensure_trouble().missing_since = now
        case Event.CONNECTED_AGAIN if call.state in OUT:
            # The server that said so may be lost as well. Servers are asked for it once more.
            trouble = call.ensure_trouble()
            trouble.noticed_at, trouble.missing_since, trouble.queried_at = 0.0, 0.0, now
            trouble.begun, trouble.cut_off = False, True
    if act is Act.PUBLISH or act is Act.PUBLISH_DOUBTFUL:
        trouble = call.ensure_trouble()
        trouble.noticed_at = trouble.back_at = 0.0
        trouble.missing_since = trouble.queried_at = 0.0
        trouble.begun = trouble.left_queue = trouble.cut_off = False
        call.request, call.passed_at = call.request.first, 0.0
        if act is Act.PUBLISH_DOUBTFUL:
            trouble.doubtful = True
            trouble.resends += 1
            trouble.resent_at = now
