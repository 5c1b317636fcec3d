"""Answers questions about started calls, from the store of keys, never from a handler.

A started call has up to four entries in the store, by its key:

    its own      claim and record, as of any call with a key: it runs, or has run
    "started"    claimed by the call id of its request, before that is sent: it is expected
    "again"      claimed by the call id of another request with the key, expected after that one
    "refused"    with the call id: why its request is not run, as that of another call with the key
                 and the same arguments was ("same"), or as it was refused

So a call is *waiting* if it is expected, and neither runs nor has ended, and *unknown* if it is not
expected either. Any server of the method can answer: all see the same store. Waiting for the end of
a call takes neither a place nor a handler.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from itertools import count
from math import inf
from typing import Final, Protocol

import msgspec
from msgspec import structs

from leveret.backoff import Backoff
from leveret.contract import MethodSpec, Progress
from leveret.errors import CallError, Cancelled, Executed, MaybeExecuted
from leveret.once import (
    LARGE,
    Abandoned,
    Begun,
    LastingStore,
    OnceStore,
    OnceUnavailable,
    Recorded,
    Taken,
)
from leveret.server.calls.once_calls import KEEP, SAME, name_in_store, was_begun_by
from leveret.wire.control import AboutStarted
from leveret.wire.failures import encode_failure
from leveret.wire.message import ReplyAddress
from leveret.wire.started import LONGEST_WAIT, Standing, StartedQuestion, StateOfStarted

log = logging.getLogger("leveret.server")

_MOST: Final = 1_000
"""How many questions are answered at a time; callers without an answer ask again."""
_LOOKS: Final = Backoff(first=0.02, most=0.5, growth=1.5, jitter=0.3)
"""Seconds between two checks of a call that has not begun."""
_ABANDONED: Final = (
    "a server began this call and did not end it; the method is not idempotent, so it is not run"
    " again"
)
_SPARE: Final = 60.0
"""Seconds for which an entry outlives its time."""


class StartsCalls(Protocol):
    """What serves one method."""

    @property
    def spec(self) -> MethodSpec:
        """The method."""
        ...

    def cancel_started(self, name: str) -> bool:
        """Cancel a started call by its name in the store; False if it is not here."""
        ...

    def progress_of_started(self, name: str) -> Progress | None:
        """The last progress report of a started call that runs here; None if there is none."""
        ...


Answer = Callable[[ReplyAddress, str, bytes], None]
"""Sends an answer, if that is possible at once: `answer(reply_to, correlation_id, body)`."""


class StartedCalls:
    """Answers for the started calls of one server's methods.

    :param store: the server's store; if it does not outlive the server, all questions are refused.
    :param methods: what serves each method, by "service.method".
    :param largest: gives the bytes of the largest answer that the broker takes, as far as is known.
    """

    def __init__(
        self,
        store: OnceStore,
        instance: str,
        methods: Mapping[str, StartsCalls],
        answer: Answer,
        loop: asyncio.AbstractEventLoop,
        *,
        largest: Callable[[], float] = lambda: inf,
    ) -> None:
        self._largest = largest
        self._store = store if isinstance(store, LastingStore) else None
        self._instance = instance
        self._methods = methods
        self._answer = answer
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._attempts = count()
        self._is_closed = False

    @property
    def are_taken(self) -> bool:
        """Whether this server takes started calls."""
        return self._store is not None

    def asked(self, about: AboutStarted) -> None:
        """Answer a question in a task of its own."""
        method = self._methods.get(about.question.method)
        if self._is_closed or method is None or self._store is None or len(self._tasks) >= _MOST:
            return  # others answer, or who asks asks again
        task = self._loop.create_task(self._tell(about, method, self._store))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop answering."""
        self._is_closed = True
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _tell(self, about: AboutStarted, method: StartsCalls, store: LastingStore) -> None:
        call = _Call(self._instance, method.spec, about.user, about.question, store)
        try:
            standing = await self._standing(call, method)
        except (OnceUnavailable, ValueError) as error:
            log.error("%s: a started call cannot be looked up: %s", method.spec.key, error)
            standing = call.standing("refused", body=str(error).encode("utf-8", "replace"))
        body = msgspec.msgpack.encode(standing)
        if len(body) > self._largest():
            size = b"%d" % len(standing.body)
            standing = structs.replace(standing, kind=LARGE, body=size, metadata=None)
            body = msgspec.msgpack.encode(standing)
        self._answer(about.reply_to, about.correlation_id, body)

    async def _standing(self, call: _Call, method: StartsCalls) -> Standing:
        match call.question.ask:
            case "expect":
                return await call.expect()
            case "withdraw":
                return await call.withdraw()
            case "cancel":
                if method.cancel_started(call.name):
                    return call.standing("running", runs_at=self._instance)
                await call.cancel(f"{self._instance}.cancel{next(self._attempts)}")
                return await call.look()
            case "look":
                standing = await call.end(min(call.question.wait, LONGEST_WAIT))
                if standing.state != "running" or standing.runs_at != self._instance:
                    return standing
                progress = method.progress_of_started(call.name) or Progress()
                return structs.replace(standing, fraction=progress.fraction, text=progress.text)


