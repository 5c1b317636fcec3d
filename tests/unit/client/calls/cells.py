"""Every cell of a call's life at its client, written out. `test_life.py` compares the table.

The table builds many of its rows in one line, so a change of one line may change cells that nobody
meant. Here each event has its states, by name.
"""

from __future__ import annotations

from typing import Final

from leveret.client.calls.life import Act, Event, State

S, E, A = State, Event, Act

LIVE: Final = tuple(state for state in State if state not in (State.NEW, State.ENDED))

REST: Final[tuple[State, ...]] = ()
"""All live states that no other row of the event names."""

CELLS: Final[dict[Event, list[tuple[tuple[State, ...], State | None, Act]]]] = {
    E.SEND: [((S.NEW,), S.QUIET, A.PUBLISH)],
    E.CALLER_GONE: [(REST, S.ENDED, A.CANCEL)],
    E.SENDER_GONE: [(REST, S.ENDED, A.NOTHING)],
    E.REPLY: [(REST, S.ENDED, A.DELIVER)],
    E.WAITS: [
        ((S.QUIET, S.SOUGHT), S.AT_SERVER, A.NOTHING),
        (REST, None, A.NOTHING),
    ],
    E.RUNS: [
        ((S.QUIET, S.AT_SERVER, S.SOUGHT), S.RUNNING, A.NOTHING),
        (REST, None, A.NOTHING),
    ],
    E.CONFIRM: [
        ((S.QUIET, S.SOUGHT), S.AT_SERVER, A.SAY_WAITS),
        (REST, None, A.SAY_WAITS),
    ],
    E.PASSED: [
        ((S.AT_SERVER, S.RUNNING, S.SOUGHT), S.QUIET, A.NOTHING),
        (REST, None, A.NOTHING),
    ],
    E.UNHEARD: [
        ((S.EXPIRED, S.DELAYED, S.UNSENT, S.STREAMING), None, A.NOTHING),
        (REST, S.DELAYED, A.PUBLISH_LATER_DOUBTFUL),
    ],
    E.BEGINS: [
        ((S.STREAMING,), None, A.NOTHING),
        (REST, S.STREAMING, A.NOTHING),
    ],
    E.SERVER_GONE: [((S.STREAMING,), S.ENDED, A.FAIL_BROKEN)],
    E.NO_ROUTE: [
        ((S.UNROUTED,), None, A.PROBE),
        ((S.EXPIRED, S.DELAYED, S.UNSENT, S.STREAMING), None, A.NOTHING),
        (REST, S.UNROUTED, A.PROBE),
    ],
    E.EXPIRY: [
        ((S.EXPIRED, S.STREAMING), None, A.NOTHING),
        (REST, S.EXPIRED, A.PROBE),
    ],
    E.FULL: [
        ((S.STREAMING,), None, A.NOTHING),
        (REST, S.ENDED, A.FAIL_FULL),
    ],
    E.FULL_AGAIN: [
        ((S.EXPIRED, S.DELAYED, S.UNSENT, S.STREAMING), None, A.NOTHING),
        (REST, S.DELAYED, A.PUBLISH_LATER_DOUBTFUL),
    ],
    E.REJECTED: [
        ((S.STREAMING,), None, A.NOTHING),
        (REST, S.ENDED, A.FAIL_REJECTED),
    ],
    E.TAKEN: [
        ((S.QUIET,), S.ENDED, A.DELIVER_CONFIRM),
        (REST, None, A.NOTHING),
    ],
    E.NACK: [
        ((S.REFUSED,), None, A.PROBE),
        ((S.EXPIRED, S.DELAYED, S.UNSENT, S.STREAMING), None, A.NOTHING),
        (REST, S.REFUSED, A.PROBE),
    ],
    E.NACK_BEFORE_CHANNEL: [
        ((S.EXPIRED, S.DELAYED, S.UNSENT, S.STREAMING), None, A.NOTHING),
        (REST, S.UNSENT, A.NOTHING),
    ],
    E.QUEUE_RETURNS: [
        ((S.UNROUTED,), S.DELAYED, A.PUBLISH_LATER),
        (REST, None, A.NOTHING),
    ],
    E.NO_QUEUE: [
        ((S.UNROUTED,), S.ENDED, A.FAIL_UNROUTED),
        (REST, None, A.NOTHING),
    ],
    E.EXPLAINED: [((S.EXPIRED,), S.ENDED, A.FAIL_EXPIRED)],
    E.QUEUE_FULL: [
        ((S.REFUSED,), S.ENDED, A.FAIL_REFUSED),
        (REST, None, A.NOTHING),
    ],
    E.QUEUE_AWAY: [
        ((S.REFUSED,), S.DELAYED, A.PUBLISH_LATER_DOUBTFUL),
        (REST, None, A.NOTHING),
    ],
    E.NEEDS_CHANNEL: [
        ((S.REFUSED,), S.UNSENT, A.NOTHING),
        (REST, None, A.NOTHING),
    ],
    E.FULL_HERE: [
        ((S.REFUSED,), S.UNSENT, A.NOTHING),
        (REST, None, A.NOTHING),
    ],
    E.NOT_TAKEN: [
        ((S.REFUSED,), S.ENDED, A.FAIL_NOT_TAKEN),
        (REST, None, A.NOTHING),
    ],
    E.QUEUE_EMPTY: [((S.QUIET, S.AT_SERVER, S.RUNNING), S.SOUGHT, A.QUERY)],
    E.QUEUE_GONE: [((S.QUIET,), S.SOUGHT, A.NOTHING)],
    E.STILL_MISSING: [((S.SOUGHT,), S.QUIET, A.PUBLISH_DOUBTFUL)],
    E.NO_SERVER: [((S.QUIET, S.SOUGHT), S.ENDED, A.FAIL_NO_SERVER)],
    E.QUEUE_DELETED: [((S.QUIET, S.SOUGHT), S.ENDED, A.FAIL_QUEUE_DELETED)],
    E.BACKLOG: [((S.QUIET, S.SOUGHT), S.ENDED, A.FAIL_BACKLOG)],
    E.RESEND: [
        ((S.DELAYED,), S.QUIET, A.PUBLISH),
        (REST, None, A.NOTHING),
    ],
    E.RESEND_DOUBTFUL: [
        ((S.DELAYED,), S.QUIET, A.PUBLISH_DOUBTFUL),
        (REST, None, A.NOTHING),
    ],
    E.CHANNEL_GONE: [
        ((S.EXPIRED, S.UNSENT, S.STREAMING), None, A.NOTHING),
        (REST, S.UNSENT, A.NOTHING),
    ],
    E.CHANNEL_LOST: [
        ((S.STREAMING,), None, A.NOTHING),
        (REST, S.ENDED, A.FAIL_LOST_UNCONFIRMED),
    ],
    E.DROPPED: [
        ((S.QUIET, S.SOUGHT), S.DELAYED, A.PUBLISH_LATER),
        (REST, None, A.NOTHING),
    ],
    E.DROPPED_LOST: [
        ((S.QUIET, S.SOUGHT), S.ENDED, A.FAIL_DROPPED),
        (REST, None, A.NOTHING),
    ],
    E.FORBIDDEN: [
        ((S.QUIET, S.SOUGHT), S.ENDED, A.FAIL_FORBIDDEN),
        (REST, None, A.NOTHING),
    ],
    E.TOO_LARGE: [
        ((S.QUIET, S.SOUGHT), S.ENDED, A.FAIL_TOO_LARGE),
        (REST, None, A.NOTHING),
    ],
    E.CONNECTED_AGAIN: [
        ((S.AT_SERVER, S.RUNNING, S.SOUGHT), S.QUIET, A.NOTHING),
        (REST, None, A.NOTHING),
    ],
    E.RESUMES: [((S.STREAMING,), None, A.ASK_AGAIN)],
    E.REPLY_QUEUE_GONE: [
        ((S.EXPIRED, S.UNSENT), None, A.NOTHING),
        ((S.STREAMING,), S.ENDED, A.FAIL_BROKEN),
        (REST, S.UNSENT, A.NOTHING),
    ],
    E.REPLY_QUEUE_LOST: [
        ((S.STREAMING,), S.ENDED, A.FAIL_BROKEN),
        (REST, S.ENDED, A.FAIL_LOST),
    ],
    E.SENDABLE: [((S.UNSENT,), S.QUIET, A.PUBLISH)],
    E.SENDABLE_DOUBTFUL: [((S.UNSENT,), S.QUIET, A.PUBLISH_DOUBTFUL)],
    E.KEY_LOST: [((S.DELAYED, S.UNSENT, S.SOUGHT), S.ENDED, A.FAIL_KEY)],
    E.UNPACKABLE: [((S.QUIET,), S.ENDED, A.FAIL_UNPACKABLE)],
    E.DEADLINE: [
        ((S.EXPIRED,), S.ENDED, A.FAIL_EXPIRED),
        ((S.STREAMING,), S.ENDED, A.FAIL_TOO_LONG),
        (REST, S.ENDED, A.FAIL_SILENCE),
    ],
    E.DEADLINE_UNCONFIRMED: [
        ((S.EXPIRED,), S.ENDED, A.FAIL_EXPIRED),
        ((S.STREAMING,), S.ENDED, A.FAIL_TOO_LONG),
        (REST, S.ENDED, A.FAIL_SILENCE_UNCONFIRMED),
    ],
    E.CLOSED: [
        ((S.STREAMING,), S.ENDED, A.FAIL_BROKEN),
        (REST, S.ENDED, A.FAIL_LOST),
    ],
    E.CLOSED_UNCONFIRMED: [
        ((S.STREAMING,), S.ENDED, A.FAIL_BROKEN),
        (REST, S.ENDED, A.FAIL_LOST_UNCONFIRMED),
    ],
}
"""By event: from which states, to which state, and the act. None: the call stays where it is."""


def all_cells() -> dict[tuple[State, Event], tuple[State, Act]]:
    """As the table has them."""
    cells: dict[tuple[State, Event], tuple[State, Act]] = {}
    for event, rows in CELLS.items():
        named = {state for states, _, _ in rows for state in states}
        for states, after, act in rows:
            for state in states or [live for live in LIVE if live not in named]:
                cells[state, event] = (after or state, act)
    return cells
