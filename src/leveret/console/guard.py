"""Stands before all pages: who is not to see or to write gets no further."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leveret.console.access import SECURITY_HEADERS, Access

__all__ = ["Guard"]


class Guard:
    """An ASGI app around another one, which it hands only what `Access` lets through."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, send_safely)
        else:
            await self._app(scope, receive, send_safely)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        access = self._access
        if not access.is_host_known(headers):
            return PlainTextResponse("The console does not answer to this host name.", 421)
        if not access.may_write(scope["method"], headers):
            return PlainTextResponse(_of_another(headers), 403)
        root = scope.get("root_path", "")
        path = scope["path"].removeprefix(root) if root else scope["path"]
        if (
            access.user_of(headers) is not None
            or path.startswith("/static/")
            or (path == "/login" and access.token)
        ):
            return None
        if not access.token:
            return PlainTextResponse("Nobody is logged in.", 401)
        return _to_log_in(scope, root, path)


def _to_log_in(scope: Scope, root: str, path: str) -> Response:
    """What a browser is sent to before it sees this path, and others are told."""
    accepts = Headers(scope=scope).get("accept", "")
    if scope["method"] != "GET" or "text/html" not in accepts:
        return PlainTextResponse("Log in first.", 401)
    if root and path == f"{root}/login":  # or it would be led there for ever
        return PlainTextResponse(f"--root-path: the proxy is to take {root} off the path.", 404)
    query = scope.get("query_string", b"").decode("latin-1")
    there = path + (f"?{query}" if query else "")
    return RedirectResponse(f"{root}/login?{urlencode({'next': there})}", 303)


def _of_another(headers: Headers) -> str:
    """Why a request may not write."""
    why = "Only pages of the console itself may do that."
    if headers.get("origin"):
        why += " This one has another origin; a proxy is to hand on Host as the browser sent it."
    return why