class _Call:
    """One started call that a question is about."""

    def __init__(
        self,
        instance: str,
        spec: MethodSpec,
        user: str,
        question: StartedQuestion,
        store: LastingStore,
    ) -> None:
        self.question = question
        self.name = name_in_store(spec.key, user, question.key)
        self._instance = instance
        self._spec = spec
        self._user = user
        self._store = store
        self._expected = self._about("started")
        self._expected_again = self._about("started", "again")

    def _about(self, *what: str) -> str:
        return name_in_store(self._spec.key, self._user, self.question.key, *what)

    def standing(self, state: StateOfStarted, *, runs_at: str = "", body: bytes = b"") -> Standing:
        """An answer about a call that is not done."""
        return Standing(instance=self._instance, state=state, runs_at=runs_at, body=body)

    async def expect(self) -> Standing:
        """Note that a request with this key is about to be sent."""
        start, keep = self.question.start, self.question.keep
        found = await self._claim(self._expected, start, keep)
        if isinstance(found, Taken):
            if await self._refused(found.owner) is not None:
                await self._store.release(self._expected, owner=found.owner)
            else:
                await self._claim(self._expected_again, start, keep)
            await self._claim(self._expected, start, keep)  # the other may be withdrawn meanwhile
        return self.standing("waiting", runs_at=start)

    async def withdraw(self) -> Standing:
        """Expect a request no more: it was not sent, or the broker did not take it.

        Where another with the key was expected meanwhile, that one still is.
        """
        if await self._other_expected() is None:
            await self._store.release(self._expected, owner=self.question.start)
            other = await self._other_expected()
            if other is not None:
                await self._claim(self._expected, other.owner, other.remaining)
        return await self.look()

    async def _other_expected(self) -> Taken | None:
        found = await self._store.look(self._expected_again)
        return found if isinstance(found, Taken) else None

    async def _claim(self, name: str, owner: str, seconds: float) -> object:
        return await self._store.begin(name, owner=owner, lease=seconds, keep=_SPARE, takeover=True)

    async def look(self) -> Standing:
        """The state of the call at this moment."""
        start = self.question.start
        noted = await self._refused(start)
        if noted is not None and noted.kind != SAME:
            return self._done(noted)
        found = await self._store.look(self.name)
        match found:
            case Recorded() if start and noted is None and not was_begun_by(found.owner, start):
                return self.standing("waiting")  # for a server to compare its arguments
            case Recorded():
                return self._done(found)
            case Taken():
                return self.standing("running", runs_at=found.owner.partition(".")[0])
            case Abandoned() if not self._spec.idempotent:
                return self._done(_recorded(MaybeExecuted(_ABANDONED)))
        return await self._look_before(found)

    async def _look_before(self, begun: Abandoned | None) -> Standing:
        """The state of a call that no server has.

        :param begun: the claim of a server that had it, and died.
        """
        expected = await self._store.look(self._expected)
        if not isinstance(expected, Taken):
            return self.standing("unknown" if begun is None else "waiting")
        other = await self._other_expected()
        if other is not None and begun is not None and _is_of(other, begun, before=expected):
            expected, other = other, None  # it had the key; the first was refused for that
        noted = await self._refused(expected.owner)
        if noted is None or noted.kind == SAME:
            return self.standing("waiting")
        if other is not None and await self._refused(other.owner) is None:
            return self.standing("waiting")
        return self._done(noted)

    async def end(self, seconds: float) -> Standing:
        """The state of the call once it has ended, or after this number of seconds."""
        give_up = time.monotonic() + seconds
        for attempt in count(1):
            standing = await self.look()
            left = give_up - time.monotonic()
            if standing.state in {"done", "unknown"} or left <= 0:
                return standing
            if standing.state == "running":
                await self._store.wait(self.name, left)
            else:
                await asyncio.sleep(min(_LOOKS.pause(attempt), left))
        raise AssertionError("count ends")

    async def cancel(self, owner: str) -> None:
        """Cancel a call that no server has.

        A call of an idempotent method may have begun: a server that stops releases its key.
        """
        if (await self.look()).state != "waiting":
            return
        claimed = await self._store.begin(self.name, owner=owner, lease=_SPARE, keep=KEEP)
        if isinstance(claimed, Begun):
            executed: Executed = "maybe" if self._spec.idempotent else "no"
            error = Cancelled("the call was cancelled while no server had it", executed=executed)
            recorded = _recorded(error)
            await self._store.finish(self.name, owner=owner, recorded=recorded, keep=KEEP)

    async def _refused(self, call_id: str) -> Recorded | None:
        if not call_id:
            return None
        found = await self._store.look(self._about("refused", call_id))
        return found if isinstance(found, Recorded) else None

    def _done(self, recorded: Recorded) -> Standing:
        return Standing(
            instance=self._instance,
            state="done",
            kind=recorded.kind,
            content_type=recorded.content_type,
            body=recorded.body,
            metadata=recorded.metadata,
        )


def _is_of(start: Taken, claim: Abandoned, *, before: Taken) -> bool:
    """Whether a claim is of the second of two starts with one key."""
    return not was_begun_by(claim.owner, before.owner) and was_begun_by(claim.owner, start.owner)


def _recorded(error: CallError) -> Recorded:
    return Recorded(kind="error", content_type="application/json", body=encode_failure(error))
