"""The calls of one server, found by what their callers call them.

Whoever may write to the control exchange can name a call, any number of times and also one that is
not here. So each look-up takes the same time however many calls there are; and where strangers give
many calls one name, adding and removing one of them does too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from typing import Final, Generic, TypeVar

from leveret.server.calls.life import Holding, ServerCall
from leveret.wire.message import CallKey

K = TypeVar("K", bound=Hashable)

EARLY_CANCELS: Final = 10_000
"""How many cancels that overtook their requests are remembered."""


def names_a_call(key: CallKey) -> bool:
    """Whether a key names one call, and not all calls that have no name."""
    return key[0] is not None and key[1] != ""


class CallTable:
    """The calls that are here, in whatever state: the one place that holds them."""

    def __init__(self) -> None:
        self._by_key: _Index[CallKey] = _Index()
        self._detached: _Index[tuple[str, CallKey]] = _Index()
        self._of_method: dict[str, dict[ServerCall, None]] = {}

    def of(self, method: str) -> Collection[ServerCall]:
        """The calls of one method, in order of arrival, now and later."""
        return self._of_method.setdefault(method, {}).keys()

    def add(self, call: ServerCall) -> None:
        """A call is here."""
        self._of_method[call.method][call] = None
        incoming = call.incoming
        if incoming.reply_to is not None and incoming.call_id:
            self._by_key.add((incoming.reply_to, incoming.call_id), call)

    def remove(self, call: ServerCall) -> None:
        """A call has ended; one that is not here does no harm."""
        if self._of_method[call.method].pop(call, call) is call:
            return
        incoming = call.incoming
        if incoming.reply_to is not None and incoming.call_id:
            key = incoming.reply_to, incoming.call_id
            self._by_key.remove(key, call)
            if call.holding is Holding.DETACHED:
                self._detached.remove((call.method, key), call)

    def find(self, key: CallKey) -> ServerCall | None:
        """The call of this name, the first of them if there are more."""
        return self._by_key.first(key)

    def find_all(self, key: CallKey) -> list[ServerCall]:
        """All calls of this name, the first one first."""
        return self._by_key.all(key)

    def detached(self, call: ServerCall) -> None:
        """A call's channel has ended: its request may come again."""
        if names_a_call(call.key):
            self._detached.add((call.method, call.key), call)

    def delivered_again(self, method: str, key: CallKey) -> ServerCall | None:
        """The detached call whose request has come again, which is then not detached any more."""
        if not names_a_call(key):
            return None
        call = self._detached.first((method, key))
        if call is not None:
            self._detached.remove((method, key), call)
        return call

    def all(self) -> list[ServerCall]:
        """All calls that are here."""
        return [call for calls in self._of_method.values() for call in calls]

    def __len__(self) -> int:
        return sum(map(len, self._of_method.values()))


class _Index(Generic[K]):
    """Calls by a key that mostly names one of them."""

    __slots__ = ("_first", "_others")

    def __init__(self) -> None:
        self._first: dict[K, ServerCall] = {}
        # An OrderedDict gives its first entry at once, a dict whose first were deleted does not.
        self._others: dict[K, OrderedDict[ServerCall, None]] = {}

    def add(self, key: K, call: ServerCall) -> None:
        if self._first.setdefault(key, call) is not call:
            self._others.setdefault(key, OrderedDict())[call] = None

    def remove(self, key: K, call: ServerCall) -> None:
        others = self._others.get(key) if self._others else None
        if self._first.get(key) is not call:
            if others is not None:
                others.pop(call, None)
        elif not others:
            del self._first[key]
        else:
            self._first[key], _ = others.popitem(last=False)
        if others is not None and not others:
            del self._others[key]

    def first(self, key: K) -> ServerCall | None:
        return self._first.get(key)

    def all(self, key: K) -> list[ServerCall]:
        first = self._first.get(key)
        return [] if first is None else [first, *self._others.get(key, ())]


class EarlyCancels:
    """Cancels that overtook their requests, which may still wait in a queue.

    :param clock: seconds that go on steadily.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.until: OrderedDict[CallKey, float] = OrderedDict()
        """By call, the moment up to which its request may come."""

    def add(self, key: CallKey, seconds: float) -> None:
        """Remember for this long that the caller of a call went away."""
        self.until[key] = self._clock() + seconds
        while len(self.until) > EARLY_CANCELS:
            self.until.popitem(last=False)

    def take(self, key: CallKey) -> bool:
        """Whether the caller of this request went away before it came. It is forgotten then."""
        until = self.until.pop(key, None)
        return until is not None and until > self._clock()

    def __len__(self) -> int:
        return len(self.until)
