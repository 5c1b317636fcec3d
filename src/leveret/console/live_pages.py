"""The pages of what happens: calls that run, failures, queues, the map; and the feed of polls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leveret.client.service_map import Edge
from leveret.client.survey import Survey
from leveret.client.totals import method_of
from leveret.console.feed import Feed
from leveret.console.listing import Column, listing
from leveret.console.map_drawing import drawn
from leveret.console.mapping import map_of
from leveret.console.queues import look_at
from leveret.console.rendering import Pages
from leveret.console.rows import MethodRow
from leveret.console.system import System
from leveret.errors import LeveretError
from leveret.wire.stats import RunningCall, ServerCalls

__all__ = ["LivePages"]

_OF_CALLS: Final[Mapping[str, Column[tuple[RunningCall, str]]]] = {
    "method": Column(title="Method", key=lambda row: row[0].method, is_number=False),
    "state": Column(title="State", key=lambda row: row[0].state, is_number=False),
    "caller": Column(title="Caller", key=lambda row: row[0].caller, is_number=False),
    "age": Column(title="Age", key=lambda row: row[0].age),
    "left": Column(title="Time left", key=lambda row: row[0].left),
    "server": Column(title="Server", key=lambda row: row[1], is_number=False),
}
_OF_EDGES: Final[Mapping[str, Column[Edge]]] = {
    "caller": Column(title="Caller", key=lambda it: it.caller, is_number=False),
    "service": Column(title="Service", key=lambda it: it.service, is_number=False),
    "rate": Column(title="Calls/s", key=lambda it: it.traffic.per_second),
    "failed": Column(
        title="Failed",
        key=lambda it: it.traffic.failed / it.traffic.handled if it.traffic.handled else 0.0,
    ),
    "ended": Column(title="Since the start", key=lambda it: it.traffic.handled),
}


class LivePages:
    """The pages of what happens.

    :param system: what is known.
    :param pages: renders them.
    """

    def __init__(self, system: System, pages: Pages) -> None:
        self._system = system
        self._pages = pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/calls", self.calls),
            Route("/failures", self.failures),
            Route("/queues", self.queues),
            Route("/map", self.map),
            Route("/events", self.events),
        ]

    async def calls(self, request: Request) -> Response:
        """What runs now."""
        await self._system.ready()
        survey: Survey[ServerCalls] = Survey(servers=[], missing={})
        why = ""
        try:
            survey = await self._system.running.get()
        except (LeveretError, RuntimeError) as error:
            why = str(error)
        rows = [(call, server.instance) for server in survey.servers for call in server.calls]
        rows.sort(key=lambda row: row[0].age, reverse=True)
        shown = listing(
            rows,
            request.query_params,
            columns=_OF_CALLS,
            text=lambda row: f"{row[0].id} {row[0].method} {row[0].caller} {row[0].state} {row[1]}",
        )
        return self._pages.render(
            request,
            "calls.html",
            view=self._system.view,
            list=shown,
            survey=survey,
            more=sum(server.total - len(server.calls) for server in survey.servers),
            why=why,
        )

    async def failures(self, request: Request) -> Response:
        """The last error of each method, and how many there were by code."""
        await self._system.ready()
        view = self._system.view
        code = request.query_params.get("code", "")
        by_code: dict[str, int] = {}
        for row in view.methods.values():
            for name, count in row.total.handled.items():
                if name != "OK":
                    by_code[name] = by_code.get(name, 0) + count
        rows = [
            row
            for row in view.methods.values()
            if row.total.failed and (not code or row.total.handled.get(code))
        ]
        rows.sort(key=lambda row: row.total.last_error.at if row.total.last_error else 0.0)
        rows.reverse()
        shown = listing(
            rows,
            request.query_params,
            columns=_of_failures(code),
            text=lambda row: f"{row.key} {row.total.last_error}",
        )
        codes = sorted(by_code.items(), key=lambda pair: -pair[1])
        return self._pages.render(
            request, "failures.html", view=view, list=shown, codes=codes, code=code
        )

    async def queues(self, request: Request) -> Response:
        """The queues of the methods, as the broker sees them."""
        await self._system.ready()
        rows: dict[str, str] = {}
        held: dict[str, int] = {}
        served: set[str] = set()
        for instance in self._system.view.instances.values():
            for queue, stats in instance.stats.methods.items():
                rows.setdefault(queue, method_of(queue, stats))
                if not instance.is_gone:
                    served.add(queue)
                    held[queue] = held.get(queue, 0) + stats.running + stats.waiting
        shown = listing(
            sorted(rows.items(), key=lambda it: (it[0] in served, -held.get(it[0], 0), it[0])),
            request.query_params,
            columns={
                "queue": Column(title="Queue", key=lambda it: it[0], is_number=False),
                "method": Column(title="Method", key=lambda it: it[1], is_number=False),
                "unacked": Column(title="Unacked", key=lambda it: held.get(it[0], 0)),
            },
            text=lambda pair: pair[0],
        )
        found = []
        why = self._system.poller.away
        if not why:
            try:
                found = await look_at(self._system.rabbit.calls.connection, shown.rows)
            except (LeveretError, RuntimeError) as error:
                why = str(error)
        return self._pages.render(
            request,
            "queues.html",
            view=self._system.view,
            list=shown,
            rows=found,
            held=held,
            why=why,
        )

    async def map(self, request: Request) -> Response:
        """Who calls whom."""
        await self._system.ready()
        view = self._system.view
        found = map_of(view)
        around = request.query_params.get("around", "")
        if around not in found.nodes:
            around = ""
        edges = [it for it in found.edges if not around or around in (it.caller, it.service)]
        edges.sort(key=lambda it: it.traffic.per_second or 0.0, reverse=True)
        shown = listing(
            edges,
            request.query_params,
            columns=_OF_EDGES,
            text=lambda it: f"{it.caller} {it.service}",
        )
        return self._pages.render(
            request,
            "map.html",
            view=view,
            drawing=drawn(found, around),
            list=shown,
            around=around,
            impact=found.impact(around) if around else [],
        )

    async def events(self, request: Request) -> Response:
        """Tell the browser of each poll: it asks again for what its page shows."""
        self._system.start()
        return Feed(self._turns())

    async def _turns(self) -> AsyncIterator[tuple[str, str]]:
        turn = self._system.poller.turn
        while True:
            turn = await self._system.poller.after(turn)
            if self._system.poller.is_over:
                return
            yield (
                "poll",
                msgspec.json.encode({"turn": turn, "away": self._system.poller.away}).decode(),
            )


def _of_failures(code: str) -> dict[str, Column[MethodRow]]:
    """The columns of the failures with a code, or of all failures."""

    def failed(row: MethodRow) -> int:
        return row.total.handled.get(code, 0) if code else row.total.failed

    return {
        "method": Column(title="Method", key=lambda row: row.key, is_number=False),
        "failed": Column(title="Failed", key=failed),
        "ended": Column(title="Of", key=lambda row: row.total.ended),
        "at": Column(
            title="At",
            key=lambda row: row.total.last_error.at if row.total.last_error else None,
        ),
    }
