"""Asks callers whether they still wait, before their calls are run.

The caller of a request that was there before this server may have been told that no server listens.
Another server may have answered the caller of a request that it had, and lost its connection before
its acknowledgement was read. Usually the answer was a refusal, which says that the handler did not
run.

A caller that does not answer is asked a second time: a question or an answer is lost with the
connection that breaks under it, and the client is back by then. If it says nothing again, the call
does not run: nobody knows what its caller was told. It is refused as unconfirmed. A client that was
only cut off finds the refusal, and sends the request again if the method is idempotent or the call
has a key.
"""

from __future__ import annotations

from collections.abc import Callable

from leveret.errors import CallError
from leveret.server.calls.life import Event, Holding, Life, ServerCall, State
from leveret.server.calls.outcome import unconfirmed
from leveret.transport.deadlines import Deadlines
from leveret.wire.message import Notice, NoticeKind
from leveret.wire.timing import CONFIRM_WITHIN


class Asking:
    """Asks the callers of one method.

    :param answer_to: the routing key of the control exchange by which answers come in.
    :param idempotent: whether running a call twice does no harm.
    :param admit: finds a place for a call.
    :param fail: answers a call that ends without a task.
    :param forget: drops a call that another server will get.
    """

    def __init__(
        self,
        life: Life,
        deadlines: Deadlines[ServerCall],
        *,
        answer_to: str,
        idempotent: bool,
        admit: Callable[[ServerCall], None],
        fail: Callable[[ServerCall, CallError], None],
        forget: Callable[[ServerCall], None],
    ) -> None:
        self._life = life
        self._clock = life.clock
        self._deadlines = deadlines
        self._answer_to = answer_to
        self._idempotent = idempotent
        self._admit = admit
        self._fail = fail
        self._forget = forget

    def ask(self, call: ServerCall) -> bool:
        """Ask the caller whether it still waits; False if its dialect has no such question."""
        question = self._question(call)
        if not question:
            return False
        call.tick = self._deadlines.add(call.arrived + self._patience(call) / 2, call)
        self._life.fire(call, Event.ASK)
        call.source.answers.reply(question)
        return True

    def ask_again(self, call: ServerCall) -> None:
        """The request of a call that is asked about came again: ask again."""
        call.source.answers.reply(self._question(call))

    def confirmed(self, call: ServerCall) -> None:
        """The caller of a call still waits: run it."""
        if call.state is not State.ASKED:
            return
        self._life.fire(call, Event.CONFIRMED)
        self._deadlines.discard(call.tick, call)
        call.tick = self._deadlines.add(call.ends, call)
        self._admit(call)

    def unanswered(self, call: ServerCall) -> None:
        """The caller of a call that is asked about has not answered so far."""
        now = self._clock()
        if not call.asked_twice and now < call.ends:
            call.asked_twice = True
            if call.holding is not Holding.DETACHED:
                self.ask_again(call)
            call.tick = self._deadlines.add(min(now + self._patience(call) / 2, call.ends), call)
        elif call.holding is Holding.DETACHED:
            self._life.fire(call, Event.UNCONFIRMED)
            self._forget(call)  # whoever gets its request next asks its caller
        elif self._idempotent and call.incoming.stage > 1 and call.ends > now:
            # Its client cannot send it again, and says of no later stage that it has not run.
            self.confirmed(call)
        else:
            self._life.fire(call, Event.UNCONFIRMED)
            self._fail(call, unconfirmed())

    def _patience(self, call: ServerCall) -> float:
        """Seconds in which its caller must answer."""
        return min(CONFIRM_WITHIN, call.ends - call.arrived)

    def _question(self, call: ServerCall) -> bytes:
        notice = Notice(kind=NoticeKind.CONFIRM, answer_to=self._answer_to)
        return call.source.answers.packer.notice(call.incoming, notice)
