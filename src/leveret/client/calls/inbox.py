"""Turns each message of the reply queue, and each returned request, into one event of a call.

Replies and notices come to the reply queue, and so do requests that the broker gave up ("bounces").
A request that has no queue is returned on the channel instead.

A message is for the call whose id is its correlation id, and is read in the dialect of that call.
The id comes first: a bounce of one dialect can look like a reply of another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from leveret.amqp.events import Content, Delivery
from leveret.client.calls.life import MOST_RESENDS, OUT, Act, Event, Fire, Pending, State
from leveret.client.calls.route import HEARD_EVERY
from leveret.client.calls.stages import judged
from leveret.errors import LeveretError
from leveret.wire.dialect import ClientDialect
from leveret.wire.failures import executed_if_unconfirmed
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.message import Bounce, Notice, NoticeKind, Reply, StageReply
from leveret.wire.stream_messages import Closing, Credited, End, Item, Sign, StreamMessage

log = logging.getLogger("leveret.client")

_NOTICES: Final = {
    NoticeKind.WAITS: Event.WAITS,
    NoticeKind.RUNS: Event.RUNS,
    NoticeKind.PROGRESS: Event.RUNS,
    NoticeKind.CONFIRM: Event.CONFIRM,
}


class Inbox:
    """Gives each message to its call, and drops messages for unknown calls.

    :param get: gives the call with an id; None if it has ended.
    :param replied: gives a reply to its call.
    :param streamed: takes a message of a stream.
    :param gathered: takes an answer to a call that all servers were asked to run, by the call's id;
        False if there is no such call.
    :param answered: takes the answer to a question of this client, by the question's name; False if
        there is no such question.
    :param confirm: tells a server, which listens under a key, whether a caller still waits:
        `confirm(key, call_id, waits)`.
    :param passed: told of each call that reaches a later stage of its pipe, and the stage's number.
    :param acknowledge: tells a server that the end of a stream has come whose call has ended here:
        `acknowledge(server, call_id, number)`. Otherwise it would be sent again and again.
    :param default_dialect: the dialect of messages that name no call.
    :param on_late: told of each message that is for no call.
    """

    def __init__(
        self,
        *,
        get: Callable[[str], Pending | None],
        replied: Callable[[Pending, Reply], None],
        streamed: Callable[[Pending, StreamMessage], None],
        fire: Fire,
        time: Callable[[], float],
        gathered: Callable[[str, Delivery], bool],
        answered: Callable[[str, bytes], bool],
        confirm: Callable[[str, str, bool], None],
        passed: Callable[[Pending, int], None],
        acknowledge: Callable[[str, str, int], None],
        default_dialect: ClientDialect,
        on_late: Callable[[], None] = lambda: None,
    ) -> None:
        self.late = 0
        """How many messages were for no open call: they were late, repeated or forged."""
        self._get = get
        self._replied = replied
        self._streamed = streamed
        self._fire = fire
        self._time = time
        self._gathered = gathered
        self._answered = answered
        self._confirm = confirm
        self._passed = passed
        self._acknowledge = acknowledge
        self._default_dialect = default_dialect
        self._on_late = on_late

    def on_delivery(self, delivery: Delivery) -> None:
        """Take a message of the reply queue."""
        call = self._get(delivery.properties.correlation_id or "")
        if call is None:
            self._for_no_call(delivery)
            return
        request = call.request
        message = request.read(delivery)
        if type(message) is Reply:
            now = self._time()
            route = request.route
            if now - route.server_seen_at > HEARD_EVERY:
                route.heard(now)
            if not (message.is_error and self._is_unheard(call, message)):
                self._replied(call, message)
        elif type(message) is Item:
            self._streamed(call, message)
        elif isinstance(message, StageReply):
            self._stage_ended(call, message)
        elif isinstance(message, (Notice, Bounce)):
            if not self._is_past(call, message.stage):
                self._goes_on(call, message)
        elif not isinstance(message, Reply):
            self._of_a_stream(call, message)

    def _of_a_stream(self, call: Pending, message: StreamMessage) -> None:
        """Take a message of a stream that is no item."""
        error = message.reply if isinstance(message, Closing) else None
        if error is None or not (error.is_error and self._is_unheard(call, error)):
            self._streamed(call, message)

    def _goes_on(self, call: Pending, message: Notice | Bounce) -> None:
        """Take a message that is not a reply: a notice, a question, a bounce."""
        if isinstance(message, Bounce):
            self._bounced(call, message)
        elif message.kind is NoticeKind.PASSED:
            pass  # it is at its stage by now, and that is all
        elif self._fire(call, _NOTICES[message.kind]) is Act.SAY_WAITS:
            # With our answer its handler may begin.
            self._confirm(message.answer_to, call.id, True)
        elif message.progress is not None and call.listener is not None:
            call.listener.heard(message.progress)

    def _is_unheard(self, call: Pending, error: Reply) -> bool:
        """Whether a server refused a call as it did not hear that its caller waits.

        Its client was cut off, or slow. The request goes out again, if that does no harm. Where
        only its key makes that so, a server that does not share its store would refuse the second
        one in doubt. So a call with a key that nobody has run ends with the refusal.
        """
        request = call.request
        executed = executed_if_unconfirmed(error.body) if request.repeatable else None
        if executed is None or (request.needs_key and executed == "no"):
            return False
        if call.resends >= MOST_RESENDS and call.state in OUT:
            return call.state is State.RUNNING  # by another request, whose server will answer
        if self._fire(call, Event.UNHEARD) is Act.PUBLISH_LATER_DOUBTFUL:
            log.info(
                "%s: a server did not hear whether its caller waits; sending the request again",
                shown(call),
                extra=fields_of(call),
            )
        return True

    def _is_past(self, call: Pending, stage: int) -> bool:
        """Whether a call is past a stage of its pipe. A call that has not reached it has now."""
        at = call.request.stage
        if at < stage <= len(call.request.stages):
            self._passed(call, stage)
        return 0 < stage < at

    def _stage_ended(self, call: Pending, reply: StageReply) -> None:
        if not call.request.stage:  # a header that nobody asked for
            self._replied(call, reply)
            return
        if self._is_past(call, reply.stage):
            return
        request = call.request
        request.route.heard(self._time())
        if reply.stage <= 1 and reply.is_error and self._is_unheard(call, reply):
            return
        last, method = len(request.stages), request.route.key
        self._replied(call, judged(reply, stage=request.stage, last=last, method=method))

    def on_return(self, content: Content) -> None:
        """The broker returned a request, as it has no queue for it."""
        call = self._get(content.properties.correlation_id or "")
        if call is not None:
            call.body = content.body  # to send it again, which does no harm
            call.request = call.request.first
            self._fire(call, Event.NO_ROUTE)

    def _for_no_call(self, delivery: Delivery) -> None:
        name = delivery.properties.correlation_id or ""
        if self._gathered(name, delivery) or self._answered(name, delivery.body or b""):
            return
        message = self._default_dialect.read_stream(delivery)
        if isinstance(message, Notice):
            if message.kind is NoticeKind.CONFIRM:
                self._confirm(message.answer_to, name, False)
            return
        if isinstance(message, (Sign, Credited)):
            return
        self.late += 1
        self._on_late()
        if isinstance(message, (End, Closing)) and message.server:
            self._acknowledge(message.server, name, message.n + 1)

    def _bounced(self, call: Pending, bounce: Bounce) -> None:
        """The broker dead-lettered a request."""
        if bounce.reason == "maxlen" and bounce.has_original:
            return  # only a copy found no place: its server keeps the request
        if bounce.attempts or bounce.is_copy:
            call.doubt()  # a server had it, and died; or handed it back, and may have died then
        if bounce.reason == "expired":
            self._fire(call, Event.EXPIRY)
        elif bounce.reason != "maxlen":
            cause = LeveretError(f"dead-lettered: {bounce.reason or 'no reason given'}")
            self._fire(call, Event.REJECTED, cause)
        elif bounce.attempts and call.request.repeatable:
            self._fire(call, Event.FULL_AGAIN)
        else:
            self._fire(call, Event.FULL)
