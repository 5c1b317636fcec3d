"""What becomes of the calls whose requests were on a channel that has ended. Pure.

`fates` says what became of the requests, as far as it is known, and `events` what happens to their
calls.

The broker handles what is published on a channel one by one. It closes the channel at the first
request that it cannot handle, drops what follows, and does not say which one it was. It only names
the exchange that does not exist, or that the user may not use. So the requests for that exchange
are the suspects, and:

    handled    requests before the first suspect; the broker has them
    dropped    the last suspect, and all after it; the broker has none of them
    unknown    requests in between

If only one request can be the culprit, the fate of all others is known. A request that was too
large is such a case: the broker names its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from leveret.client.calls.life import MOST_RESENDS, Event, Pending, State
from leveret.errors import LeveretError
from leveret.wire.channel_errors import exchange_at_fault, is_missing_exchange, size_at_fault

_SILENT = (State.QUIET, State.SOUGHT)
"""The states of a call about which the client has heard nothing."""


class Fate(Enum):
    """What became of a request that the broker had not confirmed when it closed the channel."""

    HANDLED = "handled"
    """The broker had taken it before."""
    DROPPED = "dropped"
    """The broker has not taken it, and no server has it."""
    UNKNOWN = "unknown"
    """It cannot be known."""
    TOO_LARGE = "too large"
    """The broker has not taken it, and never will."""


def events(
    unconfirmed: Sequence[Pending], error: LeveretError, *, reconnects: bool
) -> Iterator[tuple[Pending, Event]]:
    """What happens to the calls of these requests. Nothing does where the broker took the request.

    :param unconfirmed: in the order in which they were published.
    :param error: why the channel has ended.
    :param reconnects: whether there will be another one.
    """
    exchange, sizes = exchange_at_fault(error), size_at_fault(error)
    refused = None if is_missing_exchange(error) else exchange
    found = fates(unconfirmed, exchange)
    if sizes is not None:
        found = fates_by_size(unconfirmed, *sizes)
    for call, fate in found:
        if fate is Fate.HANDLED and not call.request.one_way:
            continue  # as good as confirmed, but for a call that is promised the confirm
        if fate is Fate.TOO_LARGE:
            yield call, Event.TOO_LARGE
        elif refused is not None and call.request.dialect.exchange == refused:
            if fate is Fate.UNKNOWN:
                call.doubt()
            yield call, Event.FORBIDDEN
        elif fate is Fate.DROPPED and reconnects:
            yield call, Event.DROPPED if call.body is not None else Event.DROPPED_LOST
        elif call.request.repeatable and reconnects and call.resends < MOST_RESENDS:
            # A request that costs its channel each time must not do so for ever.
            yield call, Event.CHANNEL_GONE
        else:
            yield call, Event.CHANNEL_LOST


def fates_by_size(
    unconfirmed: Sequence[Pending], size: int, most: int
) -> Iterator[tuple[Pending, Fate]]:
    """What became of each of these requests, if the broker named the size of the culprit.

    The culprit is the first request of that size: the broker closed the channel at it.

    :param unconfirmed: in the order in which they were published.
    :param size: bytes of the culprit's body.
    :param most: bytes of the largest body that the broker takes.
    """
    sizes = [call.size for call in unconfirmed]
    culprit = sizes.index(size) if size in sizes else None
    for number, call in enumerate(unconfirmed):
        if culprit is None:
            yield call, Fate.UNKNOWN
        elif number < culprit:
            yield call, Fate.HANDLED
        else:
            yield call, Fate.TOO_LARGE if call.size > most else Fate.DROPPED


def fates(unconfirmed: Sequence[Pending], exchange: str | None) -> Iterator[tuple[Pending, Fate]]:
    """What became of each of these requests.

    :param unconfirmed: in the order in which they were published.
    :param exchange: the exchange that the broker named; None if it named none.
    """
    suspects = [
        number
        for number, call in enumerate(unconfirmed)
        if call.request.dialect.exchange == exchange and call.state in _SILENT
    ]
    first, last = (suspects[0], suspects[-1]) if suspects else (0, len(unconfirmed))
    for number, call in enumerate(unconfirmed):
        if number < first:
            yield call, Fate.HANDLED
        elif number < last:
            yield call, Fate.UNKNOWN
        else:
            yield call, Fate.DROPPED
