"""Tells the caller of a call that must not wait that it is here, and only then begins the call.

The request of such a call expires at once. If its server dies, the broker returns it to its caller
as one that no server took. So the handler begins only once the broker has confirmed that the notice
is in the reply queue: whatever the broker says of the request later comes behind that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from leveret.errors import Busy, CallError, DeadlineExceeded
from leveret.server.calls.life import Event, Holding, Life, ServerCall, State
from leveret.server.confirmed_messages import PublishConfirmed
from leveret.transport.deadlines import Deadlines
from leveret.wire.message import Notice, NoticeKind

__all__ = ["TellingFirst"]


class TellingFirst:
    """Tells the callers of one method.

    :param publish: publishes the notices.
    :param admit: finds a place for a call.
    :param fail: answers a call that ends without a task.
    :param forget: drops a call whose request the broker has back.
    """

    def __init__(
        self,
        life: Life,
        deadlines: Deadlines[ServerCall],
        *,
        publish: PublishConfirmed,
        admit: Callable[[ServerCall], None],
        fail: Callable[[ServerCall, CallError], None],
        forget: Callable[[ServerCall], None],
    ) -> None:
        self._life = life
        self._deadlines = deadlines
        self._publish = publish
        self._admit = admit
        self._fail = fail
        self._forget = forget

    def tell(self, call: ServerCall) -> bool:
        """Tell a caller; False if its dialect does not know this notice."""
        notice = Notice(kind=NoticeKind.WAITS)
        frames = call.source.answers.packer.notice(call.incoming, notice)
        if not frames:
            return False
        call.tick = self._deadlines.add(call.ends, call)
        call.told = NoticeKind.WAITS
        self._life.fire(call, Event.ASK)
        self._publish(frames, call.incoming.call_id, partial(self._told, call))
        return True

    def expired(self, call: ServerCall) -> None:
        """The deadline of such a call has passed, and its caller has not been told yet."""
        error = "the deadline passed before its handler began"
        self._give_up(call, DeadlineExceeded(error, where="queue"))

    def _told(self, call: ServerCall, taken: bool) -> None:
        """The broker has the notice, or it is unknown whether it has."""
        if call.state is not State.ASKED:
            return  # it has ended meanwhile
        if taken and call.holding is not Holding.DETACHED:
            self._life.fire(call, Event.CONFIRMED)
            self._admit(call)
        else:
            self._give_up(call, Busy("the broker does not take a message to its caller"))

    def _give_up(self, call: ServerCall, error: CallError) -> None:
        self._life.fire(call, Event.UNCONFIRMED)
        if call.holding is Holding.DETACHED:
            self._forget(call)
        else:
            error.executed = "no"
            self._fail(call, error)
