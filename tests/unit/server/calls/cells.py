"""Every cell of a call's life at a server, written out. `test_life.py` compares the table.

The table builds many of its rows in one line, so a change of one line may change cells that nobody
meant. Here each event has its states, by name.
"""

from __future__ import annotations

from typing import Final

from leveret.server.calls.life import Act, Answer, Ending, Event, Holding, HoldingEvent, State
from leveret.wire.message import NoticeKind

S, E, A = State, Event, Act

LIVE: Final = tuple(state for state in State if state is not State.ENDED)

REST: Final[tuple[State, ...]] = ()
"""All live states that no other row of the event names."""

CELLS: Final[dict[Event, list[tuple[tuple[State, ...], State | None, Act]]]] = {
    E.REFUSED: [((S.ARRIVED,), S.ENDED, A.FAIL)],
    E.ASK: [((S.ARRIVED,), S.ASKED, A.ASK)],
    E.CONFIRMED: [((S.ASKED,), S.ARRIVED, A.ADMIT)],
    E.UNCONFIRMED: [((S.ASKED,), S.ENDED, A.FAIL)],
    E.PLACE: [((S.ARRIVED, S.WAITING), S.STARTED, A.START)],
    E.NO_PLACE: [((S.ARRIVED,), S.WAITING, A.WAIT)],
    E.BUSY: [((S.ARRIVED,), S.ENDED, A.FAIL)],
    E.LATE: [((S.WAITING,), S.ENDED, A.FAIL)],
    E.CLAIM: [((S.STARTED,), S.CLAIMING, A.NONE)],
    E.CLAIMED: [((S.CLAIMING,), S.STARTED, A.NONE)],
    E.BEGIN: [((S.STARTED,), S.BEGUN, A.NONE)],
    E.ENTER: [
        ((S.STARTED, S.BEGUN), S.RUNNING, A.NONE),
        ((S.RUNNING,), None, A.NONE),
    ],
    E.RECORD: [((S.STARTED, S.BEGUN, S.RUNNING), S.RECORDING, A.NONE)],
    E.FORWARD: [((S.CLAIMING, S.BEGUN, S.RUNNING, S.RECORDING), S.PASSING, A.NONE)],
    E.END: [
        ((S.STARTED, S.CLAIMING, S.BEGUN, S.RUNNING, S.RECORDING, S.PASSING), S.ENDED, A.FINISH)
    ],
    E.DEADLINE: [
        ((S.WAITING,), S.ENDED, A.FAIL),
        ((S.STARTED, S.RECORDING), None, A.ANSWER),
        ((S.CLAIMING, S.BEGUN, S.RUNNING), None, A.ANSWER_CANCEL),
        ((S.PASSING,), None, A.NONE),
    ],
    E.CALLER_LEFT: [
        ((S.ASKED, S.WAITING), S.ENDED, A.FAIL),
        ((S.STARTED, S.RECORDING, S.PASSING), None, A.NONE),
        ((S.CLAIMING, S.BEGUN, S.RUNNING), None, A.CANCEL),
    ],
    E.DRAIN: [
        ((S.ASKED, S.WAITING), S.ENDED, A.HAND_BACK),
        ((S.STARTED, S.RECORDING, S.PASSING), None, A.NONE),
        ((S.CLAIMING, S.BEGUN, S.RUNNING), None, A.CANCEL),
    ],
    E.ABANDON: [(REST, S.ENDED, A.FINISH)],
    E.REDELIVERED: [
        ((S.ASKED,), None, A.ASK),
        ((S.WAITING,), S.ARRIVED, A.ADMIT),
        ((S.STARTED, S.CLAIMING, S.BEGUN, S.RUNNING, S.RECORDING, S.PASSING), None, A.NONE),
    ],
}
"""By event: from which states, to which state, and the act. None: the call stays where it is."""

HOLDING_CELLS: Final = {
    (Holding.HELD, HoldingEvent.CHANNEL_LOST): Holding.DETACHED,
    (Holding.DETACHED, HoldingEvent.REDELIVERED): Holding.HELD,
    (Holding.HELD, HoldingEvent.SETTLED): Holding.SETTLED,
}
"""What becomes of who has the request."""

ENDING_CELLS: Final = {
    (Holding.HELD, False, Answer.OWED): Ending.ANSWER,
    (Holding.HELD, False, Answer.GIVEN): Ending.ANSWER,
    (Holding.HELD, True, Answer.OWED): Ending.HAND_BACK,
    (Holding.HELD, True, Answer.GIVEN): Ending.ANSWER,
    (Holding.DETACHED, False, Answer.OWED): Ending.KEEP,
    (Holding.DETACHED, False, Answer.GIVEN): Ending.DROP,
    (Holding.DETACHED, True, Answer.OWED): Ending.DROP,
    (Holding.DETACHED, True, Answer.GIVEN): Ending.DROP,
}
"""What becomes of the request at the end: who has it, whether it goes back, and the answer."""

TOLD: Final = {
    None: {S.ARRIVED, S.ASKED, S.WAITING, S.ENDED},
    NoticeKind.WAITS: {S.STARTED, S.CLAIMING, S.BEGUN},
    NoticeKind.RUNS: {S.RUNNING, S.RECORDING, S.PASSING},
}
"""What the caller is told of a call, and in which states."""


def all_cells() -> dict[tuple[State, Event], tuple[State, Act]]:
    """As the table has them."""
    cells: dict[tuple[State, Event], tuple[State, Act]] = {}
    for event, rows in CELLS.items():
        named = {state for states, _, _ in rows for state in states}
        for states, after, act in rows:
            for state in states or [live for live in LIVE if live not in named]:
                cells[state, event] = (after or state, act)
    return cells
