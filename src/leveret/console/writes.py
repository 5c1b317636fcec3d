"""What browsers have done: calls, streams, calls that are cancelled, servers that drain."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leveret.client.totals import MethodTotals
from leveret.console.access import Access
from leveret.console.bodies import read_body
from leveret.console.calling import Answer, AskedCall, Callers, make_call, read_call, stream_call
from leveret.console.feed import Feed
from leveret.console.leaving import unless_left
from leveret.console.system import System
from leveret.errors import LeveretError

__all__ = ["Writes"]

_LEFT: Final = 499
"""The status of an answer whose browser has left."""
_STOPPED_WITHIN: Final = 5.0
"""Seconds that servers have to say that they have cancelled calls, or drain."""
_MEASURED_BELOW: Final = 20
"""How many servers a method may have for its calls to be measured there."""


class Writes:
    """What browsers have done at servers.

    :param system: where it is done.
    :param access: who may write.
    """

    def __init__(self, system: System, access: Access) -> None:
        self._system = system
        self._access = access

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/call/{key}", self.call, methods=["POST"]),
            Route("/stream/{key}", self.stream, methods=["POST"]),
            Route("/calls/stop", self.stop_calls, methods=["POST"]),
            Route("/instance/{instance}/drain", self.drain, methods=["POST"]),
        ]

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
        row = self._system.view.services.get(service)
        if row is None or not 0 < row.instances <= _MEASURED_BELOW:
            return None
        try:
            survey = await self._system.rabbit.stats(service)
        except LeveretError:
            return None
        return survey.methods().get(key)

    async def stream(self, request: Request) -> Response:
        """Stream from a method by its form."""
        key, asked = await self._asked(request)
        reply: dict[str, str] = {}
        return Feed(stream_call(self._callers(asked, reply), key, asked, reply))

    async def stop_calls(self, request: Request) -> Response:
        """Cancel calls, whoever made them."""
        self._access.check_writable()
        ids = msgspec.json.decode(await read_body(request), type=list[str])
        stopped = await self._system.rabbit.stop_calls(ids, timeout=_STOPPED_WITHIN)
        self._system.running.forget()
        return JSONResponse({"stopped": stopped})

    async def drain(self, request: Request) -> Response:
        """Have a server take no more calls, and end."""
        self._access.check_writable()
        instance = request.path_params["instance"]
        draining = await self._system.rabbit.drain_server(instance, timeout=_STOPPED_WITHIN)
        return JSONResponse({"draining": draining})

    async def _asked(self, request: Request) -> tuple[str, AskedCall]:
        """What a browser asks for; without a timeout of its own it has that of its method."""
        self._access.check_writable()
        key, asked = request.path_params["key"], read_call(await read_body(request))
        if asked.timeout is None:
            await self._system.ready()
            described = await self._system.described(key)
            asked = msgspec.structs.replace(
                asked, timeout=described.get("timeout") if described else None
            )
        return key, asked

    def _callers(self, asked: AskedCall, reply: dict[str, str]) -> Callers:
        return self._system.rabbit.with_options(
            timeout=asked.timeout,
            metadata=asked.metadata or None,
            priority=asked.priority,
            idempotency_key=asked.idempotency_key,
            reply_metadata=reply,
        )
