"""Passes the result of a pipe's stage on, as the arguments of the next stage instead of a reply.

The server that ran a stage does not have the contract of the next one. So the request says which
parameter takes the result, and in which content type.

The broker's answer to the request of the next stage decides what the caller hears of this one:

    taken       nothing: the next stage goes on from here, and this server acknowledges its request
    unrouted    it is published again for a moment, as the server of a deleted queue declares it
                anew; then `Unimplemented`
    refused     `Busy`: the queue of the next stage is full
    unknown     the channel ended. The request is published again where a second one does no harm;
                else `MaybeExecuted`
    unsent      there was no channel; it is published as soon as there is one
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

import msgspec

from leveret.amqp.frames import published
from leveret.backoff import Backoff
from leveret.body_parts import Body
from leveret.codec import ENCODE_ERRORS, MethodCodec, argument_codec
from leveret.contract import MethodSpec
from leveret.errors import (
    Busy,
    CallError,
    DeadlineExceeded,
    InvalidResult,
    MaybeExecuted,
    Unimplemented,
)
from leveret.server.calls.intake import may_have_run
from leveret.server.calls.life import Answer, Event, Life, ServerCall, Stop
from leveret.server.calls.next_requests import Fate
from leveret.server.calls.replies import Replies
from leveret.wire.error_texts import safe_str
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.message import Next, Notice, NoticeKind, Stage
from leveret.wire.timing import DECLARED_AGAIN_WITHIN

log = logging.getLogger("leveret.server")

Publish = Callable[[bytes, Next], Awaitable[Fate]]
"""`NextRequests.publish`."""

_RESULT: Final = "result"
_CODECS: Final = 64
"""For how many next stages a method keeps the encoder of its result."""
_MOST_TRIES: Final = 8
"""How often a request is published if its channel ends each time. With the pauses that is for at
least 3 s: a request that ends its channel by itself is to do so seldom, as others have it too."""
_ANSWERED_WITHIN: Final = 5.0
"""Seconds after which the broker counts as silent about the next request of a started call."""
_PAUSES: Final = Backoff(first=0.05, most=1.0)
"""The pauses, in seconds, between two attempts."""


class Passing:
    """Passes on the results of one method.

    :param publish: publishes the request of the next stage, and returns the outcome.
    :param passed: is told of each call whose next stage the broker has, with the notice of it.
    :param draining: whether the server takes no more requests.
    """

    def __init__(
        self,
        spec: MethodSpec,
        life: Life,
        replies: Replies,
        publish: Publish,
        passed: Callable[[ServerCall, bytes], None],
        draining: Callable[[], bool],
    ) -> None:
        self._spec = spec
        self._life = life
        self._clock = life.clock
        self._replies = replies
        self._publish = publish
        self._passed = passed
        self._draining = draining
        self._codecs: dict[tuple[str, str], tuple[MethodCodec, type[msgspec.Struct]]] = {}

    async def pass_on(self, call: ServerCall, reply: bytes, *, again: bool) -> bytes:
        """Pass on the result of a call that has ended; return the frames of its reply.

        :param reply: the frames of its outcome. An error is not passed on.
        :param again: whether its result was recorded before, and may have been passed on.
        """
        properties, body = published(reply)
        is_over = call.answer is Answer.GIVEN or call.stop in {Stop.DEADLINE, Stop.CALLER}
        if properties.type != _RESULT or is_over:
            return reply
        self._life.fire(call, Event.FORWARD)
        stage = call.incoming.then[0]
        try:
            arguments = self._arguments(stage, properties.content_type, body)
        except ENCODE_ERRORS as error:
            return self._unfit(call, stage, error)
        return await self._publish_next(call, stage, arguments, again=again)

    def fitting(self, call: ServerCall, reply: bytes) -> bytes:
        """The reply to record for a started call.

        It is an error if the next stage cannot take the result, as nobody could be told later.
        """
        properties, body = published(reply)
        if properties.type != _RESULT:
            return reply
        stage = call.incoming.then[0]
        try:
            self._arguments(stage, properties.content_type, body)
        except ENCODE_ERRORS as error:
            return self._unfit(call, stage, error)
        return reply

    async def pass_on_started(self, call: ServerCall, reply: bytes, *, again: bool) -> bool:
        """Pass on the recorded result of a started call, however long that takes.

        No caller waits who could be told of a queue that is full or missing. So the request is
        acknowledged only once the broker has the next one.

        :param reply: the frames of its outcome. An error is not passed on.
        :param again: as in `pass_on`.
        :returns: False if its request must go back to the broker, as this server stops.
        """
        properties, body = published(reply)
        if properties.type != _RESULT:
            return True
        self._life.fire(call, Event.FORWARD)
        stage = call.incoming.then[0]
        arguments = self._arguments(stage, properties.content_type, body)
        resent = again or may_have_run(call.incoming)
        for attempt in count(1):
            left = call.incoming.deadline - time.time()
            if left <= 0:
                return True  # its time is over, and it is forgotten
            request = self._next(call, arguments, left, resent=resent)
            if await self._fate(b"", request, min(left, _ANSWERED_WITHIN)) is Fate.TAKEN:
                return True
            if self._draining():
                return False
            resent = True
            await asyncio.sleep(_PAUSES.pause(attempt))
        raise AssertionError("count ends")

    def _unfit(self, call: ServerCall, stage: Stage, error: Exception) -> bytes:
        """The reply to a call whose result the next stage cannot take."""
        why = f"its result cannot be passed on to {stage.method}: {safe_str(error)}"
        log.error("%s: %s", shown(call), why, extra=fields_of(call))
        return self._replies.error(call, InvalidResult(why))

    def _arguments(self, stage: Stage, content_type: str | None, body: bytes) -> Body:
        """Encode the arguments of the next stage."""
        result = self._replies.codec(content_type).decode_result(body)
        kept = self._codecs.get((stage.argument, stage.content_type))
        if kept is None:
            kept = argument_codec(stage.argument, stage.content_type, self._spec.result)
            if len(self._codecs) >= _CODECS:
                self._codecs.clear()
            self._codecs[stage.argument, stage.content_type] = kept
        codec, arguments = kept
        return codec.encode_arguments(arguments(result))

    async def _publish_next(
        self, call: ServerCall, stage: Stage, arguments: Body, *, again: bool
    ) -> bytes:
        packer = call.source.answers.packer
        notice = packer.notice(call.incoming, Notice(kind=NoticeKind.PASSED))
        try:
            failure = await self._sent(call, stage, arguments, notice, again=again)
        except (TypeError, ValueError) as error:  # headers that only their sender could pack
            return self._replies.error(
                call, InvalidResult(f"its result cannot be passed on to {stage.method}: {error}")
            )
        if failure is None:
            self._passed(call, notice)
            return notice
        log.warning(
            "%s: %s has not had its result: %s",
            *(shown(call), stage.method, failure.message),
            extra=fields_of(call),
        )
        return self._replies.error_of_next(call, failure)

    async def _sent(
        self, call: ServerCall, stage: Stage, arguments: Body, notice: bytes, *, again: bool
    ) -> CallError | None:
        """Publish the next request; return why the broker does not have it, if it does not."""
        began = self._clock()
        tries = 0
        resent = again or may_have_run(call.incoming)
        while (left := call.ends - self._clock()) > 0:
            request = self._next(call, arguments, left, resent=resent)
            tries += 1
            match await self._fate(notice, request, left):
                case Fate.TAKEN:
                    return None
                case Fate.REFUSED:
                    return Busy("the broker refused its request: its queue is full")
                case Fate.UNROUTED:
                    waited = self._clock() - began
                    if waited > DECLARED_AGAIN_WITHIN and not call.incoming.waits:
                        return _unrouted(stage)
                case Fate.UNKNOWN | Fate.UNSENT as fate:
                    is_unknown = fate is Fate.UNKNOWN
                    if (is_unknown and not stage.repeatable) or tries >= _MOST_TRIES:
                        return MaybeExecuted(
                            "the channel of its request ended before the broker confirmed it"
                        )
                    resent = resent or is_unknown
            await asyncio.sleep(_PAUSES.pause(tries))
        return DeadlineExceeded(
            "the deadline passed before the broker had its request",
            where="unknown" if tries else "queue",
        )

    def _next(self, call: ServerCall, arguments: Body, seconds: float, *, resent: bool) -> Next:
        return Next(
            request=call.incoming,
            body=arguments,
            seconds=seconds,
            user=call.user,
            own_user=call.source.answers.own_user,
            resent=resent,
        )

    async def _fate(self, notice: bytes, request: Next, timeout: float) -> Fate:
        """Publish a request once."""
        try:
            async with asyncio.timeout(timeout):
                return await self._publish(notice, request)
        except TimeoutError:
            return Fate.UNKNOWN


def _unrouted(stage: Stage) -> Unimplemented:
    return Unimplemented(
        f"there is no such method on this broker (NO_ROUTE): {stage.method} has no queue. Is the"
        " name right, and was its server ever started?"
    )
