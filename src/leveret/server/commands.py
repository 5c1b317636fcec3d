"""Carries out control messages about a server's calls, and answers questions about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from leveret.server.calls.kept_replies import RecordStore
from leveret.server.calls.life import ServerCall, State, Stop
from leveret.server.calls.table import CallTable, EarlyCancels
from leveret.server.streams.registry import Streams
from leveret.streaming import Credit
from leveret.wire.message import CallKey, ReplyAddress
from leveret.wire.server_answers import Calls, Draining, Stopped

__all__ = ["Commands"]


class Method(Protocol):
    """What this file needs of what serves a method."""

    def stop(self, call: ServerCall, why: Stop) -> None:
        """End a call before its handler does."""

    def confirmed(self, call: ServerCall) -> None:
        """The caller of a call that was asked about still waits."""

    def tell(self, call: ServerCall) -> None:
        """Tell the caller how its call stands."""

    def repeat(self, queue: str, name: str, frames: bytes, /) -> bool:
        """Send a kept reply once more; False if it did not come by a queue of this method."""
        ...


class Says(Protocol):
    """What makes the answers."""

    def calls(self) -> Calls:
        """Which calls are here."""
        ...

    def no_calls(self) -> Calls:
        """The answer for those who may not see which calls are here."""
        ...

    def stopped(self, call_ids: Iterable[str], *, refused: bool = False) -> Stopped:
        """Which calls were here that were to be cancelled."""
        ...

    def draining(self, *, refused: bool = False) -> Draining:
        """The answer to those who want the server to drain."""
        ...


class Commands:
    """Carries out the control messages of callers and of operators.

    :param instance: the server's name for itself.
    :param methods: what serves each method, by "service.method".
    :param operates: whether a user may see and stop the calls of others, and have servers drain.
    :param unknown_stream: the caller of a call that is not here gives credit for its stream.
    :param drain: has the server drain, for the operator with this name.
    """

    def __init__(
        self,
        instance: str,
        methods: Mapping[str, Method],
        table: CallTable,
        streams: Streams,
        kept: RecordStore,
        early_cancels: EarlyCancels,
        says: Says,
        *,
        operates: Callable[[str], bool],
        unknown_stream: Callable[[CallKey], None],
        drain: Callable[[str], None],
    ) -> None:
        self._instance = instance
        self._methods = methods
        self._table = table
        self._streams = streams
        self._kept = kept
        self._early_cancels = early_cancels
        self._says = says
        self._operates = operates
        self._unknown_stream = unknown_stream
        self._drain = drain

    # -- of callers ---------------------------------------------------------------------------

    def cancel(self, key: CallKey, seconds: float) -> None:
        """A caller waits no more; its request may still come within this number of seconds."""
        calls = self._table.find_all(key)
        if not calls or any(call.state is State.PASSING for call in calls):
            self._early_cancels.add(key, seconds)
        for call in calls:
            self._methods[call.method].stop(call, Stop.CALLER)

    def confirmed(self, key: CallKey) -> None:
        """A caller that was asked about its call still waits, for each request of it."""
        for call in self._table.find_all(key):
            self._methods[call.method].confirmed(call)

    def credited(self, key: CallKey, credit: Credit) -> None:
        """The caller of a stream gives credit."""
        if not self._streams.credited(key, credit) and not self._table.find(key):
            self._unknown_stream(key)

    def query(self, reply_to: ReplyAddress, call_ids: set[str]) -> None:
        """A client asks about its calls: announce those here, and send kept replies again."""
        for call_id in call_ids:
            key = reply_to, call_id
            for call in self._table.find_all(key):
                self._methods[call.method].tell(call)
            for name in self._table.names(key):
                kept = self._kept.find(name)
                if kept is not None:
                    queue, frames = kept
                    any(method.repeat(queue, name, frames) for method in self._methods.values())

    # -- of operators -------------------------------------------------------------------------

    def calls(self, user: str) -> Calls:
        """The calls that are here, for those who may see them."""
        return self._says.calls() if self._operates(user) else self._says.no_calls()

    def stop(self, call_ids: set[str], user: str) -> Stopped:
        """Cancel calls for an operator, whoever their callers are."""
        if not self._operates(user):
            return self._says.stopped((), refused=True)
        here = [call for call in self._table.all() if call.id in call_ids]
        for call in here:
            self._methods[call.method].stop(call, Stop.CALLER)
        return self._says.stopped({call.id for call in here})

    def drain(self, instances: set[str], user: str) -> Draining | None:
        """Drain for an operator; None if this server is not named."""
        if self._instance not in instances:
            return None
        if not self._operates(user):
            return self._says.draining(refused=True)
        self._drain(user)
        return self._says.draining()
