"""The oracle: makes calls, and judges each by the promise, from what the handlers really did.

The promise: every call ends by its deadline plus 100 ms with a result or a typed error whose
`executed` is true to what happened; no idempotent call is lost while servers and brokers come back
within its deadline; no other call's handler runs twice. And no handler begins when the deadline is
over.

A call is late only if the loop came to a timer that was due at the last moment, and to what follows
from it, before the call ended: the meter of the loop's lag does not see all of it.

What the loop itself was late is measured and allowed for. `judgement` has the rules.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self, TypedDict, Unpack

from leveret import Rabbit
from tests.faults.diary import Diary, Entry
from tests.faults.judgement import LATE, Call, Judge, Verdict, told
from tests.faults.lag import LagMeter
from tests.faults.work import Work, answer_to

log = logging.getLogger("leveret.tests.faults")

_HUNG: Final = 5.0
"""Seconds after its deadline at which the oracle waits no longer."""
_LATEST: Final = 0.5
"""Seconds after its deadline at which a request cannot begin to run any more."""
_PASSES: Final = 6
"""Passes of the loop in which a call ends that a timer of its client ends: the timer, the future,
the task; a few more where several requests race."""


class Details(TypedDict, total=False):
    """How a call may be made."""

    seconds: float
    """For how long its handler works."""
    padding: int
    """Bytes of its request."""
    reply: int
    """Bytes of its reply."""
    kept: bool
    """Whether it must have a result, and waits for a server; by default idempotent calls do."""
    service: type[Work]
    options: dict[str, Any]
    """As for `with_options`."""


class How(Details):
    """How a call is made."""

    idempotent: bool
    timeout: float
    """Seconds."""


class Oracle:
    """Makes calls to `Work` and judges them; one for a scenario. Use it with `async with`."""

    def __init__(self, diary: Diary) -> None:
        self.diary = diary
        self.faults = 0
        """How many faults the scenario caused; it counts them itself."""
        self.lag = LagMeter()
        self._loop = asyncio.get_running_loop()
        self._calls: list[Call] = []
        self._names = map("".join, zip(itertools.repeat(f"{secrets.token_hex(2)}-"), _words()))
        self._remotes: dict[object, Work] = {}
        self._tasks: set[asyncio.Task[Call]] = set()

    async def __aenter__(self) -> Self:
        self.lag.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.lag.__exit__(kind, error, traceback)

    # -- calls ----------------------------------------------------------------------------------

    async def call(self, rabbit: Rabbit, **how: Unpack[How]) -> Call:
        """Make one call, and return it when it has ended."""
        return await self._make(self._note(how), rabbit, how)

    def begin(self, rabbit: Rabbit, **how: Unpack[How]) -> asyncio.Task[Call]:
        """The same in a task that the oracle owns."""
        task = asyncio.create_task(self._make(self._note(how), rabbit, how))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _note(self, how: How) -> Call:
        idempotent = how["idempotent"]
        kept = how.get("kept", idempotent)
        details = f"{how.get('service', Work).__name__} {how.get('options', {})}"
        now = self._loop.time()
        call = Call(next(self._names), idempotent, how["timeout"], kept, details, now)
        self._calls.append(call)
        return call

    async def _make(self, call: Call, rabbit: Rabbit, how: How) -> Call:
        remote = self._remote(rabbit, call, how)
        method = remote.again if call.idempotent else remote.once
        reply = how.get("reply", 0)
        call.began = self._loop.time()
        last_moment = self._loop.call_at(
            call.began + call.timeout + LATE, self._pass, call, _PASSES
        )
        try:
            async with asyncio.timeout(call.timeout + _HUNG):
                result = await method(
                    call.key, how.get("seconds", 0.0), "x" * how.get("padding", 0), reply
                )
            call.right = result == answer_to(call.key, reply)
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        except Exception as error:
            call.error = error
        finally:
            call.ended = self._loop.time()
            last_moment.cancel()
        return call

    def _pass(self, call: Call, passes: int) -> None:
        """The last moment has come for a call to end. Whatever is due takes so many passes."""
        if call.ended:
            return
        if passes:
            self._loop.call_soon(self._pass, call, passes - 1)
        else:
            call.overdue = True

    def _remote(self, rabbit: Rabbit, call: Call, how: How) -> Work:
        """Kept, as users keep theirs: to make one takes as long as ten calls."""
        options = {"wait_for_server": call.kept, **how.get("options", {})}
        service = how.get("service", Work)
        key = (rabbit, service, call.timeout, *sorted(options.items()))
        remote = self._remotes.get(key)
        if remote is None:
            remote = rabbit.remote(service).with_options(timeout=call.timeout, **options)
            self._remotes[key] = remote
        return remote

    async def handlers_began(self) -> None:
        """Wait until the handlers of all calls have begun, but of those that have ended."""
        while waiting := [call for call in self._calls if not call.ended]:
            began = self.diary.read()
            if all(call.key in began for call in waiting):
                return
            await asyncio.sleep(0.005)

    async def ended(self) -> None:
        """Wait until all calls that were begun have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # -- the judgement --------------------------------------------------------------------------

    async def verdict(self) -> Verdict:
        """Wait until nothing that was said not to have run can begin any more, and judge."""
        await self.ended()
        unrun = [call for call in self._calls if told(call) == "no"]
        last = max((call.began + call.timeout + _LATEST for call in unrun), default=0.0)
        await asyncio.sleep(max(0.0, last - self._loop.time()))
        await self.handlers_ended()
        return self._judge(self.diary.read())

    async def fair(self) -> Verdict:
        """Judge, and fail the test if the promise was not kept."""
        verdict = await self.verdict()
        log.info("%s", verdict)
        assert verdict.kept, f"the promise was not kept: {verdict}"
        return verdict

    async def handlers_ended(self) -> None:
        """Those of servers that were killed never say so; 2 s are for the others."""
        for _ in range(20):
            if not any(entry.runs_now for entry in self.diary.read().values()):
                return
            await asyncio.sleep(0.1)

    def _judge(self, diary: dict[str, Entry]) -> Verdict:
        on_its_clock = time.time() - self._loop.time()
        for entry in diary.values():
            entry.began = [when - on_its_clock for when in entry.began]
        judge = Judge(lambda _, start, end: self.lag.between(start, end))
        return judge.verdict(self._calls, diary, self.faults)


def _words() -> Iterable[str]:
    """Keys that differ in more than one character: a falsified one is nobody else's."""
    return (f"{n:x}{n * 7 % 997:03d}" for n in itertools.count(1))
