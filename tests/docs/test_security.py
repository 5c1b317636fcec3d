"""The code in docs/security.md runs."""

from __future__ import annotations

import ast
import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import pytest

import leveret
from leveret import Service, method
from tests.docs.fences import blocks

SECURITY = "docs/security.md"


class Orders(Service):
    """What the document's rules are for."""

    @method
    async def show(self) -> str:
        return "all"

    @method
    async def cancel(self) -> str:
        return "none"

    @method
    async def ping(self) -> str:
        return "pong"


async def run(text: str, **names: Any) -> dict[str, Any]:
    """Run a block as if it stood in a coroutine; returns its names."""
    code = compile(text, SECURITY, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    namespace = {"leveret": leveret, **names}
    ended = eval(code, namespace)
    if inspect.isawaitable(ended):
        await ended
    return namespace


async def test_the_callable_gives_what_connect_wants(rabbitmq_url: str) -> None:
    async def read(path: str) -> str:
        return path.rpartition("/")[2]

    names = await run(blocks(SECURITY, "python")[0].text, vault=SimpleNamespace(read=read))
    assert await names["credentials"]() == ("shop-client", "shop-client")
    assert isinstance(names["rabbit"], leveret.Rabbit)


async def test_the_rules_mean_what_the_document_says(rabbitmq_url: str) -> None:
    async with leveret.connect(rabbitmq_url) as rabbit:
        serving = asyncio.create_task(
            run(blocks(SECURITY, "python")[1].text, rabbit=rabbit, Orders=Orders)
        )
        remote = rabbit.remote(Orders).with_options(wait_for_server=True)
        assert await remote.ping() == "pong"
        for call in (remote.show(), remote.cancel()):
            with pytest.raises(leveret.PermissionDenied, match="user 'guest'"):
                await call
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
