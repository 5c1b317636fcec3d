"""Requests with an idempotency key: run once, and answered from the recorded reply after that.

The key is the caller's own (`with_options(idempotency_key=...)`), or, for a method declared with
`once=True`, the call id. `leveret.once` has the stores. What a store says of a key decides:

    begun        run the handler, record its reply, send it
    recorded     send the recorded reply
    taken        another runs it at this moment: wait for its record
    abandoned    another began it and died: `MaybeExecuted`; an idempotent method is run again

The owner of a claim names the server, the attempt and the hash of the arguments:
`<instance>.<number>.<hash>`. All stores keep it with claim and record, so a key that comes
again with other arguments is refused with every store. Claims of older versions have no hash.

A store that only this server sees cannot know what other servers ran. So a request that may have
been run elsewhere, as it was delivered before or is marked `resent`, is run only where the store is
shared, or knows the key.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from itertools import count
from typing import Final
from urllib.parse import quote

from leveret.amqp.frames import published
from leveret.codec import ENCODE_ERRORS, ArgumentsHash
from leveret.contract import MethodSpec
from leveret.errors import (
    Busy,
    DeadlineExceeded,
    Executed,
    InvalidArgument,
    MaybeExecuted,
)
from leveret.once import (
    MAX_KEY,
    UNANSWERED,
    Abandoned,
    Begun,
    LastingStore,
    OnceStore,
    OnceUnavailable,
    Outcome,
    Recorded,
    Taken,
)
from leveret.server.calls.life import ServerCall
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.message import Incoming

log = logging.getLogger("leveret.server")

KEEP: Final = 24 * 3600.0
"""Seconds for which the reply for a key is remembered."""
SAME: Final = "same"
"""The `kind` of the note that a started call is the same as another one, with its key and
arguments."""
_STORE_AWAY: Final = 1.0
"""Seconds for which a server keeps a call that nobody waits for, and that it can neither claim nor
refuse, as the store fails."""
_NOTE: Final = "note"
"""The owner of what is noted of a start. Servers may refuse copies of its request at the same time,
for the same reason: none of them waits for another one, which may die."""
_HASH: Final = 64
"""The length of a hash of arguments."""
_MARK: Final = 16
"""The length of the text that stands for a call id."""
_PARTS: Final = 4
"""The parts of the owner of a started call's claim: instance, attempt, call id and arguments."""
_SPARE: Final = 5.0
"""Seconds by which a claim outlives the call's deadline, at which its handler is cancelled."""


def name_in_store(method: str, user: str, key: str, *about: str) -> str:
    """The name of a key in the store. The same key of another user has another name.

    :param about: what else is noted of a started call with this key.
    """
    return _named(" ".join((*about, f"{method} {quote(user, safe='')} {key}")))


def _named(name: str) -> str:
    """A name, or a hash in its place if it is too long for a store."""
    encoded = name.encode("utf-8", "surrogatepass")
    return hashlib.sha256(encoded).hexdigest() if len(encoded) > MAX_KEY else name


def mark_of(call_id: str) -> str:
    """The text that stands for a call id in the owner of a started call's claim."""
    return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]


def was_begun_by(owner: str, call_id: str) -> bool:
    """Whether a claim is that of a started call's own request, by the claim's owner.

    An owner without a hash of arguments claimed the key for any call that has it.
    """
    parts = owner.split(".")
    return len(parts[-1]) != _HASH or mark_of(call_id) in parts[2:-1]


def _is_another_start(request: Incoming, owner: str) -> bool:
    """Whether a request need not wait for the end of another started call with its key.

    The other request is still at its server, and is redelivered if the server dies. But a request
    that was at a server before may be that one itself.
    """
    is_new = not request.redelivered and not request.attempts
    is_started = len(owner.split(".")) == _PARTS
    return (
        request.started is not None
        and is_new
        and is_started
        and not was_begun_by(owner, request.call_id)
    )


class Claim:
    """This server's claim of one key. `settle` ends it.

    :param keep: seconds for which the reply is remembered.
    """

    def __init__(self, store: OnceStore, key: str, owner: str, keep: float) -> None:
        self.key = key
        self.keep = keep
        self.owner = owner
        self._store = store

    async def settle(self, call: ServerCall, reply: bytes, remaining: float, *, ran: bool) -> bool:
        """Record the reply, or forget the claim if the handler did not run.

        It never raises, and takes no longer than the claim holds. It returns whether the store has
        done it.

        :param reply: the frames of the reply.
        :param remaining: seconds until the call's deadline.
        """
        try:
            async with asyncio.timeout(max(remaining, 0) + _SPARE):
                if ran:
                    await self._store.finish(
                        self.key, owner=self.owner, recorded=_record(reply), keep=self.keep
                    )
                else:
                    await self._store.release(self.key, owner=self.owner)
                return True
        except Exception as error:  # noqa: BLE001 - `_tell` logs it
            _tell(call, "the reply for its key", error)
        return False


