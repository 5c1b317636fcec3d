"""A remote before Python's own tools: `help`, `inspect`, and the warning of a forgotten await."""

from __future__ import annotations

import asyncio
import inspect
import pydoc

import pytest

import leveret
from leveret import ClientCallNext, OutgoingCall, Service, method


class Orders(Service):
    """Orders of a shop."""

    @method
    async def quote(self, sku: str, count: int = 1) -> float:
        """What some of them cost."""
        return float(count)


class Undocumented(Service):
    @method
    async def quote(self) -> None: ...


async def passed_on(call: OutgoingCall, call_next: ClientCallNext) -> object:
    return await call_next(call)


def shown(thing: object) -> str:
    return pydoc.render_doc(thing, renderer=pydoc.plaintext)  # type: ignore[attr-defined]


async def test_help_shows_what_can_be_called_and_how() -> None:
    async with leveret.connect("embedded://") as rabbit:
        orders = rabbit.remote(Orders)
        text = shown(orders)
        assert "Orders of a shop." in text
        assert "async quote(self, /, sku: str, count: int = 1) -> float" in text
        assert "What some of them cost." in text
        text = shown(orders.quote)
        assert "async quote(sku: str, count: int = 1) -> float" in text
        assert "What some of them cost." in text
        assert inspect.getdoc(rabbit.remote(Undocumented)) == "The remote service undocumented."


async def test_a_remote_method_is_a_coroutine_function() -> None:
    async with leveret.connect("embedded://") as rabbit, rabbit.serving(Orders()):
        orders = rabbit.remote(Orders)
        assert inspect.iscoroutinefunction(orders.quote)
        if hasattr(asyncio, "iscoroutinefunction"):  # it goes with Python 3.16
            assert asyncio.iscoroutinefunction(orders.quote)
        assert list(inspect.signature(orders.quote).parameters) == ["sku", "count"]
        assert await type(orders).quote(orders, "carrot", 2) == 2.0


@pytest.mark.parametrize("middleware", [(), (passed_on,)])
async def test_a_forgotten_await_names_the_method(
    middleware: tuple[leveret.ClientMiddleware, ...],
) -> None:
    async with leveret.connect("embedded://", middleware=middleware) as rabbit:
        calls = [rabbit.remote(Orders).quote("carrot")]
        with pytest.warns(RuntimeWarning, match=r"coroutine 'orders\.quote' was never awaited"):
            calls.clear()
