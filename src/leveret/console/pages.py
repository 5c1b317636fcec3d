"""The pages of services, methods and servers, and the search that leads to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from leveret.client.service_map import UNNAMED
from leveret.client.totals import MethodTotals, method_of
from leveret.console.calling import pretty
from leveret.console.contracts import differing
from leveret.console.fields import ABSENT, form, read_json
from leveret.console.figures import quantile
from leveret.console.listing import Column, Listing, listing
from leveret.console.rendering import Pages, with_changes
from leveret.console.rows import InstanceRow, MethodRow, ServiceRow, View
from leveret.console.system import System
from leveret.errors import LeveretError
from leveret.observe import OK
from leveret.wire.stats import CallerStats, QueueStats

__all__ = ["ServicePages"]

_MOST_SERVERS: Final = 100
"""How many servers of a service are shown."""

_OF_METHODS: Final[Mapping[str, Column[MethodRow]]] = {
    "method": Column(title="Method", key=lambda row: row.key, is_number=False),
    "rate": Column(title="Calls/s", key=lambda row: row.rate),
    "failed": Column(title="Failed", key=lambda row: row.share),
    "p50": Column(title="p50", key=lambda row: row.p50),
    "p95": Column(title="p95", key=lambda row: row.p95),
    "queue": Column(title="Queue p95", key=lambda row: row.queue),
    "running": Column(title="Running", key=lambda row: row.total.running),
    "waiting": Column(title="Waiting", key=lambda row: row.total.waiting),
}
_OF_SERVICES: Final[Mapping[str, Column[ServiceRow]]] = {
    "service": Column(title="Service", key=lambda row: row.name, is_number=False),
    "instances": Column(title="Instances", key=lambda row: row.instances),
    "rate": Column(title="Calls/s", key=lambda row: row.rate),
    "failed": Column(title="Failed", key=lambda row: row.share),
    "p50": Column(title="p50", key=lambda row: row.p50),
    "p95": Column(title="p95", key=lambda row: row.p95),
    "queue": Column(title="Queue p95", key=lambda row: row.queue),
    "running": Column(title="Running", key=lambda row: row.running),
}
_OF_QUEUES: Final[Mapping[str, Column[tuple[str, QueueStats]]]] = {
    "method": Column(title="Method", key=lambda it: method_of(*it), is_number=False),
    "running": Column(title="Running", key=lambda it: it[1].running),
    "waiting": Column(title="Waiting", key=lambda it: it[1].waiting),
    "ended": Column(title="Ended", key=lambda it: sum(it[1].handled.values())),
    "failed": Column(
        title="Failed", key=lambda it: sum(it[1].handled.values()) - it[1].handled.get(OK, 0)
    ),
    "p50": Column(title="p50", key=lambda it: quantile(it[1].handler, 0.5)),
    "p95": Column(title="p95", key=lambda it: quantile(it[1].handler, 0.95)),
    "handed_back": Column(title="Handed back", key=lambda it: it[1].handed_back),
    "redelivered": Column(title="Redelivered", key=lambda it: it[1].redelivered),
    "in": Column(title="In", key=lambda it: it[1].bytes_in),
    "out": Column(title="Out", key=lambda it: it[1].bytes_out),
}
_MOST_SHOWN: Final = 50
"""Of how many servers a method's page shows the figures."""
_FIRST: Final = 4
"""How many methods the overview names that fail, and how many that are slow."""
_MOST_CALLERS: Final = 8
"""How many callers of a method are shown."""


