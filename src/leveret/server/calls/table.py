"""The calls of one server, found by the names that their callers have for them.

Anybody who may write to the control exchange can name calls, any number of times, and also calls
that are not here. So each look-up takes the same time however many calls there are. Adding and
removing a call does too, even if strangers give many calls the same name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final

from leveret.server.calls.life import Holding, ServerCall
from leveret.server.calls.names import name_of
from leveret.wire.message import MAX_STAGES, CallKey

EARLY_CANCELS: Final = 10_000
"""How many cancels that arrived before their requests are remembered."""


class CallTable:
    """The calls that are here, in whatever state: the one place that holds them.

    A name usually belongs to one call; if strangers give it to several, the others wait in order.
    """

    def __init__(self) -> None:
        self._of_method: dict[str, dict[ServerCall, None]] = {}
        self._first: dict[str, ServerCall] = {}
        # An OrderedDict gives its first entry at once, a dict whose first were deleted does not.
        self._others: dict[str, OrderedDict[ServerCall, None]] = {}
        self._detached: dict[tuple[str, str], OrderedDict[ServerCall, None]] = {}
        self._has_stages = False

    def of(self, method: str) -> Collection[ServerCall]:
        """A live view of one method's calls, in order of arrival."""
        return self._of_method.setdefault(method, {}).keys()

    def add(self, call: ServerCall) -> None:
        """A call is here."""
        self._of_method[call.method][call] = None
        if call.incoming.stage:
            self._has_stages = True
        name = call.name
        if name and self._first.setdefault(name, call) is not call:
            self._others.setdefault(name, OrderedDict())[call] = None

    def remove(self, call: ServerCall) -> None:
        """A call has ended; one that is not here does no harm."""
        if self._of_method[call.method].pop(call, call) is call:
            return
        name = call.name
        if not name:
            return
        if name in self._others:
            self._remove_of_many(name, call)
        else:
            del self._first[name]
        if self._detached and call.holding is Holding.DETACHED:
            self._attached(call)

    def _remove_of_many(self, name: str, call: ServerCall) -> None:
        others = self._others[name]
        if self._first[name] is call:
            self._first[name], _ = others.popitem(last=False)
        else:
            del others[call]
        if not others:
            del self._others[name]

    def names(self, key: CallKey) -> list[str]:
        """The names of the calls with this key: a pipe has one name at each stage."""
        stages = MAX_STAGES if self._has_stages else 0
        return [name_of(key, stage) for stage in range(stages + 1)]

    def find(self, key: CallKey) -> list[ServerCall]:
        """The calls with this key, the first one of each name.

        A pipe may be here at several stages: it has passed one on, and the broker has not yet
        confirmed that.
        """
        return [self._first[name] for name in self.names(key) if name in self._first]

    def find_all(self, key: CallKey) -> list[ServerCall]:
        """All calls with this key, in order."""
        return [
            call
            for name in self.names(key)
            if name in self._first
            for call in (self._first[name], *self._others.get(name, ()))
        ]

    def detached(self, call: ServerCall) -> None:
        """A call's channel has ended: its request may come again."""
        if call.name:
            self._detached.setdefault((call.method, call.name), OrderedDict())[call] = None

    def delivered_again(self, method: str, name: str) -> ServerCall | None:
        """The detached call whose request has come again; it is not detached any more.

        :param name: the call's name, as `name_of` makes it.
        """
        calls = self._detached.get((method, name))
        if not calls:
            return None
        call = next(iter(calls))
        self._attached(call)
        return call

    def _attached(self, call: ServerCall) -> None:
        key = call.method, call.name
        calls = self._detached[key]
        del calls[call]
        if not calls:
            del self._detached[key]

    def all(self) -> list[ServerCall]:
        """All calls that are here."""
        return [call for calls in self._of_method.values() for call in calls]

    def __len__(self) -> int:
        return sum(map(len, self._of_method.values()))


class EarlyCancels:
    """Cancels that arrived before their requests, which may still wait in a queue.

    :param clock: a clock in seconds that never jumps.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.until: OrderedDict[CallKey, float] = OrderedDict()
        """For each call, the time until which its request may come."""

    def add(self, key: CallKey, seconds: float) -> None:
        """Remember for this long that the caller of a call went away."""
        self.until[key] = self._clock() + seconds
        while len(self.until) > EARLY_CANCELS:
            self.until.popitem(last=False)

    def take(self, key: CallKey) -> bool:
        """Whether the caller of this request cancelled it before it came; forget the cancel."""
        until = self.until.pop(key, None)
        return until is not None and until > self._clock()

    def __len__(self) -> int:
        return len(self.until)
