"""Sends the reply to the caller and settles the request at the broker when a call ends.

The channel of a reply may be gone, and the server never knows whether a reply arrives. So it keeps
replies (`kept_replies.py`) for requests that are redelivered and callers that ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from leveret.amqp.frames import body_size
from leveret.contract import MethodSpec
from leveret.server.calls.call_stream import CallStream
from leveret.server.calls.intake import may_be_copied, times_delivered
from leveret.server.calls.kept_replies import RecordStore, doubted
from leveret.server.calls.life import (
    Answer,
    Ending,
    Holding,
    HoldingEvent,
    Life,
    ServerCall,
    Source,
    ending,
)
from leveret.server.calls.way_back import Settle
from leveret.wire.message import Incoming

# What each call comes by: Python 3.11 takes five times as long to find a member of an Enum.
_HELD: Final = Holding.HELD
_SETTLED: Final = Holding.SETTLED
_GIVEN: Final = Answer.GIVEN


class Settling:
    """Answers the calls of one method, and settles their requests.

    :param remove: takes a call out of the table.
    :param discard: takes a call out of its bucket in the wheel of deadlines.
    :param user_of: the user whose request it is, as far as a server with a given user may believe.
    :param reply_elsewhere: sends a reply whose own channel is gone, if another one is there.
    :param keep_failed: keeps the request of a one-way call that failed, and then acknowledges it.
    """

    def __init__(
        self,
        spec: MethodSpec,
        life: Life,
        kept: RecordStore,
        *,
        remove: Callable[[ServerCall], None],
        discard: Callable[[int, ServerCall], None],
        user_of: Callable[[Incoming, str], str],
        reply_elsewhere: Callable[[bytes], None],
        keep_failed: Callable[[ServerCall], None],
    ) -> None:
        self._keep_failed = keep_failed
        self._spec = spec
        self._life = life
        self._clock = life.clock
        self._kept = kept
        self._remove = remove
        self._discard = discard
        self._user_of = user_of
        self._reply_elsewhere = reply_elsewhere
        self._sources: dict[str, Source] = {}

    def attached(self, source: Source) -> None:
        """Replies can be sent again: send those that could not be sent before."""
        self._sources[source.queue] = source
        for name, frames in self._kept.unacked(source.queue):
            source.answers.repeat(name, frames)

    def channel_lost(self, queue: str) -> None:
        """A channel has ended, and the last replies on it may be lost."""
        self._kept.doubt(queue)

    def finish(self, call: ServerCall, reply: bytes, *, back: bool = False) -> bool:
        """Answer and settle a call that has ended, as `life.ENDINGS` says.

        :param back: whether another server is to run it.
        :returns: False if its reply waits for the socket; only then will its place be free.
        """
        self._remove(call)
        self._discard(call.tick, call)
        source = call.source
        if back or call.dead_letter or call.holding is not _HELD:
            if call.stream is not None and call.entered:
                return self._finish_stream(call.stream, call, reply)
            return self._finish_otherwise(call, reply, back=back)
        call.holding = _SETTLED
        source.finished += 1
        if call.answer is _GIVEN:
            return source.answers.finish(call, b"")
        call.answer = _GIVEN
        answers = source.answers
        if call.name and answers.remembers and (reply or call.one_way):  # as in `_remember`
            self._kept.add_sent(source.queue, call.name, reply)
        return answers.finish(call, reply)

    def _finish_otherwise(self, call: ServerCall, reply: bytes, *, back: bool) -> bool:
        """Settle a call that another server must run, or whose request is elsewhere."""
        source = call.source
        if call.dead_letter and not back:
            source.finished += 1
            call.answer = Answer.GIVEN
            if call.holding is _HELD:  # else whoever gets it next sees to it
                self._life.move(call, HoldingEvent.SETTLED)
                if not self.kept(call):
                    source.answers.settle(call.tag, Settle.REJECT)
            return True
        match ending(call, back=back):
            case Ending.REQUEUE:
                self._life.move(call, HoldingEvent.SETTLED)
                source.answers.settle(call.tag, Settle.REQUEUE)
            case Ending.HAND_BACK:
                self._life.move(call, HoldingEvent.SETTLED)
                self.hand_back(call.incoming, source, call.ends - self._clock())
            case Ending.KEEP:
                reply = doubted(reply)  # it may have been packed before the channel ended
                source.finished += 1
                call.answer = Answer.GIVEN
                self.keep(call, reply)
                self._remember(call, reply)
                if source.answers.is_open:
                    source.answers.reply(reply)
                else:
                    self._reply_elsewhere(reply)
            case Ending.ANSWER:
                self._life.move(call, HoldingEvent.SETTLED)
                source.finished += 1
                return source.answers.finish(call, b"")
            case Ending.DROP:
                source.finished += 1
        return True

    def kept(self, call: ServerCall) -> bool:
        """Keep the request of a one-way call that failed; False if it must not be kept."""
        if not (call.one_way and call.dead_letter and call.source.keeps_failed):
            return False
        self._keep_failed(call)
        return True

    def _finish_stream(self, stream: CallStream, call: ServerCall, reply: bytes) -> bool:
        """End a stream. Its request was acknowledged long ago, or the broker has it."""
        call.source.finished += 1
        if call.answer is not _GIVEN:
            call.answer = _GIVEN
            if not stream.has_results:
                self._remember(call, reply)
            stream.finish(reply, self._clock())
        return True

    def forget(self, call: ServerCall) -> None:
        """Drop a call without an answer."""
        self._remove(call)
        self._discard(call.tick, call)

    def answer(self, call: ServerCall, reply: bytes) -> None:
        """Answer a call that is owed a reply and has not ended; its later outcome is dropped."""
        call.answer = Answer.GIVEN
        if call.stream is not None and call.entered:
            stream = call.stream
            if not stream.has_results:
                self._remember(call, reply)
            stream.finish(reply, self._clock())
        elif not call.dead_letter:
            call.answer_size = body_size(reply)
            self._remember(call, reply)
            call.source.answers.reply(reply)

    def acknowledge(self, call: ServerCall) -> None:
        """Acknowledge the request of a call that has not ended."""
        if call.holding is _HELD:
            self._life.move(call, HoldingEvent.SETTLED)
            call.source.answers.settle(call.tag, Settle.ACK)

    def passed(self, call: ServerCall, notice: bytes) -> None:
        """The broker has the next stage of a pipe: keep the notice of it for those who ask."""
        call.answer = Answer.GIVEN
        self._remember(call, notice)
        if call.holding is not _HELD:  # its request comes again, perhaps to this server
            self.keep(call, notice)

    def hand_back(self, request: Incoming, source: Source, seconds: float) -> None:
        """Hand back a request that was not begun; as redelivered if there is no other way.

        A copy does not count as redelivered. So the copy of a redelivered request says how often it
        was delivered.

        :param seconds: what is left of its time.
        """
        answers = source.answers
        if request.started is not None:  # the time of its handler is not that of its request
            seconds = request.deadline - time.time()
        if may_be_copied(request, self._spec, seconds, confirmed=answers.confirms):
            user = self._user_of(request, answers.own_user)
            times = times_delivered(request, self._spec)[0] if request.redelivered else None
            if answers.hand_back(request, seconds, user, times):
                return
        answers.settle(request.delivery.delivery_tag, Settle.REQUEUE)

    # -- replies that are kept ---------------------------------------------------------------------

    def _remember(self, call: ServerCall, reply: bytes) -> None:
        """A reply is sent. It is not known whether it arrives."""
        if call.name and (reply or call.one_way) and call.source.answers.remembers:
            self._kept.add_sent(call.source.queue, call.name, reply)

    def keep(self, call: ServerCall, reply: bytes) -> None:
        """A reply could not be sent, or its request could not be acknowledged."""
        if call.name and (reply or call.one_way):
            self._kept.add_unacked(call.source.queue, call.name, reply, call.ends)

    def repeat(self, queue: str, name: str, frames: bytes) -> bool:
        """Send a reply once more; False if its queue is not one of this method's."""
        source = self._sources.get(queue)
        if source is None:
            return False
        source.answers.repeat(name, frames)
        return True
