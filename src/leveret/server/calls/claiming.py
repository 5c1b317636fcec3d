"""Claims the key of a call in the store, or finds the reply if the call must not run.

A call with a key runs only if it gets the claim. Otherwise there is a reply: the recorded one, or
an error, as another server has begun it or the store does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec import Struct

from leveret.errors import Busy, CallError
from leveret.server.calls.life import ServerCall, Stop
from leveret.server.calls.once_calls import Claim, OnceCalls, unusable
from leveret.server.calls.replies import Replies
from leveret.wire.log_fields import fields_of, shown

__all__ = ["Claiming", "NotRun"]

log = logging.getLogger("leveret.server")


class NotRun(Struct, frozen=True, kw_only=True):
    """Why a call with a key is not run."""

    reply: bytes
    """The frames of its reply."""
    recorded: bool = False
    """Whether that is what was recorded for its key."""
    unknown: bool = False
    """Whether the store failed, so that nobody knows whether it was run."""


class Claiming:
    """Claims the keys of the calls of one method.

    :param clock: a clock in seconds that never jumps.
    :param stopped: the error of a call that was stopped.
    """

    def __init__(
        self,
        once: OnceCalls,
        replies: Replies,
        clock: Callable[[], float],
        *,
        stopped: Callable[[ServerCall], CallError],
    ) -> None:
        self._once = once
        self._replies = replies
        self._clock = clock
        self._stopped = stopped

    async def claim(self, call: ServerCall, key: str) -> Claim | NotRun:
        """The claim of a key, or the reply if the call must not run."""
        try:
            if call.stop is not Stop.NONE:
                raise asyncio.CancelledError
            found = await self._once.begin(call, key)
            if not isinstance(found, Claim):
                return NotRun(reply=self._replies.recorded(call, found), recorded=True)
            if call.stop is Stop.NONE:
                return found
            await found.settle(call, b"", call.ends - self._clock(), ran=False)
        except CallError as error:
            if isinstance(error, Busy):
                return self._unknown(call, error)
            return NotRun(reply=self._replies.error(call, error))
        except asyncio.CancelledError:
            pass
        except Exception as error:
            log.error(
                "%s: the store of idempotency keys failed",
                shown(call),
                exc_info=error,
                extra=fields_of(call),
            )
            return self._unknown(call, unusable("maybe"))
        return NotRun(reply=self._replies.error(call, self._stopped(call)))

    def _unknown(self, call: ServerCall, error: CallError) -> NotRun:
        """The outcome of a call about which the store could not tell."""
        reply = b"" if call.one_way else self._replies.error(call, error)  # it has not failed
        return NotRun(reply=reply, unknown=True)

    async def put_back(self, call: ServerCall, found: NotRun) -> bool:
        """Whether a call that nobody waits for, and that is not run, goes back to the broker.

        Otherwise the store has noted why a started call is not run.
        """
        try:
            if not found.unknown:
                return not await self._once.refuse(call, b"" if found.recorded else found.reply)
            await self._once.wait_while_away()
        except asyncio.CancelledError:
            pass  # this server stops: another one sees to it
        return True
