"""Asks all servers, or those of a service, about themselves, and says how many did not answer.

Nobody keeps a list of servers. But the broker counts the consumers of a queue, and each server
names a queue for each of its services. So once the answers become rare, the client probes these
queues. It waits as long as a queue has more consumers than servers have answered, and asks again
where the broker counts more of them than before: who has just started did not get the question.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from leveret.client.calls.inquiries import Inquiry
from leveret.client.totals import MethodTotals, totals
from leveret.contract import Service, usable_spec_of
from leveret.contract.limits import check_service_name
from leveret.errors import CallError, ContractError, InvalidArgument, PermissionDenied
from leveret.wire.control import CALLS, DRAIN, PING, STATS, STOP
from leveret.wire.stats import (
    ServerCalls,
    ServerDraining,
    ServerIdentity,
    ServerStats,
    ServerStopped,
    read_as,
)

__all__ = [
    "Pong",
    "StatsSurvey",
    "Survey",
    "ask_calls",
    "ask_drain",
    "ask_ping",
    "ask_servers",
    "ask_stats",
    "ask_stop",
]

log = logging.getLogger("leveret.client")

ALL: Final = "all"
"""The routing key of every server."""
_MOST: Final = 5_000
"""How many answers are read at most. A server answers each time that it is asked."""
_SETTLED: Final = 0.15
"""Seconds without another answer after which the client probes the queues."""
_COUNTED_WITHIN: Final = 1.0
"""Seconds that the broker has to count the consumers of a queue."""

A = TypeVar("A")
I = TypeVar("I", bound=ServerIdentity)  # noqa: E741 - an identity


class Surveyor(Protocol):
    """What this file needs of the client."""

    def inquiry(
        self,
        word: str,
        key: str,
        *,
        wait_for_connection: bool = True,
        body: bytes = b"",
        most: int = 100,
    ) -> Inquiry:
        """A question to the servers under a routing key."""
        ...

    async def count_servers(self, queue: str, seconds: float) -> int | None:
        """How many servers consume a queue, by the broker's count; None if it does not say."""
        ...


class Survey(Struct, Generic[A], frozen=True, kw_only=True):
    """The answers of servers about themselves, and how many servers did not answer."""

    servers: list[A]
    """The answers, by service, name and instance."""
    missing: dict[str, int]
    """By service, how many of its servers did not answer, by the broker's count of consumers."""
    uncounted: tuple[str, ...] = ()
    """The services of which the broker did not say in time how many servers there are."""

    @property
    def is_complete(self) -> bool:
        """Whether all servers that the broker counts have answered, and it has counted them."""
        return not (self.missing or self.uncounted)


class StatsSurvey(Survey[ServerStats], frozen=True, kw_only=True):
    """The statistics of servers, and how many servers did not answer."""

    def methods(self) -> dict[str, MethodTotals]:
        """By method, the sums over the servers that answered."""
        return totals(self.servers)


class Pong(Struct, frozen=True, kw_only=True):
    """A server's answer to a ping."""

    server: ServerIdentity
    """The server."""
    seconds: float
    """Seconds from the question to its answer."""


def key_of(service: type[Service] | str | None) -> str:
    """The routing key of the servers of a service; None: of all servers.

    :raises InvalidArgument: if there cannot be such a service.
    :raises ContractError: if the class is not a service.
    """
    if service is None:
        return ALL
    if not isinstance(service, str):
        return usable_spec_of(service).name
    name, _, instance = service.partition(".")
    try:
        check_service_name(name, "service")
    except ContractError:
        raise InvalidArgument(
            'a service is named as its class is in snake case, as in "shop_floor", or one of its'
            f' servers as in "shop_floor.b47af560"; got {service!r}'
        ) from None
    return f"{name}.{instance}" if instance else name


async def ask_ping(
    client: Surveyor, service: type[Service] | str | None, timeout: float
) -> Survey[Pong]:
    """Ask servers who they are."""
    asked = _Asked(client, PING, service, ServerIdentity)
    await asked.run(timeout)
    pongs = [Pong(server=server, seconds=seconds) for server, seconds in asked.heard()]
    return Survey(servers=pongs, missing=asked.missing, uncounted=asked.uncounted)


