"""What `leveret serve --metrics` and `--health` answer by HTTP, for one process or for workers.

Whether a process lives is a matter of its event loop alone: a broker that is away must not have it
restarted. Whether it is ready is one of its connection and its consumers as well.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from http import HTTPStatus
from typing import Protocol, Self

import msgspec

from leveret.cli.endpoints import Endpoint
from leveret.cli.serving.http import Answer, HttpServer, Request, Response

__all__ = ["CannotListen", "Exposition", "Health", "MonitorOptions", "Monitored", "Monitoring"]

log = logging.getLogger("leveret.cli")


class CannotListen(Exception):
    """The port is in use, or the host is another's."""


class MonitorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where there is what to see."""

    metrics: Endpoint | None = None
    """Where metrics are; None: nowhere."""
    health: Endpoint | None = None
    """Where it is told whether it lives and whether it is ready; None: nowhere."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a process and its workers stand."""

    dead: list[str] = []
    """Why it should be started anew; empty if it should not."""
    unready: list[str] = []
    """Why it should get no calls now; empty if it should."""


class Exposition(Protocol):
    """Metrics as text."""

    def __call__(self, accept: str) -> tuple[bytes, str]:
        """The text, and its content type, of those that a client takes. Runs in a thread."""
        ...


class Monitored(Protocol):
    """Whose figures these are."""

    async def health(self) -> Health:
        """How it stands."""
        ...

    async def exposition(self) -> Exposition:
        """Its metrics at this moment."""
        ...


class Monitoring:
    """Answers for a process while it runs.

    :param options: where.
    """

    def __init__(self, options: MonitorOptions, monitored: Monitored) -> None:
        self._options = options
        self._monitored = monitored
        self._servers: list[HttpServer] = []

    async def __aenter__(self) -> Self:
        """Listen.

        :raises CannotListen: if it cannot.
        """
        places: dict[Endpoint, dict[str, Answer]] = {}
        if self._options.metrics is not None:
            places.setdefault(self._options.metrics, {})["/metrics"] = self._metrics
        if self._options.health is not None:
            answers = places.setdefault(self._options.health, {})
            answers.update({"/livez": self._livez, "/readyz": self._readyz})
        for endpoint, answers in places.items():
            try:
                await self._listen(endpoint, answers)
            except OSError as error:
                await self.__aexit__()
                raise CannotListen(f"cannot listen at {endpoint}: {self._why(error)}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            await server.close()

    def _why(self, error: OSError) -> str:
        """Why it cannot listen: it may itself be who has the address, under another host."""
        metrics, health = self._options.metrics, self._options.health
        if error.errno != errno.EADDRINUSE or not self._servers or metrics is None:
            return str(error)
        if health is None or health.port != metrics.port:
            return str(error)
        return (
            f"{error}; {metrics} of --metrics takes this port as well: to have both there, write"
            " the same host for both"
        )

    async def _listen(self, endpoint: Endpoint, answers: dict[str, Answer]) -> None:
        server = await HttpServer.start(endpoint.host, endpoint.port, answers)
        self._servers.append(server)
        at = msgspec.structs.replace(endpoint, port=server.port)
        for path in answers:
            log.info("http://%s%s", at, path)

    async def _metrics(self, request: Request) -> Response:
        exposition = await self._monitored.exposition()
        body, content_type = await asyncio.to_thread(exposition, request.accept)
        return Response(body=body, content_type=content_type)

    async def _livez(self, _request: Request) -> Response:
        return _verdict("alive", "dead", (await self._monitored.health()).dead)

    async def _readyz(self, _request: Request) -> Response:
        return _verdict("ready", "not ready", (await self._monitored.health()).unready)


def _verdict(good: str, bad: str, why: list[str]) -> Response:
    return Response(
        status=HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK,
        body=msgspec.json.encode({"status": bad if why else good, "why": why}) + b"\n",
        content_type="application/json",
    )