class OnceCalls:
    """The keys of one method, in the store of its server."""

    def __init__(
        self, store: OnceStore, spec: MethodSpec, instance: str, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._spec = spec
        self._instance = instance
        self._clock = clock
        self._attempts = count()
        self._hash: ArgumentsHash | None = None

    def key(self, request: Incoming, user: str) -> str | None:
        """The key of a request in the store; None if it has none.

        :param user: whose request it is; each user has keys of its own.
        """
        if request.for_all:
            return None
        given = self.given(request)
        if given is None:
            return None
        if not user and request.on_behalf_of is not None:
            # Nobody knows whose it is. By whom it was passed on, and for whom, keeps users apart.
            whose = f"{quote(request.user, safe='')}>{quote(request.on_behalf_of, safe='')}"
            return _named(f"{self._spec.key} {whose} {given}")
        return name_in_store(self._spec.key, user, given)

    @property
    def lasts(self) -> bool:
        """Whether its store outlives this server, as started calls need."""
        return isinstance(self._store, LastingStore)

    async def refuse(self, call: ServerCall, reply: bytes) -> bool:
        """Note why a started call is not run: its caller can ask for that by its call id.

        :param reply: the frames of its reply; b"" if it is answered by the record of its key.
        :returns: False if its request must go back to the broker, as the store fails, or a server
            of an older version is about to note it.
        """
        key, keep = call.incoming.idempotency_key or "", call.incoming.started or KEEP
        name = name_in_store(self._spec.key, call.user, key, "refused", call.incoming.call_id)
        note = _record(reply) if reply else Recorded(kind=SAME, content_type="", body=b"")
        try:
            async with asyncio.timeout(_SPARE):
                found = await self._store.begin(
                    name, owner=_NOTE, lease=_SPARE, keep=keep, takeover=True
                )
                is_noted = isinstance(found, Recorded) or await self._store.finish(
                    name, owner=_NOTE, recorded=note, keep=keep
                )
        except Exception as error:  # noqa: BLE001 - `_tell` logs it
            _tell(call, "why it is not run", error)
            is_noted = isinstance(error, ValueError)  # which says that it cannot have such a name
        if not is_noted:
            await self.wait_while_away()
        return is_noted

    async def wait_while_away(self) -> None:
        """Wait before a request goes back as the store fails, as it would come again at once."""
        await asyncio.sleep(_STORE_AWAY)

    def given(self, request: Incoming) -> str | None:
        """The key of a request as its caller knows it; None if it has none."""
        if request.idempotency_key is not None:
            return request.idempotency_key
        if not self._spec.once:
            return None
        given = f"/{request.call_id}"
        if request.reply_to is not None:
            given = f"{request.reply_to.key}/{request.call_id}"
        elif not request.call_id:
            return None
        # A method may be a stage of one pipe twice.
        return f"{given}/{request.stage}" if request.stage else given

    async def begin(self, call: ServerCall, key: str) -> Claim | Recorded:
        """Claim a key, or find its recorded reply.

        :raises CallError: why the request must not run, and has no reply either.
        """
        arguments = self._hash_of(call)
        owner = self._owner(call, arguments)
        elsewhere = call.incoming.redelivered or call.incoming.resent
        executed: Executed = "no"
        while True:
            remaining = self._remaining(call)
            if remaining <= 0:
                raise DeadlineExceeded(
                    "the deadline passed while the server waited for the key of this call",
                    where="queue",
                    executed=executed,
                )
            claim = Claim(self._store, key, owner, call.incoming.started or KEEP)
            try:
                outcome = await self._begin(claim, call, remaining, arguments)
                match outcome:
                    case Begun():
                        if elsewhere and not (self._store.shared or self._spec.idempotent):
                            await claim.settle(call, b"", remaining, ran=False)
                            raise _doubt("this request was sent before, perhaps to another server")
                        return claim
                    case Recorded():
                        return outcome
                    case Abandoned():
                        raise _doubt("a server began this request and did not end it")
                executed = "maybe"  # another runs it
                recorded = await self._store.wait(key, remaining)
            except OnceUnavailable as error:
                log.error("%s: %s", shown(call), error, extra=fields_of(call))
                raise unusable(executed) from error
            except ValueError as error:
                raise InvalidArgument(f"the idempotency key cannot be used: {error}") from error
            if recorded is not None:
                _check_arguments(recorded, arguments)
                return recorded

    def _remaining(self, call: ServerCall) -> float:
        """The seconds that a call has left; if nobody waits for it, they begin with its claim."""
        if not call.incoming.is_awaited:
            return self._spec.timeout
        return call.ends - self._clock()

    def _owner(self, call: ServerCall, arguments: str) -> str:
        """The owner of this call's claim."""
        parts = [self._instance, str(next(self._attempts))]
        if call.incoming.started is not None:
            parts.append(mark_of(call.incoming.call_id))
        return ".".join((*parts, arguments) if arguments else parts)

    def _hash_of(self, call: ServerCall) -> str:
        """The hash of a call's arguments; "" if its key is the call id, or there is none."""
        if call.incoming.idempotency_key is None or call.arguments is None:
            return ""
        if self._hash is None:
            self._hash = ArgumentsHash(self._spec.parameters)
        try:
            return self._hash.of(call.arguments)
        except ENCODE_ERRORS as error:
            log.warning(
                "%s: its arguments cannot be compared with those of calls with the same key: %s",
                *(shown(call), error),
                extra=fields_of(call),
            )
            return ""

    async def _begin(
        self, claim: Claim, call: ServerCall, remaining: float, arguments: str
    ) -> Outcome:
        """The store's answer about a key. No claim is left behind if nobody waits for it any more.

        :raises InvalidArgument: if the key was used with other arguments.
        """
        try:
            outcome = await self._store_begin(claim, remaining, takeover=False)
            _check_arguments(outcome, arguments)
            if isinstance(outcome, Abandoned) and self._spec.idempotent:
                outcome = await self._store_begin(claim, remaining, takeover=True)
                _check_arguments(outcome, arguments)
        except asyncio.CancelledError:
            await claim.settle(call, b"", remaining, ran=False)
            raise
        if (
            isinstance(outcome, Taken)
            and _is_another_start(call.incoming, outcome.owner)
            and not await self._is_expected(call)
        ):
            return Recorded(kind=SAME, content_type="", body=b"")
        return outcome

    async def _is_expected(self, call: ServerCall) -> bool:
        """Whether a started call is the one of its key that counts.

        It is where one before it was cancelled. The request of that one is settled, so no server
        runs it again if the server dies that has claimed the key.
        """
        request = call.incoming
        name = name_in_store(self._spec.key, call.user, request.idempotency_key or "", "started")
        store = self._store
        found = await store.look(name) if isinstance(store, LastingStore) else None
        return isinstance(found, Taken) and found.owner == request.call_id

    async def _store_begin(self, claim: Claim, remaining: float, *, takeover: bool) -> Outcome:
        return await self._store.begin(
            claim.key,
            owner=claim.owner,
            lease=remaining + _SPARE,
            keep=claim.keep,
            takeover=takeover,
        )


def unusable(executed: Executed) -> Busy:
    """The error for a store that fails. It tells neither the store's address nor its error."""
    return Busy(
        "the server's store of idempotency keys cannot be used, so requests with such keys are not"
        " run; try again later, or see the server's log",
        retry_after=1.0,
        executed=executed,
    )


def _check_arguments(outcome: Outcome, arguments: str) -> None:
    """:raises InvalidArgument: if the key was used with arguments that have another hash."""
    if isinstance(outcome, Begun) or not arguments:
        return
    others = outcome.owner.rpartition(".")[2]
    if len(others) == len(arguments) and others != arguments:
        raise InvalidArgument(
            "the idempotency key was used for a call with other arguments; a key stands for one"
            " call, so give this one another key"
        )


def _tell(call: ServerCall, what: str, error: Exception) -> None:
    """Log that the store has not recorded something; with a traceback if it is its own fault."""
    is_told = isinstance(error, OnceUnavailable | ValueError | TimeoutError)
    why = (str(error) or "the store does not answer") if is_told else "the store failed"
    log.error(
        "%s: %s is not recorded: %s",
        *(shown(call), what, why),
        exc_info=None if is_told else error,
        extra=fields_of(call),
    )


def _doubt(reason: str) -> MaybeExecuted:
    return MaybeExecuted(f"{reason}; the method is not idempotent, so it is not run again")


def _record(reply: bytes) -> Recorded:
    if not reply:
        return Recorded(kind=UNANSWERED, content_type="", body=b"")
    properties, body = published(reply)
    metadata = (properties.headers or {}).get("metadata")
    return Recorded(
        kind=properties.type or "",
        content_type=properties.content_type or "",
        body=body,
        metadata=metadata,
    )
