"""Asks callers whether they still wait, before their calls are run.

The caller of a request that was there before this server may have been told that no server listens.
Another server may have answered the caller of a request that it had, and lost its connection before
its acknowledgement was read. Usually the answer was a refusal, which says that the handler did not
run.

A caller that does not answer is asked a second time: a question or an answer is lost with the
connection that breaks under it, and the client is back by then. If it says nothing again, the call
does not run: nobody knows what its caller was told. It is refused as unconfirmed. A client that was
only cut off finds the refusal, and sends the request again if the method is idempotent, or if the
call has a key and another server may have run it. Such a refusal is not kept to be sent once more:
the client would take it for that of the request which it has sent again. If it is lost, the client
finds out that nobody has the call.
"""

from __future__ import annotations

from collections.abc import Callable

from leveret.errors import CallError
from leveret.server.calls.life import Event, Holding, Life, ServerCall, State
from leveret.server.calls.outcome import may_run_elsewhere, unconfirmed
from leveret.transport.deadlines import Deadlines
from leveret.wire.message import Notice, NoticeKind
from leveret.wire.timing import CONFIRM_WITHIN


class Asking:
    """Asks the callers of one method.

    :param answer_to: the routing key of the control exchange by which answers come in.
    :param idempotent: whether running a call twice does no harm.
    :param keyed: whether each call has a key.
    :param admit: finds a place for a call.
    :param fail: answers a call that ends without a task.
    :param remove: takes a call out of the table.
    :param forget: drops a call that another server will get.
    """

    def __init__(
        self,
        life: Life,
        deadlines: Deadlines[ServerCall],
        *,
        answer_to: str,
        idempotent: bool,
        keyed: bool,
        admit: Callable[[ServerCall], None],
        fail: Callable[[ServerCall, CallError], None],
        forget: Callable[[ServerCall], None],
        remove: Callable[[ServerCall], None],
    ) -> None:
        self._life = life
        self._clock = life.clock
        self._deadlines = deadlines
        self._answer_to = answer_to
        self._idempotent = idempotent
        self._keyed = keyed
        self._admit = admit
        self._fail = fail
        self._forget = forget
        self._remove = remove

    def ask(self, call: ServerCall) -> bool:
        """Ask the caller whether it still waits; False if its dialect has no such question."""
        question = self._question(call)
        if not question:
            return False
        self._wait(call, call.arrived)
        self._life.fire(call, Event.ASK)
        call.source.answers.reply(question)
        return True

    def ask_again(self, call: ServerCall) -> None:
        """The request of a call that is asked about came again: ask again, on this channel."""
        self._deadlines.discard(call.tick, call)
        call.asked_twice = False
        self._wait(call, self._clock())
        call.source.answers.reply(self._question(call))

    def confirmed(self, call: ServerCall) -> None:
        """The caller of a call still waits: run it."""
        if call.state is not State.ASKED or call.told is not None:
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
                call.source.answers.reply(self._question(call))
            self._wait(call, now)
        elif call.holding is Holding.DETACHED:
            self._life.fire(call, Event.UNCONFIRMED)
            self._forget(call)  # whoever gets its request next asks its caller
        elif self._idempotent and call.incoming.stage > 1 and call.ends > now:
            # Its client cannot send it again, and says of no later stage that it has not run.
            self.confirmed(call)
        else:
            self._life.fire(call, Event.UNCONFIRMED)
            if self._idempotent or (self._has_key(call) and may_run_elsewhere(call)):
                self._remove(call)
                call.name = ""
            self._fail(call, unconfirmed())

    def _wait(self, call: ServerCall, now: float) -> None:
        """Wait for the answer to one of two questions.

        A client that was not heard must have the time to send its request again, if it may.
        """
        left = call.ends - now
        if self._idempotent or self._has_key(call):
            left /= 2
        call.tick = self._deadlines.add(now + min(CONFIRM_WITHIN, left) / 2, call)

    def _has_key(self, call: ServerCall) -> bool:
        return self._keyed or call.incoming.idempotency_key is not None

    def _question(self, call: ServerCall) -> bytes:
        notice = Notice(kind=NoticeKind.CONFIRM, answer_to=self._answer_to)
        return call.source.answers.packer.notice(call.incoming, notice)
