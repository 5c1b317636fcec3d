"""The life of one call at a server: where it is, what may happen to it there, and what follows.

A call is in one `State`:

    ARRIVED ──► ASKED        its caller is asked first, or told: its request is older than this
                             server, or must not wait
       │  ◄───────┘
       ├──────► WAITING      no place is free
       ▼            │
    STARTED ◄───────┘        it has a place and a task
       ├──────► CLAIMING     its idempotency key is claimed in a store
       │  ◄───────┘
       ├──────► BEGUN        in the middleware, or in the queue for a thread or a process
       ▼            │
    RUNNING ◄───────┘        its handler runs
       ├──────► RECORDING    the reply is written to the store under its key
       │            │
       ├──────► PASSING      the result is passed on to the next stage of a pipe
       ▼            │
     ENDED  ◄───────┘

`TRANSITIONS` has every step: from a state, by an event, to a state, with the act that follows. The
table has no conditions: whoever fires an event has decided them. For example, `Slots` knows whether
a place is free, so there are two events, PLACE and NO_PLACE. A pair that is not in the table is a
bug in Leveret; it is logged with the call's id, and changes nothing.

What a stop means depends on how far the call is. Before its handler has begun, the call can be
answered or handed back as if it had never been here. While its handler runs, the task is cancelled,
and ends the call itself. A task that is STARTED has not run its first line yet, and asyncio would
drop it if it were cancelled. So it is left alone, and looks for a stop when it begins. A handler in
a thread cannot be stopped (`Act.CANCEL` says so to whoever carries it out).

Four small machines accompany the state, as each changes by itself:

- the delivery: HELD until it is settled. It is DETACHED when its channel ends, because the broker
  takes back unacknowledged requests, and HELD again when it is redelivered here.
- the answer: OWED, then GIVEN. A call is answered once; at its deadline that is before its end.
- what the caller was told meanwhile: nothing, then that the call waits, then that it runs.
- the stop: none, or the deadline, the caller, the drain. The first one wins.

`ENDINGS` says what becomes of a delivery at the end of its call.

Pure: no clock, no input or output. Times are seconds of `time.monotonic`. The event loop uses the
same clock, but some loops read it once per pass, in milliseconds. Only `Incoming.deadline` is a
time of day, as it comes from another computer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct, field

from leveret.errors import CallError
from leveret.observe import OK, ServerCounters
from leveret.server.calls.call_stream import CallStream
from leveret.server.calls.way_back import WayBack
from leveret.wire.context import CurrentCall
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.message import CallKey, Incoming, NoticeKind

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("leveret.server")


class State(Enum):
    """The state of a call."""

    ARRIVED = "arrived"
    """Its request is here and fit to be run."""
    ASKED = "asked"
    """Its caller is asked whether it still waits, or told that it is here."""
    WAITING = "waiting"
    """It waits for a place."""
    STARTED = "started"
    """It has a place, and a task that has not run its first line."""
    CLAIMING = "claiming"
    """Its key is being claimed, or it waits for another server that runs a call with the same
    key."""
    BEGUN = "begun"
    """Its middleware runs, or it waits for a thread or a process."""
    RUNNING = "running"
    """Its handler runs."""
    RECORDING = "recording"
    """Its handler has ended, and its reply is being recorded under its key."""
    PASSING = "passing"
    """Its result is passed on to the next stage of a pipe: the request is on its way to the
    broker."""
    ENDED = "ended"
    """It is over; its reply may still wait for the socket."""


class Event(Enum):
    """What happens to a call."""

    REFUSED = "refused"
    """It is not to be run: forbidden, too late, cancelled, unreadable, or perhaps run before."""
    ASK = "ask"
    """It was in the queue before this server, or expires at once if this server dies."""
    CONFIRMED = "confirmed"
    """Its caller still waits, or the broker has the notice to it; or nobody else can run it."""
    UNCONFIRMED = "unconfirmed"
    """Its caller says nothing, or cannot be told."""
    PLACE = "place"
    """A place is free."""
    NO_PLACE = "no place"
    """No place is free."""
    BUSY = "busy"
    """No place is free, and its caller does not want to wait."""
    LATE = "late"
    """A place is free, but too little time is left."""
    CLAIM = "claim"
    """It has an idempotency key."""
    CLAIMED = "claimed"
    """This call has got the claim of its key."""
    BEGIN = "begin"
    """Its middleware begins, or it is put into the queue for a thread or a process."""
    ENTER = "enter"
    """Its handler begins."""
    RECORD = "record"
    """The handler has ended, or will not begin, and the claim of its key must be settled."""
    FORWARD = "forward"
    """It has its result, which must be passed on."""
    END = "end"
    """The task is done with it."""
    DEADLINE = "deadline"
    """Its deadline has passed."""
    CALLER_LEFT = "caller left"
    """Its caller has cancelled it."""
    DRAIN = "drain"
    """The server stops, and waits no longer."""
    ABANDON = "abandon"
    """The server stops, and the handler does not end."""
    REDELIVERED = "redelivered"
    """Its request came again, on another channel."""


class Act(Enum):
    """What a transition asks for."""

    NONE = "none"
    ASK = "ask"
    """Ask the caller whether it still waits, or tell it that the call is here."""
    ADMIT = "admit"
    """Look for a place."""
    WAIT = "wait"
    """Queue for a place."""
    START = "start"
    """Create its task."""
    FAIL = "fail"
    """End it with the error of its state and stop."""
    HAND_BACK = "hand back"
    """Leave the queue for a place, and give its request to another server."""
    CANCEL = "cancel"
    """Cancel its task, unless its handler runs in a thread."""
    ANSWER_CANCEL = "answer and cancel"
    """Answer its caller now, then cancel as above."""
    ANSWER = "answer"
    """Answer its caller now."""
    FINISH = "finish"
    """Answer and settle, as `ENDINGS` says."""


class Holding(Enum):
    """Who has the request: this server, or the broker."""

    HELD = "held"
    """It was delivered to this server, which has not settled it."""
    DETACHED = "detached"
    """Its channel ended: the broker has it back, and delivers it again to some server."""
    SETTLED = "settled"
    """It was acknowledged, given back or given up."""


class HoldingEvent(Enum):
    """What happens to a request, apart from its call."""

    CHANNEL_LOST = "channel lost"
    """The channel that it came by has ended."""
    REDELIVERED = "redelivered"
    """It came again, to this server."""
    SETTLED = "settled"
    """This server settles it, other than by its reply."""


class Answer(Enum):
    """Whether the caller has its one reply."""

    OWED = "owed"
    GIVEN = "given"


class Stop(Enum):
    """Why a call must end before its handler does."""

    NONE = ""
    DEADLINE = "deadline"
    CALLER = "caller"
    DRAIN = "drain"


Told: TypeAlias = NoticeKind | None
"""What a caller was told of its call so far: None, then WAITS, then RUNS."""

S, E, A = State, Event, Act

WITH_TASK: Final = (S.STARTED, S.CLAIMING, S.BEGUN, S.RUNNING, S.RECORDING, S.PASSING)
"""The states of a call that has a place."""

LIVE: Final = (S.ARRIVED, S.ASKED, S.WAITING, *WITH_TASK)

TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, Act]]] = {
    (S.ARRIVED, E.REFUSED): (S.ENDED, A.FAIL),
    (S.ARRIVED, E.ASK): (S.ASKED, A.ASK),
    (S.ARRIVED, E.PLACE): (S.STARTED, A.START),
    (S.ARRIVED, E.NO_PLACE): (S.WAITING, A.WAIT),
    (S.ARRIVED, E.BUSY): (S.ENDED, A.FAIL),
    # -- the caller is asked ---------------------------------------------------------------------
    (S.ASKED, E.CONFIRMED): (S.ARRIVED, A.ADMIT),
    (S.ASKED, E.UNCONFIRMED): (S.ENDED, A.FAIL),
    (S.ASKED, E.REDELIVERED): (S.ASKED, A.ASK),  # the answer went to a queue that is gone
    (S.ASKED, E.CALLER_LEFT): (S.ENDED, A.FAIL),
    (S.ASKED, E.DRAIN): (S.ENDED, A.HAND_BACK),
    # -- it waits for a place --------------------------------------------------------------------
    (S.WAITING, E.PLACE): (S.STARTED, A.START),
    (S.WAITING, E.LATE): (S.ENDED, A.FAIL),
    (S.WAITING, E.REDELIVERED): (S.ARRIVED, A.ADMIT),
    (S.WAITING, E.DEADLINE): (S.ENDED, A.FAIL),
    (S.WAITING, E.CALLER_LEFT): (S.ENDED, A.FAIL),
    (S.WAITING, E.DRAIN): (S.ENDED, A.HAND_BACK),
    # -- its task is there -----------------------------------------------------------------------
    (S.STARTED, E.CLAIM): (S.CLAIMING, A.NONE),
    (S.STARTED, E.BEGIN): (S.BEGUN, A.NONE),
    (S.STARTED, E.ENTER): (S.RUNNING, A.NONE),
    (S.STARTED, E.RECORD): (S.RECORDING, A.NONE),
    (S.STARTED, E.DEADLINE): (S.STARTED, A.ANSWER),
    (S.STARTED, E.CALLER_LEFT): (S.STARTED, A.NONE),
    (S.STARTED, E.DRAIN): (S.STARTED, A.NONE),
    (S.CLAIMING, E.CLAIMED): (S.STARTED, A.NONE),
    (S.BEGUN, E.ENTER): (S.RUNNING, A.NONE),
    (S.RUNNING, E.ENTER): (S.RUNNING, A.NONE),  # a middleware that calls its handler again
    **{(s, E.RECORD): (S.RECORDING, A.NONE) for s in (S.BEGUN, S.RUNNING)},
    **{(s, E.END): (S.ENDED, A.FINISH) for s in WITH_TASK},
    **{(s, E.DEADLINE): (s, A.ANSWER_CANCEL) for s in (S.CLAIMING, S.BEGUN, S.RUNNING)},
    **{(s, E.CALLER_LEFT): (s, A.CANCEL) for s in (S.CLAIMING, S.BEGUN, S.RUNNING)},
    **{(s, E.DRAIN): (s, A.CANCEL) for s in (S.CLAIMING, S.BEGUN, S.RUNNING)},
    (S.RECORDING, E.DEADLINE): (S.RECORDING, A.ANSWER),
    (S.RECORDING, E.CALLER_LEFT): (S.RECORDING, A.NONE),
    (S.RECORDING, E.DRAIN): (S.RECORDING, A.NONE),
    # What is on its way to the next stage goes on: that has the same deadline and caller.
    **{(s, E.FORWARD): (S.PASSING, A.NONE) for s in (S.CLAIMING, S.BEGUN, S.RUNNING, S.RECORDING)},
    **{(S.PASSING, e): (S.PASSING, A.NONE) for e in (E.DEADLINE, E.CALLER_LEFT, E.DRAIN)},
    **{(s, E.REDELIVERED): (s, A.NONE) for s in WITH_TASK},
    **{(s, E.ABANDON): (S.ENDED, A.FINISH) for s in LIVE},
}
"""Every step of a call. The steps of most calls, ARRIVED to STARTED to RUNNING to ENDED, are
written out where they happen, and cost no look-up. A test compares them with the table."""


class Ending(Enum):
    """What becomes of a delivery at the end of its call."""

    ANSWER = "answer"
    """Send the reply, if it is owed, and acknowledge."""
    REQUEUE = "requeue"
    """Give the request back as redelivered: its handler had begun."""
    HAND_BACK = "hand back"
    """Give another server a copy, which counts as never delivered: its handler had not begun."""
    KEEP = "keep"
    """Keep the reply for when the request is redelivered, and also send it now."""
    STREAM = "stream"
    """Send the end of the stream: its request was acknowledged when its handler began."""
    DROP = "drop"
    """Nothing: the next server that gets the request handles it."""


ENDINGS: Final[dict[tuple[Holding, bool, Answer], Ending]] = {
    (Holding.HELD, False, Answer.OWED): Ending.ANSWER,
    (Holding.HELD, False, Answer.GIVEN): Ending.ANSWER,
    (Holding.HELD, True, Answer.OWED): Ending.HAND_BACK,  # or REQUEUE, once its handler has begun
    (Holding.HELD, True, Answer.GIVEN): Ending.ANSWER,
    (Holding.DETACHED, False, Answer.OWED): Ending.KEEP,
    (Holding.DETACHED, False, Answer.GIVEN): Ending.DROP,
    (Holding.DETACHED, True, Answer.OWED): Ending.DROP,
    (Holding.DETACHED, True, Answer.GIVEN): Ending.DROP,
}
"""By who has the request, whether another server is to run it, and whether it was answered."""

HOLDINGS: Final[dict[tuple[Holding, HoldingEvent], Holding]] = {
    (Holding.HELD, HoldingEvent.CHANNEL_LOST): Holding.DETACHED,
    (Holding.DETACHED, HoldingEvent.REDELIVERED): Holding.HELD,
    (Holding.HELD, HoldingEvent.SETTLED): Holding.SETTLED,
}
"""The life of a delivery. The broker settles a DETACHED one."""

TELLS: Final[dict[State, Told]] = {
    S.ARRIVED: None,
    S.ASKED: None,
    S.WAITING: None,
    S.STARTED: NoticeKind.WAITS,
    S.CLAIMING: NoticeKind.WAITS,
    S.BEGUN: NoticeKind.WAITS,
    S.RUNNING: NoticeKind.RUNS,
    S.RECORDING: NoticeKind.RUNS,
    S.PASSING: NoticeKind.RUNS,
    S.ENDED: None,
}
"""What the caller of a call in each state is told. A call that waits for a place is not announced:
a drain hands its request back, and then its caller must believe that the queue is empty."""

_STOPS: Final = {Stop.DEADLINE: E.DEADLINE, Stop.CALLER: E.CALLER_LEFT, Stop.DRAIN: E.DRAIN}


class Source(Struct, eq=False, kw_only=True):
    """One queue that calls come from."""

    queue: str
    """Its name."""
    answers: WayBack[ServerCall]
    """The current way back, or that of the last channel."""
    dead_letters: bool = False
    """Whether its failed requests go to the dead-letter exchange instead of being answered."""
    keeps_failed: bool = False
    """Whether its one-way requests that failed are kept in a queue of their own."""
    finished: int = 0
    """How many of its requests were answered."""
    failed: int = 0
    """How many of those failed with an exception that the contract does not declare."""
    counters: ServerCounters = field(default_factory=ServerCounters)
    """Counts its requests."""


class ServerCall(Struct, eq=False, kw_only=True):
    """One call, from its delivery to its end."""

    method: str
    """ "service.method"."""
    incoming: Incoming
    """The request, as it was delivered last."""
    source: Source
    """The queue that it came by."""
    name: str = ""
    """Its name towards its caller, as `names.name_of` makes it; "" if it has none."""
    user: str = ""
    """The broker's user whose request it is, "" if it is unknown."""
    arguments: Struct | None = None
    """The decoded arguments."""
    arrived: float = 0.0
    """When it was delivered first."""
    queued: float = 0.0
    """Seconds from its sending to its delivery, by the clocks of both sides; 0.0 if unknown."""
    ends: float = 0.0
    """Its deadline."""
    started: float = 0.0
    """When it got its place."""
    tick: int = 0
    """Its bucket in the wheel of deadlines."""
    state: State = State.ARRIVED
    """Where it is."""
    holding: Holding = Holding.HELD
    """Who has its request."""
    answer: Answer = Answer.OWED
    """Whether its caller has the reply."""
    told: Told = None
    """What its caller was told meanwhile."""
    stop: Stop = Stop.NONE
    """Why it must end before its handler does."""
    entered: bool = False
    """Whether its handler has begun, in whatever state the call is now."""
    one_way: bool = False
    """Whether nobody waits for a reply."""
    asked_twice: bool = False
    """Whether its caller was asked a second time, as it had not answered."""
    dead_letter: bool = False
    """Whether it has failed, so that its request is dead-lettered or kept instead of being
    answered."""
    task: asyncio.Task[None] | None = None
    """The task that runs it, once it has a place."""
    context: CurrentCall | None = None
    """The context that its handler sees, once it has begun; with the last progress report."""
    code: str = OK
    """The code of the error that it ends with, if it does."""
    has_moved: bool = False
    """Whether it is a stream that was ended for another server to continue."""
    failure: CallError | None = None
    """The error that its caller is told, if somebody wants to know how calls end. An error may hold
    the frames that it passed through, and with them the call."""
    answer_size: int = 0
    """Bytes of the reply that was sent before its end; 0 if there was none."""
    stream: CallStream | None = None
    """Its streams, if it has any."""

    @property
    def streams(self) -> bool:
        """Whether its handler has begun to stream; its request is acknowledged by then."""
        return self.stream is not None and self.entered

    @property
    def id(self) -> str:
        """The call id, "" if it has none."""
        return self.incoming.call_id

    @property
    def key(self) -> CallKey:
        """What names the call to its caller."""
        return self.incoming.reply_to, self.incoming.call_id

    @property
    def tag(self) -> int:
        """The delivery tag of its last delivery."""
        return self.incoming.delivery.delivery_tag


