"""Middleware on both sides: `python tenants.py` serves and calls in one process.

The client's adds a tenant to each call and takes its time; the server's lets no call in without a
tenant, and says in the reply which handler time the caller has paid for.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import leveret
from leveret import CurrentCall, PermissionDenied, Service, current_call, method


class Greeter(Service):
    """Greets in the name of whoever pays for it."""

    @method
    async def greet(self, name: str) -> str:
        """Return a greeting."""
        return f"Hello {name}, from {current_call().metadata['tenant']}"


async def take_time(call: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
    """Around each call of a client: how long did it take?"""
    began = time.perf_counter()
    try:
        return await call_next(call)
    finally:
        print(f"{call.method}{call.arguments} took {1000 * (time.perf_counter() - began):.1f} ms")


async def add_tenant(call: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
    """Around each call of a client: what is set here travels with the request."""
    call.metadata["tenant"] = "Burrow Ltd"
    return await call_next(call)


async def require_tenant(
    call: CurrentCall, call_next: Callable[[CurrentCall], Awaitable[Any]]
) -> Any:
    """Around each handler: a call without tenant does not get to it."""
    if not call.metadata.get("tenant"):
        raise PermissionDenied("name a tenant: with_options(metadata={'tenant': ...})")
    began = time.perf_counter()
    result = await call_next(call)
    call.reply_metadata["handler-us"] = f"{1e6 * (time.perf_counter() - began):.0f}"
    return result


async def main() -> None:
    """Call once with the middleware and once without."""
    async with (
        leveret.connect() as server,
        leveret.connect(middleware=[take_time, add_tenant]) as client,
        leveret.connect() as stranger,
        server.serving(Greeter(), middleware=[require_tenant]),
    ):
        reply: dict[str, str] = {}
        print(await client.remote(Greeter).with_options(reply_metadata=reply).greet("Leveret"))
        print(f"of that in the handler: {int(reply['handler-us']) / 1000:.1f} ms")
        try:
            await stranger.remote(Greeter).greet("Leveret")
        except PermissionDenied as error:
            print(f"refused: {error}")


if __name__ == "__main__":
    leveret.run(main())
