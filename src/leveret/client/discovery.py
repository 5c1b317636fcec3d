"""Asks servers for the contract of a service, for callers that do not have its class.

Each server answers with its own description, and nobody knows how many servers there are. So after
the first answer the client waits for others, as long as the first one took. Where servers differ
about a method, the client uses what most of them say, and logs the difference.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, Protocol

from msgspec import Struct

from leveret.client.calls.inquiries import MOST_ANSWERS, Inquiry
from leveret.contract import ServiceSpec, described_service, differences, fingerprint
from leveret.contract.limits import check_service_name
from leveret.errors import CallError, ContractError, InvalidArgument, NoServer
from leveret.wire.context import find_current_call, within_current_call
from leveret.wire.control import INFO, PING
from leveret.wire.server_answers import ServerAnswer, ServiceDescription, read_answer

__all__ = ["Inquirer", "LiveServer", "LiveService", "discover", "is_one_way", "survey"]

log = logging.getLogger("leveret.client")

_ASKED_EVERY: Final = 1.0
"""Seconds between two questions while no server answers."""
_TRIED_EVERY: Final = 0.25
"""Seconds between two questions while there is no server."""
_SETTLED: Final = 0.05
"""Seconds without another answer, at least, after which all servers count as having answered."""
_OTHERS: Final = 0.5
"""Seconds that the servers of other services have to say who they are."""
_SHOWN: Final = 3
"""How many differences of a method the client logs."""
_MOST_NAMED: Final = 20
"""How many services an error message names."""


class Inquirer(Protocol):
    """What this file needs of the client."""

    def inquiry(self, word: str, key: str, *, wait_for_connection: bool = True) -> Inquiry:
        """A question to the servers under a routing key."""
        ...


class LiveServer(Struct, frozen=True, kw_only=True):
    """A server that answered."""

    instance: str
    """Eight hexadecimal digits, drawn at its start."""
    name: str
    """What people call it."""


class LiveService(Struct, frozen=True, kw_only=True):
    """A service as its servers describe it."""

    description: dict[str, Any]
    """The description, as `service_schema` gives it; for each method the one that most servers
    give. `starts` is true if all servers take started calls."""
    servers: tuple[LiveServer, ...]
    """The servers that answered."""


async def discover(
    client: Inquirer,
    service: str,
    *,
    timeout: float,
    wait_for_server: bool,
    wait_for_connection: bool,
) -> ServiceSpec:
    """Find out what a service is.

    :param timeout: seconds that it may take, at most.
    :param wait_for_server: whether to wait that long for a server to start.
    :raises InvalidArgument: if `service` cannot be the name of a service.
    :raises NoServer: if none of its servers answers.
    :raises CallError: if the question cannot be sent.
    :raises ContractError: if their answers cannot be read.
    """
    answers = await _answers(
        client,
        service,
        timeout=timeout,
        wait_for_server=wait_for_server,
        wait_for_connection=wait_for_connection,
    )
    descriptions = _descriptions(service, answers)
    if not descriptions:
        raise ContractError(
            f"the description that servers give of the service {service!r} cannot be read"
        )
    return described_service(_agreed(service, descriptions))


async def survey(
    client: Inquirer, names: Iterable[str] = (), *, timeout: float
) -> dict[str, LiveService]:
    """Find out which services there are, or what the named ones are, and who serves them.

    A question takes the answers of a hundred servers; the log says so if there may be more.

    :param names: the services that must be there; if there are none, all services.
    :param timeout: seconds that each question may take, at most.
    :raises InvalidArgument: if one of them cannot be the name of a service.
    :raises NoServer: if no server of one answers.
    :raises CallError: if a question cannot be sent.
    """
    wanted = tuple(dict.fromkeys(names))
    found: dict[str, LiveService] = {}
    for name in wanted:
        bodies = await _answers(
            client, name, timeout=timeout, wait_for_server=False, wait_for_connection=True
        )
        found |= {key: one for key, one in _live(bodies).items() if key == name}
        if name not in found:
            raise ContractError(
                f"the description that servers give of the service {name!r} cannot be read"
            )
    if not wanted:
        with client.inquiry(INFO, "all") as inquiry:
            await _ask(inquiry, timeout, wait_for_server=False)
        found = _live(inquiry.answers)
    return dict(sorted(found.items()))


def _live(bodies: list[bytes]) -> dict[str, LiveService]:
    if len(bodies) >= MOST_ANSWERS:
        log.warning("the answers of %d servers are used; there may be more", len(bodies))
    answers = sorted(
        {answer.instance: answer for answer in _readable(bodies)}.values(),
        key=lambda answer: (answer.name, answer.instance),
    )
    names = {name for answer in answers for name in answer.schemas}
    return {
        name: _live_service(name, [answer for answer in answers if name in answer.schemas])
        for name in names
    }


def _live_service(name: str, answers: list[ServerAnswer]) -> LiveService:
    description = _agreed(name, [answer.schemas[name] for answer in answers])
    if all(answer.starts for answer in answers):
        description["starts"] = True
    return LiveService(
        description=description,
        servers=tuple(LiveServer(instance=it.instance, name=it.name) for it in answers),
    )


async def _answers(
    client: Inquirer,
    service: str,
    *,
    timeout: float,
    wait_for_server: bool,
    wait_for_connection: bool,
) -> list[bytes]:
    """What the servers of a service say about themselves.

    :raises InvalidArgument: if `service` cannot be the name of a service.
    :raises NoServer: if none answers.
    :raises CallError: if the question cannot be sent.
    """
    try:
        check_service_name(service, "discover")
    except ContractError:
        raise InvalidArgument(
            f'a service is named as its class is in snake case, as in "shop_floor"; got {service!r}'
        ) from None
    if find_current_call() is not None:
        timeout = within_current_call(timeout, service)
    with client.inquiry(INFO, service, wait_for_connection=wait_for_connection) as inquiry:
        await _ask(inquiry, timeout, wait_for_server=wait_for_server)
    if not inquiry.answers:
        if inquiry.is_unbound:
            raise NoServer(await _who_is_there(client, service))
        raise NoServer(f"no server of the service {service!r} answered in {timeout:g} s")
    return inquiry.answers


async def is_one_way(client: Inquirer, method: str, timeout: float) -> bool:
    """Whether the servers of "service.method" say that it is a one-way method.

    If none answers, the method is taken not to be one-way.

    :param timeout: seconds that they have to answer.
    """
    service, _, name = method.partition(".")
    with client.inquiry(INFO, service) as inquiry:
        try:
            await _ask(inquiry, timeout, wait_for_server=False)
        except CallError as error:
            log.debug("servers cannot be asked whether %s is a one-way method: %s", method, error)
    descriptions = _descriptions(service, inquiry.answers)
    return any(one["methods"].get(name, {}).get("one_way") is True for one in descriptions)


async def _ask(inquiry: Inquiry, timeout: float, *, wait_for_server: bool) -> None:
    """Ask until servers have answered, or the time is over."""
    began = asked = time.monotonic()
    while not inquiry.answers:
        left = timeout - (time.monotonic() - began)
        if left <= 0:
            return
        left = await inquiry.ask(left)
        asked = time.monotonic()
        await inquiry.news(min(left, _ASKED_EVERY))
        if inquiry.is_unbound and not inquiry.answers:
            if not wait_for_server:
                return
            await inquiry.news(min(left, _TRIED_EVERY))
    settled = max(_SETTLED, time.monotonic() - asked)
    while await inquiry.news(settled):
        pass


def _readable(bodies: Iterable[bytes]) -> Iterator[ServerAnswer]:
    for body in bodies:
        try:
            yield read_answer(body)
        except ValueError as error:
            log.debug("the answer of a server cannot be read: %s", error)


def _descriptions(service: str, bodies: Iterable[bytes]) -> list[ServiceDescription]:
    """The latest answer of each server about a service."""
    by_instance = {answer.instance: answer.schemas for answer in _readable(bodies)}
    return [schemas[service] for schemas in by_instance.values() if service in schemas]


async def _who_is_there(client: Inquirer, service: str) -> str:
    """The error message if nobody serves a service: it names the services that are there."""
    with client.inquiry(PING, "all") as inquiry:
        try:
            await inquiry.ask(_OTHERS)
            await inquiry.news(_OTHERS)
            while inquiry.answers and await inquiry.news(_SETTLED):
                pass
        except CallError as error:
            log.debug("other servers cannot be asked who they are: %s", error)
    names = {name for answer in _readable(inquiry.answers) for name in answer.services}
    if names:
        shown = ", ".join(sorted(names)[:_MOST_NAMED])
        from difflib import get_close_matches  # noqa: PLC0415 - only whoever misspells needs it

        near = get_close_matches(service, names, 1)
        question = f"Did you mean {near[0]!r}?" if near else "Is the name right?"
        return (
            f"no server of the service {service!r} is there; those that are serve {shown}."
            f" {question}"
        )
    nor = ", nor of any other" if inquiry.is_unbound else ""
    return (
        f"no server of the service {service!r} is there{nor}. Start one, or wait for one:"
        f" rabbit.with_options(wait_for_server=True).discover({service!r})"
    )


def _agreed(service: str, descriptions: list[ServiceDescription]) -> dict[str, Any]:
    """What most servers say of each method; the version that all of them have, if any."""
    methods: dict[str, list[dict[str, Any]]] = {}
    for description in descriptions:
        for name, method in description["methods"].items():
            methods.setdefault(name, []).append(method)
    versions = {one.get("version", "") for one in descriptions}
    version = versions.pop() if len(versions) == 1 else ""
    return {
        "service": service,
        "doc": descriptions[0].get("doc", ""),
        **({"version": version} if version else {}),
        "methods": {name: _most(f"{service}.{name}", ones) for name, ones in methods.items()},
    }


def _most(key: str, methods: list[dict[str, Any]]) -> dict[str, Any]:
    hashes = [fingerprint(method) for method in methods]
    most = max(hashes, key=hashes.count)
    believed = methods[hashes.index(most)]
    for one in dict.fromkeys(hashes):
        if one != most:
            differs = list(islice(differences(believed, methods[hashes.index(one)]), _SHOWN))
            log.warning(
                "%.200s: its servers have different contracts, and any of them may get a call: %s,"
                ' where "here" is the contract that is used. Calls may fail',
                key,
                "; ".join(differs),
            )
    return believed