async def ask_servers(
    client: Surveyor, service: type[Service] | str | None, timeout: float
) -> Survey[ServerIdentity]:
    """Ask servers who they are; as `ask_ping` without the times."""
    asked = _Asked(client, PING, service, ServerIdentity)
    await asked.run(timeout)
    return Survey(servers=asked.answers(), missing=asked.missing, uncounted=asked.uncounted)


async def ask_stats(
    client: Surveyor,
    service: type[Service] | str | None,
    timeout: float,
    *,
    known: Mapping[str, str] | None = None,
) -> StatsSurvey:
    """Ask servers for their statistics.

    :param known: services that were there before, each with a queue that its servers consume. Of
        all servers only those can be missed of which somebody knows, from another one or by this.
    """
    asked = _Asked(client, STATS, service, ServerStats, known)
    await asked.run(timeout)
    return StatsSurvey(servers=asked.answers(), missing=asked.missing, uncounted=asked.uncounted)


async def ask_calls(
    client: Surveyor,
    service: type[Service] | str | None,
    timeout: float,
    *,
    known: Mapping[str, str] | None = None,
) -> Survey[ServerCalls]:
    """Ask servers which calls they have.

    :param known: as in `ask_stats`.
    """
    asked = _Asked(client, CALLS, service, ServerCalls, known)
    await asked.run(timeout)
    told = [answer for answer in asked.answers() if not answer.refused]
    missing = Counter(asked.missing)
    for answer in asked.answers():
        if answer.refused:
            missing.update(answer.services)
    if not told and missing - Counter(asked.missing):
        raise _not_an_operator()
    return Survey(servers=told, missing=dict(missing), uncounted=asked.uncounted)


async def ask_stop(
    client: Surveyor, call_ids: Iterable[str], service: type[Service] | str | None, timeout: float
) -> list[str]:
    """Have servers cancel calls; return the ids of the calls that were there."""
    wanted = _checked_ids(call_ids)
    body = msgspec.json.encode(sorted(wanted))
    stopped: set[str] = set()
    is_refused = False
    with client.inquiry(STOP, key_of(service), body=body, most=_MOST) as inquiry:
        left = await inquiry.ask(timeout)
        end = asyncio.get_running_loop().time() + left
        read = 0
        while stopped < wanted and left > 0 and await inquiry.news(left):
            for answer in _readable(ServerStopped, inquiry.answers[read:]):
                stopped.update(wanted & set(answer.stopped))
                is_refused = is_refused or answer.refused
            read = len(inquiry.answers)
            if inquiry.is_unbound:
                break
            left = end - asyncio.get_running_loop().time()
    if is_refused and not stopped:
        raise _not_an_operator()
    return sorted(stopped)


def _checked_ids(given: object) -> set[str]:
    """:raises InvalidArgument: for anything but texts; one text is no list of its letters."""
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        ids = list(given)
        if all(isinstance(call_id, str) for call_id in ids):
            return set(ids)
    raise InvalidArgument(f"call_ids must be a list of call ids; got {given!r:.80}")


async def ask_drain(client: Surveyor, instance: str, timeout: float) -> bool:
    """Have a server drain; return whether it said that it does."""
    given: object = instance
    if not isinstance(given, str):
        raise InvalidArgument(
            f'the instance of a server is text, as in "b47af560"; got {given!r:.80}'
        )
    body = msgspec.json.encode([instance])
    with client.inquiry(DRAIN, ALL, body=body, most=1) as inquiry:
        left = await inquiry.ask(timeout)
        if left > 0:
            await inquiry.news(left)
        for answer in _readable(ServerDraining, inquiry.answers):
            if answer.refused:
                raise _not_an_operator()
            return answer.draining
    return False


def _not_an_operator() -> PermissionDenied:
    return PermissionDenied(
        "this user of the broker may not see or cancel the calls of others, nor have servers"
        " drain: log in as the servers do, or have them serve(operators=[...]) with this user's"
        " name",
        executed="no",
    )


