"""Asks the servers of a service that take started calls about these calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from leveret.client.calls.inquiries import Inquiry
from leveret.errors import Busy, CallError, InvalidResult, NoServer, Unimplemented
from leveret.wire.control import INFO
from leveret.wire.server_answers import ServerAnswer, read_answer
from leveret.wire.started import STARTED, Standing, StartedQuestion, read_standing

_SILENT: Final = 2.0
"""Seconds after which a server that should have answered counts as gone."""
_WITHDRAWN: Final = 0.25
"""Seconds to wait until a server has heard that a request does not come."""
_SETTLED: Final = 0.1
"""Seconds without another answer after which all servers count as having answered."""
_ASKED_EVERY: Final = 1.0
"""Seconds between two questions while no server answers."""
_TRIED_EVERY: Final = 0.25
"""Seconds between two questions while there is no server."""
_KEPT: Final = 1_000
"""The number of methods whose servers are remembered."""


class Inquirer(Protocol):
    """What this file needs of the client."""

    def inquiry(
        self, word: str, key: str, *, wait_for_connection: bool = True, body: bytes = b""
    ) -> Inquiry:
        """A question to the servers under a routing key."""
        ...


class StartedServers:
    """Asks servers about started calls: one of them, and the next if the first is silent.

    :param client_here: gives the client of the running event loop.
    """

    def __init__(self, client_here: Callable[[], Inquirer]) -> None:
        self._client_here = client_here
        self._instances: dict[str, list[str]] = {}
        """For each method, the servers that have it, of those that answered last."""

    async def ask(self, question: StartedQuestion, timeout: float) -> Standing:
        """A server's answer about a call.

        :param timeout: seconds that this may take.
        :raises NoServer: if no server answers in time.
        :raises Unimplemented: if not all servers of the service take started calls.
        :raises Busy: if the server that answers cannot use its store.
        :raises CallError: if none can be asked.
        """
        try:
            return await self._ask(question, timeout)
        except CallError as error:
            error.method = question.method  # not the key that the question was sent with
            raise

    async def _ask(self, question: StartedQuestion, timeout: float) -> Standing:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout
        service = question.method.partition(".")[0]
        body = msgspec.json.encode(question)
        silent: NoServer | None = None
        while True:
            instances = self._instances.get(question.method)
            if instances is None:
                instances = await self._found(service, question.method, give_up, silent)
            key = service
            if question.ask != "cancel":  # any server may have the call that is to end
                key = f"{service}.{random.choice(instances)}"
            left = give_up - loop.time()
            answer = await self._answer(key, body, left, question.wait + _SILENT)
            if answer is not None:
                return _standing(answer, question.method)
            self._instances.pop(question.method, None)
            silent = _silent(len(instances), timeout, question.method)
            if loop.time() >= give_up:
                raise silent

    async def withdraw(self, question: StartedQuestion, timeout: float) -> None:
        """Tell a server that the request which it was to expect does not come, if it hears that.

        :param timeout: seconds that this may take; it never takes long.
        """
        service = question.method.partition(".")[0]
        instances = self._instances.get(question.method)
        if instances:
            key = f"{service}.{random.choice(instances)}"
            seconds = min(timeout, _WITHDRAWN)
            with suppress(CallError):
                await self._answer(key, msgspec.json.encode(question), seconds, seconds)

    async def ask_at(self, instance: str, question: StartedQuestion) -> Standing | None:
        """One server's answer about a call; None if it is silent.

        :raises CallError: if it cannot be asked, or cannot use its store.
        """
        key = f"{question.method.partition('.')[0]}.{instance}"
        answer = await self._answer(key, msgspec.json.encode(question), _SILENT, _SILENT)
        return None if answer is None else _standing(answer, question.method)

    async def _answer(self, key: str, body: bytes, timeout: float, patience: float) -> bytes | None:
        """The first answer to a question; None if there is none.

        :param timeout: seconds within which the question must be sent.
        :param patience: seconds to wait for the answer.
        """
        with self._client_here().inquiry(STARTED, key, body=body) as inquiry:
            left = await inquiry.ask(timeout)
            await inquiry.news(min(left, patience))
        return inquiry.answers[0] if inquiry.answers else None

    async def _found(
        self, service: str, method: str, give_up: float, silent: NoServer | None
    ) -> list[str]:
        """The instances that have a method, all of which take started calls.

        Others of the service, as of an older version, would leave a question unanswered.

        :param silent: what to raise if servers are there and none answers.
        """
        loop = asyncio.get_running_loop()
        while True:
            answers = await self._answers(service, method, give_up, silent)
            having = [answer for answer in answers if _has(answer, service, method)]
            if having:
                break
            silent = _without(len({answer.instance for answer in answers}), method)
            left = give_up - loop.time()
            if left <= 0:
                raise silent
            await asyncio.sleep(min(left, _ASKED_EVERY))
        unable = [answer for answer in having if not answer.starts]
        if unable:
            raise _unable(unable, method)
        instances = list({answer.instance for answer in having})
        if len(self._instances) >= _KEPT:
            self._instances.clear()
        self._instances[method] = instances
        return instances

    async def _answers(
        self, service: str, method: str, give_up: float, silent: NoServer | None
    ) -> list[ServerAnswer]:
        """What the servers of a service say of themselves; there is at least one."""
        loop = asyncio.get_running_loop()
        with self._client_here().inquiry(INFO, service) as inquiry:
            while not inquiry.answers:
                left = give_up - loop.time()
                if left <= 0:
                    if silent is not None and not inquiry.is_unbound:
                        raise silent
                    raise NoServer("there is no server that could take the call", method=method)
                left = await inquiry.ask(left)
                await inquiry.news(min(left, _ASKED_EVERY))
                if inquiry.is_unbound and not inquiry.answers:
                    await inquiry.news(min(left, _TRIED_EVERY))
            while await inquiry.news(_SETTLED):
                pass
        try:
            return [read_answer(body) for body in inquiry.answers]
        except ValueError as error:
            raise InvalidResult(
                f"the answer of a server cannot be read: {error}", method=method, executed="no"
            ) from error


def _has(answer: ServerAnswer, service: str, method: str) -> bool:
    """Whether a server has a method; so it is taken, if it does not tell its methods."""
    told = answer.schemas.get(service)
    return told is None or method.partition(".")[2] in told["methods"]


def _without(servers: int, method: str) -> NoServer:
    service = method.partition(".")[0]
    return NoServer(
        f"none of the servers of {service!r} that are there ({servers}) has this method: do they"
        " run another version?",
        method=method,
    )


def _unable(servers: list[ServerAnswer], method: str) -> Unimplemented:
    names = ", ".join(server.name or server.instance for server in servers[:3])
    # Those of before 0.2.0, which may not know started calls, do not know calls for all either.
    version = (
        "" if all(server.calls_for_all for server in servers) else ", by Leveret 0.2.0 or newer"
    )
    return Unimplemented(
        f"not all of its servers can remember started calls ({names}): serve with a store that"
        " outlives them, as once='sqlite:///path' (`leveret serve --once sqlite:///path`), Redis or"
        f" PostgreSQL{version}",
        method=method,
        executed="no",
    )


def _silent(servers: int, seconds: float, method: str) -> NoServer:
    return NoServer(
        f"none of its {servers} servers answered in {seconds:.3g} s about a started call: can they"
        " reach their store of keys? Their log says so",
        method=method,
    )


def _standing(body: bytes, method: str) -> Standing:
    try:
        standing = read_standing(body)
    except ValueError as error:
        raise InvalidResult(
            f"the answer of a server cannot be read: {error}", method=method
        ) from error
    if standing.state == "refused":
        raise Busy(
            "the server's store of idempotency keys cannot be used; try again later, or see the"
            " server's log",
            retry_after=1.0,
            executed="no",
            method=method,
        )
    return standing