OnTransition = Callable[[ServerCall, State, Event, State, float], None]
"""Called after each transition with the call, its state before, the event, its new state, and the
time in seconds of `time.monotonic`. It must return at once, and must not raise."""


class Life:
    """Takes calls from state to state by the tables above.

    :param clock: a clock in seconds that never jumps.
    """

    __slots__ = ("clock", "on_transition")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.on_transition: OnTransition | None = None
        """Is called with each transition, for metrics and traces."""

    def fire(self, call: ServerCall, event: Event) -> Act:
        """Fire an event for a call; return the act that must follow."""
        before = call.state
        found = TRANSITIONS.get((before, event))
        if found is None:
            log.error(
                "a bug in Leveret: %s met %r while it was %r, which no row of its life"
                " foresees; please report it",
                *(shown(call), event.value, before.value),
                extra=fields_of(call),
            )
            return Act.NONE
        after, act = found
        call.state = after
        if after is State.RUNNING:
            call.entered = True
        if self.on_transition is not None:
            self.on_transition(call, before, event, after, self.clock())
        return act

    def stop(self, call: ServerCall, why: Stop) -> Act:
        """Note why a call must end before its handler does. Only the first reason counts."""
        if call.stop is not Stop.NONE or call.state is State.ENDED:
            return Act.NONE
        call.stop = why
        return self.fire(call, _STOPS[why])

    def move(self, call: ServerCall, event: HoldingEvent) -> bool:
        """Fire an event for a call's request.

        :returns: False if it is impossible in this state.
        """
        after = HOLDINGS.get((call.holding, event))
        if after is None:
            log.error(
                "a bug in Leveret: the request of %s is %r and was %r; please report it",
                *(shown(call), call.holding.value, event.value),
                extra=fields_of(call),
            )
            return False
        call.holding = after
        return True


def ending(call: ServerCall, *, back: bool) -> Ending:
    """What to do with a call's delivery now that the call has ended.

    :param back: whether another server is to run it.
    """
    if call.streams:
        return Ending.STREAM
    if call.stop is Stop.DRAIN and call.holding is Holding.DETACHED:
        return Ending.DROP  # nobody can be answered any more, and the broker has the request
    found = ENDINGS[call.holding, back, call.answer]
    if found is Ending.HAND_BACK and call.entered:
        return Ending.REQUEUE
    return found


def goes_elsewhere(call: ServerCall, *, back: bool) -> bool:
    """Whether another server or the broker has the request of a call that has ended.

    :param back: whether another server is to run it.
    """
    found = ending(call, back=back)
    gone = found is Ending.HAND_BACK or found is Ending.REQUEUE
    gone = gone or (found is Ending.DROP and call.answer is Answer.OWED)
    return gone and not (call.dead_letter and not back)