class _Asked(Generic[I]):
    """One question to servers, and its answers so far."""

    def __init__(
        self,
        client: Surveyor,
        word: str,
        service: type[Service] | str | None,
        kind: type[I],
        known: Mapping[str, str] | None = None,
    ) -> None:
        key = key_of(service)
        self._queues = dict(known or {})
        """For each service, a queue that all of its servers consume."""
        if isinstance(service, type):
            queues = [method.queue_name for method in usable_spec_of(service).methods.values()]
            self._queues[key] = queues[0]
        self.missing: dict[str, int] = {}
        self.uncounted: tuple[str, ...] = ()
        """The services whose consumers the last probes did not count."""
        self._client = client
        self._key = key
        self._kind = kind
        self._inquiry = client.inquiry(word, key, most=_MOST)
        self._by_instance: dict[str, tuple[I, float]] = {}
        self._read_before = 0
        self._began = 0.0  # when they were first asked, on the event loop's clock
        # By service, how many servers the broker counted last, and how many when they were asked.
        self._counted: dict[str, int] = {}
        self._asked: dict[str, int] = {}

    async def run(self, timeout: float) -> None:
        """Ask until all have answered or this number of seconds is over."""
        loop = asyncio.get_running_loop()
        with self._inquiry as inquiry:
            end = loop.time() + await inquiry.ask(timeout)
            self._began = inquiry.asked_at
            first = True
            while (left := end - loop.time()) > 0:
                is_news = await inquiry.news(left if first else min(left, _SETTLED))
                first = False
                if inquiry.is_unbound and not inquiry.answers:
                    return
                if is_news:
                    continue
                self._read()
                within = min(_COUNTED_WITHIN, max(end - loop.time(), 0.05))
                await self._look(within)
                if not self.missing and (not self.uncounted or within == _COUNTED_WITHIN):
                    return
                await self._ask_again(end - loop.time())
            self._read()
            await self._look(_COUNTED_WITHIN)

    async def _ask_again(self, left: float) -> None:
        """Ask those who were not there when the servers were last asked, if there are any."""
        if left > 0 and any(
            self._counted[name] > self._asked.get(name, 0) for name in self.missing
        ):
            self._asked = self._counted
            with suppress(CallError):  # it cannot be asked in time; what is known is told
                await self._inquiry.ask(left)

    def _read(self) -> None:
        inquiry, begin = self._inquiry, self._read_before
        self._read_before = len(inquiry.answers)
        for body, at in zip(inquiry.answers[begin:], inquiry.answered_at[begin:], strict=True):
            for answer in _readable(self._kind, [body]):
                seconds = at - self._began
                self._by_instance.setdefault(answer.instance, (answer, seconds))

    async def _look(self, seconds: float) -> None:
        """Compare the number of answers with the consumers of the queues that they name."""
        answered: Counter[str] = Counter()
        queues = self._queues
        for server, _ in self._by_instance.values():
            answered.update(server.services)
            queues.update(server.queues)
        name, _, instance = self._key.partition(".")
        if name != ALL:
            queues = {service: queue for service, queue in queues.items() if service == name}
        if instance:
            queues = {}
        names = list(queues)
        counts = await asyncio.gather(
            *(self._client.count_servers(queues[name], seconds) for name in names)
        )
        self.uncounted = tuple(
            sorted(name for name, count in zip(names, counts, strict=True) if count is None)
        )
        self._counted = {
            name: count for name, count in zip(names, counts, strict=True) if count is not None
        }
        self.missing = {
            name: count - answered[name]
            for name, count in self._counted.items()
            if count > answered[name]
        }

    def heard(self) -> list[tuple[I, float]]:
        """The servers that answered, each with the seconds that it took."""
        return sorted(self._by_instance.values(), key=lambda pair: _order(pair[0]))

    def answers(self) -> list[I]:
        """Their answers."""
        return [answer for answer, _ in self.heard()]


def _order(server: ServerIdentity) -> tuple[list[str], str, str]:
    return sorted(server.services), server.name, server.instance


def _readable(kind: type[I], bodies: Iterable[bytes]) -> Iterator[I]:
    for body in bodies:
        try:
            yield read_as(kind, body)
        except ValueError as error:
            log.debug("the answer of a server cannot be read: %s", error)
