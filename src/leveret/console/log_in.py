"""Logging in and out by the token."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from leveret.console.access import COOKIE, Access
from leveret.console.bodies import read_body
from leveret.console.rendering import Pages

__all__ = ["LogIn"]

_WRONG_TOKEN: Final = 0.5
"""Seconds that a wrong token costs."""
_MOST_LOG_IN: Final = 4_096
"""Bytes of the largest log-in."""


class LogIn:
    """Logs browsers in and out.

    :param access: who may see.
    :param pages: renders the page that asks for the token.
    """

    def __init__(self, access: Access, pages: Pages) -> None:
        self._access = access
        self._pages = pages

    def routes(self) -> list[Route]:
        """Where that is done."""
        return [
            Route("/login", self.log_in_page),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
        ]

    async def log_in_page(self, request: Request) -> Response:
        """Ask for the token."""
        there = request.query_params.get("next", "/")
        return self._pages.render(request, "login.html", wrong=False, there=there)

    async def log_in(self, request: Request) -> Response:
        """Check the token, and remember the browser."""
        given = parse_qs((await read_body(request, _MOST_LOG_IN)).decode(errors="replace"))
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