class ServicePages:
    """The pages of services, methods and servers.

    :param system: what is known.
    :param pages: renders them.
    """

    def __init__(self, system: System, pages: Pages) -> None:
        self._system = system
        self._pages = pages

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/", self.overview),
            Route("/methods", self.methods),
            Route("/service/{name}", self.service),
            Route("/method/{key}", self.method),
            Route("/instance/{instance}", self.instance),
            Route("/search", self.search),
        ]

    async def overview(self, request: Request) -> Response:
        """The services, the worst first, and what is wrong."""
        await self._system.ready()
        view = self._system.view
        rows = sorted(view.services.values(), key=lambda row: row.name)
        rows.sort(key=lambda row: row.worst, reverse=True)
        shown = listing(rows, request.query_params, columns=_OF_SERVICES, text=lambda row: row.name)
        return self._pages.render(
            request,
            "overview.html",
            view=view,
            list=shown,
            troubled=[row for row in rows if row.troubles],
            failing=_first(view.methods.values(), lambda row: row.share),
            slowest=_first(view.methods.values(), lambda row: row.slowness),
        )

    async def methods(self, request: Request) -> Response:
        """All methods of all services."""
        await self._system.ready()
        shown = self._list_methods(list(self._system.view.methods.values()), request)
        return self._pages.render(request, "methods.html", view=self._system.view, list=shown)

    def _list_methods(self, rows: list[MethodRow], request: Request) -> Listing[MethodRow]:
        rows.sort(key=lambda row: row.worst, reverse=True)
        return listing(rows, request.query_params, columns=_OF_METHODS, text=lambda row: row.key)

    async def service(self, request: Request) -> Response:
        """One service: its methods and its servers."""
        await self._system.ready()
        view = self._system.view
        name = request.path_params["name"]
        row = view.services.get(name)
        if row is None:
            return self._pages.missing(request, f"No service {name} is known.")
        contracts = await self._system.contracts_of(name)
        servers = sorted(view.serving(name), key=lambda its: (its.is_gone, its.stats.name))
        return self._pages.render(
            request,
            "service.html",
            view=view,
            row=row,
            list=self._list_methods(view.of_service(name), request),
            servers=servers[:_MOST_SERVERS],
            all_servers=len(servers),
            doc=contracts[0].description.get("doc", "") if contracts else "",
            differing=differing(contracts) if len(contracts) > 1 else [],
            metadata=next((it.stats.metadata.get(name, {}) for it in servers), {}),
        )

    async def method(self, request: Request) -> Response:
        """One method: its figures, its callers, and the form for calling it."""
        await self._system.ready()
        view = self._system.view
        key = request.path_params["key"]
        service = key.partition(".")[0]
        described = await self._system.described(key)
        row = view.methods.get(key)
        if row is None and described is None:
            return self._pages.missing(request, f"No method {key} is known.")
        row = row or MethodRow(key=key, total=MethodTotals(method=key))
        parts = _by_server(view.instances.values(), key)
        given = request.query_params.get("arguments", "")
        wrong = ""
        value: object = ABSENT
        if given:
            try:
                value = read_json(given)
            except ValueError as error:
                wrong = f"The arguments in the URL are no JSON: {error}"
        return self._pages.render(
            request,
            "method.html",
            view=view,
            key=key,
            service=service,
            row=row,
            described=described,
            form=form(described["arguments"], value) if described else None,
            given=given,
            wrong=wrong,
            schema=pretty(described) if described else "",
            parts=parts[:_MOST_SHOWN],
            all_parts=len(parts),
            callers=_callers(row, view),
            choice=_choice(view.serving(service), request.query_params.get("instance", "")),
        )

    async def instance(self, request: Request) -> Response:
        """One server."""
        await self._system.ready()
        instance = request.path_params["instance"]
        row = self._system.view.instances.get(instance)
        if row is None:
            return self._pages.missing(
                request, f"No server {instance} is known; it may have ended."
            )
        queues = sorted(row.stats.methods.items())
        shown = listing(queues, request.query_params, columns=_OF_QUEUES, text=lambda pair: pair[0])
        return self._pages.render(
            request, "instance.html", view=self._system.view, row=row, list=shown
        )

    async def search(self, request: Request) -> Response:
        """Where what somebody pasted leads: a service, a method, a server, or a call."""
        await self._system.ready()
        view = self._system.view
        wanted = request.query_params.get("q", "").strip()
        base = request.scope.get("root_path", "")
        for kind, found in (
            ("service", view.services),
            ("method", view.methods),
            ("instance", view.instances),
        ):
            if wanted in found:
                return RedirectResponse(f"{base}/{kind}/{wanted}", 303)
        where = "methods"
        if wanted and not any(wanted.lower() in key.lower() for key in view.methods):
            try:
                survey = await self._system.running.get()
                ids = {call.id for server in survey.servers for call in server.calls}
                where = "calls" if wanted in ids else where
            except (LeveretError, RuntimeError):
                pass
        return RedirectResponse(f"{base}/{where}{with_changes({}, {'q': wanted})}", 303)


def _first(rows: Iterable[MethodRow], by: Callable[[MethodRow], float]) -> list[MethodRow]:
    """The methods that have most of something, of those that were called in the last minute."""
    found = [row for row in rows if row.of_window and by(row)]
    found.sort(key=by, reverse=True)
    return found[:_FIRST]


def _callers(row: MethodRow, view: View) -> list[tuple[str, CallerStats, str]]:
    """The callers of a method, those with the most calls first: their names, counts and pages."""
    served: dict[str, set[str]] = {}
    for server in view.instances.values():
        served.setdefault(server.stats.name, set()).update(server.stats.services)

    def place(name: str) -> str:
        services = served.get(name, set())
        if len(services) == 1:
            return f"/service/{quote(min(services), safe='')}"
        return f"/map?around={quote(name or UNNAMED, safe='')}" if not services else ""

    names = row.callers[:_MOST_CALLERS]
    return [(name, row.total.callers[name], place(name)) for name in names]


def _choice(servers: Iterable[InstanceRow], asked: str) -> list[tuple[str, str]]:
    """The servers that can be chosen for a call, by instance and name.

    :param asked: the one that the URL has, which is there even if it is gone; "" for none.
    """
    found = {row.stats.instance: row.stats.name for row in servers if not row.is_gone}
    chosen = [] if not asked else [(asked, found.pop(asked, "gone"))]
    rest = sorted(found.items(), key=lambda pair: (pair[1], pair[0]))
    return [*chosen, *rest[:_MOST_SERVERS]]


def _by_server(rows: Iterable[InstanceRow], key: str) -> list[tuple[InstanceRow, QueueStats]]:
    """What each server says of a method."""
    return [
        (row, stats)
        for row in rows
        for queue, stats in row.stats.methods.items()
        if method_of(queue, stats) == key
    ]
