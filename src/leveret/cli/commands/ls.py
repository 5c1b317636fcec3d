"""`leveret ls`: which services there are, in which versions, on how many servers, and where."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import typer
from msgspec import Struct, field

from leveret.cli.asking import (
    CODES,
    Json,
    Within,
    ask,
    builtins,
    nearest,
    print_survey,
)
from leveret.cli.options import Url
from leveret.cli.tables import duration, shortened, table
from leveret.client.survey import Survey
from leveret.errors import NoServer
from leveret.rabbit.rabbit import Rabbit
from leveret.wire.stats import ServerIdentity

__all__ = ["CODES", "Kind", "kinds", "list_services", "matching"]

_DIFFERS: Final = " (differs)"
"""After the hash of a contract that not all servers of the service have."""


class Kind(Struct, eq=False, kw_only=True):
    """The servers of a service with one version and one contract."""

    service: str
    """What they serve."""
    version: str
    """The version that its class tells, "" if none."""
    hash: str
    """That of its contract."""
    differs: bool = False
    """Whether other servers of the service have another contract."""
    servers: list[ServerIdentity] = field(default_factory=list)
    """Who they are."""

    @property
    def hosts(self) -> Counter[str]:
        """How many of them run on which machine."""
        return Counter(server.process.host or server.name for server in self.servers)


def list_services(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="PATTERN", help="Services, as `shop` or `shop*`.", show_default="all"
        ),
    ] = None,
    url: Url = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="Show each server in a line of its own.")
    ] = False,
    timeout: Within = 5.0,
    json: Json = False,
) -> None:
    """List the services that are served now.

    Servers of one service whose contracts differ are marked: any of them may get a call.

    Example: leveret ls 'shop*'
    """

    async def question(rabbit: Rabbit) -> Survey[ServerIdentity]:
        seen = await rabbit.servers(timeout=timeout)
        return seen if pattern is None else matching(seen, pattern)

    survey = ask(url, question, as_json=json)
    found = kinds(survey.servers, pattern or "*")
    print_survey(
        survey,
        {"services": [_described(kind) for kind in found]},
        _each(found) if instances else _summed(found),
        as_json=json,
        identities=survey.servers,
    )


def matching(seen: Survey[ServerIdentity], pattern: str) -> Survey[ServerIdentity]:
    """What was said of the services of a pattern.

    Where nobody serves one of them, whoever did not answer may.

    :raises NoServer: if all have answered, and none of them serves one.
    """

    def fits(service: str) -> bool:
        return fnmatchcase(service, pattern)

    servers = [server for server in seen.servers if any(map(fits, server.services))]
    if servers:
        missing = {service: count for service, count in seen.missing.items() if fits(service)}
        uncounted = tuple(filter(fits, seen.uncounted))
        return Survey(servers=servers, missing=missing, uncounted=uncounted)
    if not seen.is_complete:
        return Survey(servers=[], missing=seen.missing, uncounted=seen.uncounted)
    names = {name for server in seen.servers for name in server.services}
    raise NoServer(f"no service is named {pattern!r}{nearest(pattern, names) or ', nor any other'}")


def kinds(servers: Iterable[ServerIdentity], pattern: str = "*") -> list[Kind]:
    """The servers by service, version and contract; the larger kinds of a service first."""
    found: dict[tuple[str, str, str], Kind] = {}
    hashes: dict[str, set[str]] = defaultdict(set)
    for server in servers:
        for service in server.services:
            if not fnmatchcase(service, pattern):
                continue
            version, hash_ = server.versions.get(service, ""), server.hashes.get(service, "")
            key = service, version, hash_
            kind = found.setdefault(key, Kind(service=service, version=version, hash=hash_))
            kind.servers.append(server)
            if hash_:
                hashes[service].add(hash_)
    for kind in found.values():
        kind.differs = len(hashes[kind.service]) > 1
    return sorted(found.values(), key=lambda it: (it.service, -len(it.servers), it.version))


def _summed(found: Sequence[Kind]) -> list[str]:
    rows = [
        (
            kind.service,
            kind.version or "-",
            str(len(kind.servers)),
            kind.hash + (_DIFFERS if kind.differs else ""),
            shortened(
                f"{host} x{count}" if count > 1 else host
                for host, count in kind.hosts.most_common()
            ),
        )
        for kind in found
    ]
    return table(("SERVICE", "VERSION", ">INSTANCES", "CONTRACT", "HOSTS"), rows) if rows else []


def _each(found: Sequence[Kind]) -> list[str]:
    now = time.time()
    rows = [
        (
            kind.service,
            kind.version or "-",
            server.instance,
            server.name,
            server.process.host,
            str(server.process.pid or ""),
            duration(now - server.started) if server.started else "",
            server.process.leveret,
            kind.hash + (_DIFFERS if kind.differs else ""),
        )
        for kind in found
        for server in kind.servers
    ]
    heads = ("SERVICE", "VERSION", "INSTANCE", "NAME", "HOST", ">PID", ">UP", "LEVERET", "CONTRACT")
    return table(heads, rows) if rows else []


def _described(kind: Kind) -> dict[str, Any]:
    return {
        "service": kind.service,
        "version": kind.version,
        "hash": kind.hash,
        "differs": kind.differs,
        "hosts": dict(kind.hosts),
        "servers": [builtins(server) for server in kind.servers],
    }
