"""The failed one-way requests of a method: shown, and retried or dropped."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leveret.client.failed_requests import FailedRequests
from leveret.client.named import named_spec
from leveret.console.access import Access
from leveret.console.bodies import read_body
from leveret.console.rendering import Pages
from leveret.console.system import System
from leveret.errors import InvalidArgument, LeveretError
from leveret.wire.native.failed import read_failure
from leveret.wire.native.headers import METADATA
from leveret.wire.trace_ids import trace_id_of

__all__ = ["FailedPage"]

_MOST_FAILED: Final = 200
"""How many failed requests are shown."""
_MOST_SEARCHED: Final = 1_000
"""Among how many failed requests, the oldest, those are looked for that are retried or dropped."""


class FailedPage:
    """The page of failed requests, and what is done with them.

    :param system: what is known.
    :param pages: renders it.
    :param access: who may write.
    :param show_arguments: whether arguments are shown.
    """

    def __init__(
        self, system: System, pages: Pages, access: Access, *, show_arguments: bool
    ) -> None:
        self._system = system
        self._pages = pages
        self._access = access
        self._show_arguments = show_arguments

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/failed/{key}", self.failed_requests),
            Route("/failed/{key}/{what}", self.settle_failed, methods=["POST"]),
        ]

    async def failed_requests(self, request: Request) -> Response:
        """The failed one-way requests of a method."""
        await self._system.ready()
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
                        "trace": trace_id_of((delivery.properties.headers or {}).get(METADATA)),
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
            view=self._system.view,
            key=key,
            rows=rows,
            count=count,
            why=why,
            show_arguments=self._show_arguments,
        )

    async def settle_failed(self, request: Request) -> Response:
        """Retry or drop failed requests; the body has the ids of some."""
        self._access.check_writable()
        key, what = request.path_params["key"], request.path_params["what"]
        if what not in ("retry", "drop"):
            raise InvalidArgument("failed requests are retried or dropped")
        ids = set(msgspec.json.decode(await read_body(request), type=list[str]))
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

    async def _failed(self, key: str, most: int) -> FailedRequests:
        connection = self._system.rabbit.calls.connection
        return await FailedRequests.open(connection, named_spec(key).key, prefetch=most)
