"""The console as an ASGI app: its parts, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from leveret.console.access import Access, ReadOnly
from leveret.console.calling import failed
from leveret.console.compare_page import ComparePage
from leveret.console.failed_page import FailedPage
from leveret.console.figures import quantile
from leveret.console.guard import Guard
from leveret.console.live_pages import LivePages
from leveret.console.log_in import LogIn
from leveret.console.pages import ServicePages
from leveret.console.rendering import STATIC, TRACE_ID, Pages
from leveret.console.system import System
from leveret.console.writes import Writes
from leveret.errors import InvalidArgument, InvalidURL, LeveretError
from leveret.rabbit.rabbit import Rabbit
from leveret.version import __version__

__all__ = ["app"]


def app(
    rabbit: Rabbit | str | None = None,
    *,
    allow_calls: bool = False,
    token: str = "",
    user_header: str = "",
    hosts: Sequence[str] = (),
    show_arguments: bool = False,
    trace_link: str = "",
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
    :param trace_link: where traces are shown, as a URL with `{trace_id}` in it: errors and calls
        lead there.
    :param interval: seconds between two questions to all servers.
    :raises InvalidURL: if `trace_link` is no such URL.
    """
    _check_trace_link(trace_link)
    access = Access(
        token=token, user_header=user_header, hosts=tuple(hosts), allow_calls=allow_calls
    )
    system = System(rabbit, interval=interval)
    pages = Pages(
        trace_link=trace_link,
        version=__version__,
        allow_calls=allow_calls,
        has_log_in=bool(token),
        poller=system.poller,
        quantile=quantile,
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        """Poll until the end."""
        system.start()
        try:
            yield
        finally:
            await system.close()

    async def not_found(request: Request, _error: Exception) -> Response:
        """No such page."""
        if isinstance(request.scope.get("endpoint"), StaticFiles):  # its mount is no base of pages
            request.scope["root_path"] = request.scope["root_path"].removesuffix("/static")
        return pages.missing(request, "There is no such page.")

    made = Starlette(
        routes=routes(system, pages, access, show_arguments=show_arguments),
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={
            LeveretError: _on_error,
            msgspec.MsgspecError: _on_error,
            404: not_found,
        },
        lifespan=lifespan,
    )
    made.state.end_feeds = system.poller.end
    return made


def routes(
    system: System, pages: Pages, access: Access, *, show_arguments: bool = False
) -> list[Route | Mount]:
    """Where everything is."""
    return [
        *ServicePages(system, pages).routes(),
        *LivePages(system, pages).routes(),
        *ComparePage(system, pages).routes(),
        *FailedPage(system, pages, access, show_arguments=show_arguments).routes(),
        *Writes(system, access).routes(),
        *LogIn(access, pages).routes(),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


def _check_trace_link(url: str) -> None:
    if url and not (url.startswith(("http://", "https://")) and TRACE_ID in url):
        raise InvalidURL(f"a link to traces is a URL with {TRACE_ID} in it; got {url!r}")


async def _on_error(request: Request, error: Exception) -> Response:
    """A page or a write failed before there was an answer."""
    known = error if isinstance(error, LeveretError) else InvalidArgument(str(error))
    status = 403 if isinstance(error, ReadOnly) else 400
    if request.method == "GET":
        return PlainTextResponse(str(error), 503)
    answer = msgspec.json.encode(failed(known, 0.0, {}))
    return Response(answer, status, media_type="application/json")
