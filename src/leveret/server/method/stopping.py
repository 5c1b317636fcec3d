"""Stops calls before their handlers end: at their deadline, for their caller, or for a drain.

`calls/life.py` says what a stop means in each state; that is carried out here.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from leveret.contract import MethodSpec
from leveret.server.calls.life import Act, Event, Holding, ServerCall, State, Stop
from leveret.server.calls.outcome import stopped
from leveret.server.calls.replies import Replies
from leveret.server.calls.settling import Settling
from leveret.server.method.ends import Ends
from leveret.server.method.shared import Shared
from leveret.server.streams.stream import ServerStream


class Stopping:
    """Stops the calls of one method.

    :param in_thread: whether its handlers run in threads, which cannot be stopped.
    :param wait_no_longer: takes a call out of the queue for a place, if it is there.
    :param record_cut_off: is given the seconds that a call had run when it was cut off.
    """

    def __init__(
        self,
        spec: MethodSpec,
        shared: Shared,
        replies: Replies,
        settling: Settling,
        ends: Ends,
        *,
        in_thread: bool,
        wait_no_longer: Callable[[ServerCall], None],
        record_cut_off: Callable[[float], None],
    ) -> None:
        self._spec = spec
        self._life = shared.life
        self._clock = shared.life.clock
        self._early = shared.early_cancels
        self._replies = replies
        self._settling = settling
        self._ends = ends
        self._in_thread = in_thread
        self._wait_no_longer = wait_no_longer
        self._record_cut_off = record_cut_off

    def stop(self, call: ServerCall, why: Stop) -> None:
        """End a call before its handler does. Only the first reason counts.

        Past its deadline the caller is answered at once. The handler is cancelled; one in a thread
        cannot be, so its place stays taken until it returns.
        """
        before, detached = call.state, call.holding is Holding.DETACHED
        act = self._life.stop(call, why)
        if act is Act.NONE:
            return
        error = stopped(call, before, in_thread=self._in_thread)
        match act:
            case Act.FAIL if detached:
                # Its request is the broker's: another server may have it by now.
                self._ends.forget(call)
                if why is Stop.CALLER:
                    self._early.add(call.key, call.ends - self._clock())
            case Act.FAIL:
                self._wait_no_longer(call)
                self._ends.fail(call, error)
            case Act.HAND_BACK if call.incoming.for_all:
                self._wait_no_longer(call)
                self._ends.fail(call, error)
            case Act.HAND_BACK:
                self._ends.forget(call)
                if not detached:
                    self._hand_back(call, before)
            case Act.ANSWER | Act.ANSWER_CANCEL:
                if call.stream is None:
                    self._record_cut_off(self._clock() - call.started)
                self._ends.answer(call, error)
        self._cut_off(call, act)

    def _hand_back(self, call: ServerCall, before: State) -> None:
        request = call.incoming
        if before is State.ASKED and call.told is None:  # nobody has said that its caller waits
            request = structs.replace(request, old=True)
        self._settling.hand_back(request, call.source, call.ends - self._clock())

    def _cut_off(self, call: ServerCall, act: Act) -> None:
        """Cancel the task of a stopped call, where that is possible."""
        if call.stream is not None:
            call.stream.stop()
        unstoppable = self._in_thread and call.state is State.RUNNING
        if act in {Act.CANCEL, Act.ANSWER_CANCEL} and call.task is not None and not unstoppable:
            call.task.cancel()

    def abandon(self, call: ServerCall) -> None:
        """Stop waiting for a handler that does not end, but tell its caller.

        An idempotent call is left to another server: the broker redelivers it when the channel
        ends.
        """
        self.stop(call, Stop.DRAIN)  # if it came while all others were stopped
        if call.state is State.ENDED:
            return
        if call.state is State.PASSING and call.task is not None:
            call.task.cancel()  # it has no handler that may refuse to end
        error = stopped(call, call.state, in_thread=self._in_thread)
        self._life.fire(call, Event.ABANDON)
        if call.streams and isinstance(call.stream, ServerStream) and call.stream.has_results:
            self._ends.finish(call, self._replies.moved(call, call.stream))
        elif self._spec.idempotent and not call.incoming.for_all and not call.streams:
            self._ends.forget(call)
        else:
            self._ends.fail(call, error)
