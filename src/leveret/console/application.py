"""The console as an ASGI app: its routes, and what stands behind each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from leveret.client.failed_requests import FailedRequests
from leveret.client.named import named_spec
from leveret.client.survey import StatsSurvey, Survey
from leveret.client.totals import MethodTotals, method_of
from leveret.console.access import COOKIE, Access
from leveret.console.calling import (
    Answer,
    AskedCall,
    Callers,
    failed,
    make_call,
    pretty,
    read_call,
    stream_call,
)
from leveret.console.contracts import Contract, Contracts, differing
from leveret.console.feed import Feed
from leveret.console.fields import ABSENT, form, read_json
from leveret.console.figures import InstanceRow, MethodRow, ServiceRow, quantile
from leveret.console.guard import Guard
from leveret.console.leaving import unless_left
from leveret.console.listing import Column, listing
from leveret.console.map_drawing import drawn
from leveret.console.mapping import map_of
from leveret.console.poller import Poller
from leveret.console.queues import look_at
from leveret.console.recent import Recent
from leveret.console.rendering import STATIC, Pages, with_changes
from leveret.errors import CallError, InvalidArgument, LeveretError
from leveret.observe import Histogram
from leveret.rabbit.connecting import connect
from leveret.rabbit.rabbit import Rabbit
from leveret.version import __version__
from leveret.wire.native.failed import read_failure
from leveret.wire.stats import HistogramStats, RunningCall, ServerCalls

__all__ = ["NAME", "app"]

NAME: Final = "leveret-console"
"""What the console calls itself: servers count the calls that are made by it under this name."""
_MOST_BODY: Final = 64_000_000
"""Bytes of the largest request of a browser."""
_LEFT: Final = 499
"""The status of an answer whose browser has left."""
_WRONG_TOKEN: Final = 0.5
"""Seconds that a wrong token costs."""
_STOPPED_WITHIN: Final = 5.0
"""Seconds that servers have to say that they have cancelled calls."""
_MOST_SERVERS: Final = 100
"""How many servers of a service are shown."""
_MOST_FAILED: Final = 200
"""How many failed requests are shown."""
_MOST_SEARCHED: Final = 1_000
"""Among how many failed requests, the oldest, those are looked for that are retried or dropped."""
_MOST_LOG_IN: Final = 4_096
"""Bytes of the largest log-in."""
_MEASURED_BELOW: Final = 20
"""How many servers a method may have for its calls to be measured there."""

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
_OF_CALLS: Final[Mapping[str, Column[tuple[RunningCall, str]]]] = {
    "method": Column(title="Method", key=lambda row: row[0].method, is_number=False),
    "state": Column(title="State", key=lambda row: row[0].state, is_number=False),
    "caller": Column(title="Caller", key=lambda row: row[0].caller, is_number=False),
    "age": Column(title="Age", key=lambda row: row[0].age),
    "left": Column(title="Time left", key=lambda row: row[0].left),
}


def app(
    rabbit: Rabbit | str | None = None,
    *,
    allow_calls: bool = False,
    token: str = "",
    user_header: str = "",
    hosts: Sequence[str] = (),
    show_arguments: bool = False,
    interval: float = 2.0,
) -> Starlette:
    """The console, to be served alone or mounted into another ASGI app.

    It begins to ask the servers with its first request, or when its lifespan begins.

    :param rabbit: a connection, or the URL of a broker. With a URL the console has a connection of
        its own, and closes it when its lifespan ends.
    :param allow_calls: whether it may call methods, cancel calls, and retry or drop failed
        requests. Without that it only looks.
    :param token: what people must know to get in. Default: nothing, so anybody who reaches it does.
    :param user_header: the header in which a proxy says who it is; nobody gets in without it. The
        proxy must not let it through from outside.
    :param hosts: the names that it answers to, without ports; default: any.
    :param show_arguments: whether arguments of failed requests are shown.
    :param interval: seconds between two questions to all servers.
    """
    access = Access(token=token, user_header=user_header, hosts=tuple(hosts))
    console = _Console(
        rabbit,
        access,
        allow_calls=allow_calls,
        show_arguments=show_arguments,
        interval=interval,
    )
    made = Starlette(
        routes=console.routes(),
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={
            LeveretError: console.on_error,
            msgspec.MsgspecError: console.on_error,
            404: console.not_found,
        },
        lifespan=console.lifespan,
    )
    made.state.end_feeds = console.poller.end
    return made


class _Console:
    """One console: its connection, its poller, and its pages."""

    def __init__(
        self,
        rabbit: Rabbit | str | None,
        access: Access,
        *,
        allow_calls: bool,
        show_arguments: bool,
        interval: float,
    ) -> None:
        self._given = rabbit
        self._opened = rabbit if isinstance(rabbit, Rabbit) else None
        self._access = access
        self._allow_calls = allow_calls
        self._show_arguments = show_arguments
        self._contracts = Contracts()
        self.poller = Poller(self._ask_stats, interval=interval)
        self._running: Recent[Survey[ServerCalls]] = Recent(self._ask_calls)
        self._pages = Pages(
            version=__version__,
            allow_calls=allow_calls,
            has_log_in=bool(access.token),
            poller=self.poller,
            quantile=_quantile,
        )

    # -- its life -----------------------------------------------------------------------------

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Poll until the end."""
        async with AsyncExitStack() as stack:
            self._start()
            stack.push_async_callback(self._close)
            stack.push_async_callback(self.poller.stop)
            yield

    async def _close(self) -> None:
        if self._opened is not None and not isinstance(self._given, Rabbit):
            await self._opened.close()

    def _start(self) -> None:
        if self._opened is None:
            given = self._given
            assert given is None or isinstance(given, str)
            self._opened = connect(given, name=NAME, lazy=True)
        self.poller.start()

    @property
    def _rabbit(self) -> Rabbit:
        self._start()
        assert self._opened is not None
        return self._opened

    async def _ask_stats(self) -> StatsSurvey:
        try:
            return await self._rabbit.stats()
        except CallError as error:
            if error.code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
                await self._rabbit  # only this has a lazy connection try again
            raise

    async def _ask_calls(self) -> Survey[ServerCalls]:
        return await self._rabbit.running_calls()

    def routes(self) -> list[Route | Mount]:
        """Where everything is."""
        get = {
            "/": self.overview,
            "/methods": self.methods,
            "/service/{name}": self.service,
            "/method/{key}": self.method,
            "/instance/{instance}": self.instance,
            "/calls": self.calls,
            "/failures": self.failures,
            "/failed/{key}": self.failed_requests,
            "/queues": self.queues,
            "/map": self.map,
            "/search": self.search,
            "/events": self.events,
            "/login": self.log_in_page,
        }
        post = {
            "/call/{key}": self.call,
            "/stream/{key}": self.stream,
            "/calls/stop": self.stop_calls,
            "/failed/{key}/{what}": self.settle_failed,
            "/login": self.log_in,
            "/logout": self.log_out,
        }
        return [
            *(Route(path, endpoint, methods=["GET"]) for path, endpoint in get.items()),
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in post.items()),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    async def _ready(self) -> None:
        """Have the first poll done before the first page."""
        self._start()
        await self.poller.after(0)

    # -- pages --------------------------------------------------------------------------------

    async def overview(self, request: Request) -> Response:
        """The services, the worst first, and what is wrong."""
        await self._ready()
        view = self.poller.view
        rows = sorted(view.services.values(), key=lambda row: row.name)
        rows.sort(key=lambda row: row.worst, reverse=True)
        shown = listing(rows, request.query_params, columns=_OF_SERVICES, text=lambda row: row.name)
        return self._pages.render(
            request,
            "overview.html",
            view=view,
            list=shown,
            troubled=[row for row in rows if row.troubles],
            slowest=_slowest(view.methods.values()),
        )

    async def methods(self, request: Request) -> Response:
        """All methods of all services."""
        await self._ready()
        shown = self._list_methods(list(self.poller.view.methods.values()), request)
        return self._pages.render(request, "methods.html", view=self.poller.view, list=shown)

    def _list_methods(self, rows: list[MethodRow], request: Request) -> object:
        rows.sort(key=lambda row: row.worst, reverse=True)
        return listing(rows, request.query_params, columns=_OF_METHODS, text=lambda row: row.key)

    async def service(self, request: Request) -> Response:
        """One service: its methods and its servers."""
        await self._ready()
        view = self.poller.view
        name = request.path_params["name"]
        row = view.services.get(name)
        if row is None:
            return self._missing(request, f"No service {name} is known.")
        contracts = await self._contracts_of(name)
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

    async def _contracts_of(self, service: str) -> list[Contract]:
        """The contracts of a service; none where its servers cannot be asked."""
        if self.poller.away:
            return []
        servers = [row.stats for row in self.poller.view.serving(service) if not row.is_gone]
        try:
            return await self._contracts.of(self._rabbit.calls, service, servers)
        except (LeveretError, RuntimeError):
            return []

    async def _described(self, key: str) -> Mapping[str, Any] | None:
        """What most servers of a method say of it; None where nobody does."""
        service, _, name = key.partition(".")
        contracts = await self._contracts_of(service)
        return next((it.methods[name] for it in contracts if name in it.methods), None)

    async def method(self, request: Request) -> Response:
        """One method: its figures, its callers, and the form for calling it."""
        await self._ready()
        view = self.poller.view
        key = request.path_params["key"]
        service = key.partition(".")[0]
        described = await self._described(key)
        row = view.methods.get(key)
        if row is None and described is None:
            return self._missing(request, f"No method {key} is known.")
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
            row=row or MethodRow(key=key, total=MethodTotals(method=key)),
            described=described,
            form=form(described["arguments"], value) if described else None,
            given=given,
            wrong=wrong,
            schema=pretty(described) if described else "",
            parts=_by_server(view.instances.values(), key),
        )

    async def instance(self, request: Request) -> Response:
        """One server."""
        await self._ready()
        instance = request.path_params["instance"]
        row = self.poller.view.instances.get(instance)
        if row is None:
            return self._missing(request, f"No server {instance} is known; it may have ended.")
        queues = sorted(row.stats.methods.items())
        shown = listing(queues, request.query_params, columns={}, text=lambda pair: pair[0])
        return self._pages.render(
            request, "instance.html", view=self.poller.view, row=row, list=shown
        )

    async def calls(self, request: Request) -> Response:
        """What runs now."""
        await self._ready()
        survey: Survey[ServerCalls] = Survey(servers=[], missing={})
        why = ""
        try:
            survey = await self._running.get()
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
            view=self.poller.view,
            list=shown,
            survey=survey,
            more=sum(server.total - len(server.calls) for server in survey.servers),
            why=why,
        )

    async def failures(self, request: Request) -> Response:
        """The last error of each method, and how many there were by code."""
        await self._ready()
        view = self.poller.view
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
            columns={},
            text=lambda row: f"{row.key} {row.total.last_error}",
        )
        codes = sorted(by_code.items(), key=lambda pair: -pair[1])
        return self._pages.render(
            request, "failures.html", view=view, list=shown, codes=codes, code=code
        )

    async def failed_requests(self, request: Request) -> Response:
        """The failed one-way requests of a method."""
        await self._ready()
        key = request.path_params["key"]
        rows: list[dict[str, Any]] = []
        count = 0
        why = ""
        try:
            requests = await self._failed(key, _MOST_FAILED)
            count = requests.count
            try:
                async for delivery in requests.each():
                    failure = read_failure(delivery.properties)
                    shown = {
                        "id": delivery.properties.correlation_id or "",
                        "caller": delivery.properties.app_id or "",
                        "failure": failure,
                        "size": len(delivery.body or b""),
                        "body": "",
                    }
                    if self._show_arguments:
                        shown["body"] = (delivery.body or b"").decode(errors="replace")[:10_000]
                    rows.append(shown)
            finally:
                await requests.close()
        except (LeveretError, RuntimeError) as error:
            why = str(error)
        return self._pages.render(
            request,
            "failed.html",
            view=self.poller.view,
            key=key,
            rows=rows,
            count=count,
            why=why,
            show_arguments=self._show_arguments,
        )

    async def _failed(self, key: str, most: int) -> FailedRequests:
        connection = self._rabbit.calls.connection
        return await FailedRequests.open(connection, named_spec(key).key, prefetch=most)

    async def queues(self, request: Request) -> Response:
        """The queues of the methods, as the broker sees them."""
        await self._ready()
        rows: dict[str, str] = {}
        for instance in self.poller.view.instances.values():
            for queue, stats in instance.stats.methods.items():
                rows.setdefault(queue, method_of(queue, stats))
        shown = listing(
            sorted(rows.items()), request.query_params, columns={}, text=lambda pair: pair[0]
        )
        found = []
        why = self.poller.away
        if not why:
            try:
                found = await look_at(self._rabbit.calls.connection, shown.rows)
            except (LeveretError, RuntimeError) as error:
                why = str(error)
        return self._pages.render(
            request, "queues.html", view=self.poller.view, list=shown, rows=found, why=why
        )

    async def map(self, request: Request) -> Response:
        """Who calls whom."""
        await self._ready()
        view = self.poller.view
        found = map_of(view)
        around = request.query_params.get("around", "")
        if around not in found.nodes:
            around = ""
        edges = [it for it in found.edges if not around or around in (it.caller, it.service)]
        edges.sort(key=lambda it: it.traffic.per_second or 0.0, reverse=True)
        shown = listing(
            edges, request.query_params, columns={}, text=lambda it: f"{it.caller} {it.service}"
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

    async def search(self, request: Request) -> Response:
        """Where what somebody pasted leads: a service, a method, a server, or a call."""
        await self._ready()
        view = self.poller.view
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
                survey = await self._running.get()
                ids = {call.id for server in survey.servers for call in server.calls}
                where = "calls" if wanted in ids else where
            except (LeveretError, RuntimeError):
                pass
        return RedirectResponse(f"{base}/{where}{with_changes({}, {'q': wanted})}", 303)

    async def events(self, request: Request) -> Response:
        """Tell the browser of each poll: it asks again for what its page shows."""
        self._start()
        return Feed(self._turns())

    async def _turns(self) -> AsyncIterator[tuple[str, str]]:
        turn = self.poller.turn
        while True:
            turn = await self.poller.after(turn)
            if self.poller.is_over:
                return
            yield "poll", msgspec.json.encode({"turn": turn, "away": self.poller.away}).decode()

    # -- writes -------------------------------------------------------------------------------

    async def call(self, request: Request) -> Response:
        """Call a method by its form."""
        key, asked = await self._asked(request)
        answer = await unless_left(request.receive, self._answer(key, asked))
        if answer is None:
            return Response(status_code=_LEFT)  # which nobody hears
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def _answer(self, key: str, asked: AskedCall) -> Answer:
        reply: dict[str, str] = {}
        callers = self._callers(asked, reply)
        before = await self._counted(key)

        async def after() -> MethodTotals | None:
            return await self._counted(key)

        return await make_call(callers, key, asked, reply, before, after)

    async def _counted(self, key: str) -> MethodTotals | None:
        """What a method's servers have counted; None where they are too many to ask, or away."""
        service = key.partition(".")[0]
        row = self.poller.view.services.get(service)
        if row is None or not 0 < row.instances <= _MEASURED_BELOW:
            return None
        try:
            survey = await self._rabbit.stats(service)
        except LeveretError:
            return None
        return survey.methods().get(key)

    async def stream(self, request: Request) -> Response:
        """Stream from a method by its form."""
        key, asked = await self._asked(request)
        reply: dict[str, str] = {}
        return Feed(stream_call(self._callers(asked, reply), key, asked, reply))

    async def _asked(self, request: Request) -> tuple[str, AskedCall]:
        """What a browser asks for; without a timeout of its own it has that of its method."""
        self._check_writable()
        key, asked = request.path_params["key"], read_call(await _body(request))
        if asked.timeout is None:
            await self._ready()
            described = await self._described(key)
            asked = msgspec.structs.replace(
                asked, timeout=described.get("timeout") if described else None
            )
        return key, asked

    def _callers(self, asked: AskedCall, reply: dict[str, str]) -> Callers:
        return self._rabbit.with_options(
            timeout=asked.timeout,
            metadata=asked.metadata or None,
            priority=asked.priority,
            idempotency_key=asked.idempotency_key,
            reply_metadata=reply,
        )

    def _check_writable(self) -> None:
        if not self._allow_calls:
            raise _ReadOnly("the console only looks: start it with --allow-calls")

    async def stop_calls(self, request: Request) -> Response:
        """Cancel calls, whoever made them."""
        self._check_writable()
        ids = msgspec.json.decode(await _body(request), type=list[str])
        stopped = await self._rabbit.stop_calls(ids, timeout=_STOPPED_WITHIN)
        self._running.forget()
        return JSONResponse({"stopped": stopped})

    async def settle_failed(self, request: Request) -> Response:
        """Retry or drop failed requests; the body has the ids of some."""
        self._check_writable()
        key, what = request.path_params["key"], request.path_params["what"]
        if what not in ("retry", "drop"):
            raise InvalidArgument("failed requests are retried or dropped")
        ids = set(msgspec.json.decode(await _body(request), type=list[str]))
        done = 0
        requests = await self._failed(key, _MOST_SEARCHED)
        try:
            async for delivery in requests.each():
                if delivery.properties.correlation_id in ids:
                    if what == "retry":
                        await requests.retry(delivery)
                    else:
                        requests.drop(delivery)
                    done += 1
                    ids.remove(delivery.properties.correlation_id)
                if not ids:
                    break
        finally:
            await requests.close()
        return JSONResponse({"done": done})

    # -- log-in -------------------------------------------------------------------------------

    async def log_in_page(self, request: Request) -> Response:
        """Ask for the token."""
        there = request.query_params.get("next", "/")
        return self._pages.render(request, "login.html", wrong=False, there=there)

    async def log_in(self, request: Request) -> Response:
        """Check the token, and remember the browser."""
        given = parse_qs((await _body(request, _MOST_LOG_IN)).decode(errors="replace"))
        there = given.get("next", ["/"])[0]
        if not there.startswith("/") or there.startswith(("//", "/\\")):
            there = "/"
        if not self._access.is_right(given.get("token", [""])[0]):
            await asyncio.sleep(_WRONG_TOKEN)
            return self._pages.render(request, "login.html", status=403, wrong=True, there=there)
        base = request.scope.get("root_path", "")
        response = RedirectResponse(f"{base}{there}", 303)
        response.set_cookie(
            COOKIE,
            self._access.cookie,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path=f"{base}/",
        )
        return response

    async def log_out(self, request: Request) -> Response:
        """Forget the browser."""
        base = request.scope.get("root_path", "")
        response = RedirectResponse(f"{base}/login", 303)
        response.delete_cookie(COOKIE, path=f"{base}/")
        return response

    # -- what goes wrong ----------------------------------------------------------------------

    def _missing(self, request: Request, text: str) -> Response:
        return self._pages.render(
            request, "missing.html", status=404, view=self.poller.view, text=text
        )

    async def not_found(self, request: Request, _error: Exception) -> Response:
        """No such page."""
        return self._missing(request, "There is no such page.")

    async def on_error(self, request: Request, error: Exception) -> Response:
        """A write failed before there was an answer."""
        known = error if isinstance(error, LeveretError) else InvalidArgument(str(error))
        status = 403 if isinstance(error, _ReadOnly) else 400
        if request.method == "GET":
            return PlainTextResponse(str(error), 503)
        answer = msgspec.json.encode(failed(known, 0.0, {}))
        return Response(answer, status, media_type="application/json")


class _ReadOnly(LeveretError):
    """The console may not do that."""


async def _body(request: Request, most: int = _MOST_BODY) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > most:
            raise InvalidArgument(f"the request has more than {most:,} bytes")
    return bytes(found)


def _quantile(stats: HistogramStats, share: float) -> float | None:
    histogram = Histogram()
    histogram.add(stats.counts, stats.seconds)
    return quantile(histogram, share)


def _slowest(rows: Any) -> list[MethodRow]:
    """The methods that people look for first."""
    found = [row for row in rows if row.of_window]
    found.sort(key=lambda row: (row.share, row.p95 or 0.0), reverse=True)
    return found[:5]


def _by_server(rows: Any, key: str) -> list[tuple[InstanceRow, Any]]:
    """What each server says of a method."""
    return [
        (row, stats)
        for row in rows
        for queue, stats in row.stats.methods.items()
        if method_of(queue, stats) == key
    ][:50]
