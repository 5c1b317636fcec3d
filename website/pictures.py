"""Takes the pictures of the console in docs/images: `python -m website.pictures`.

It runs a shop of a dozen services on an embedded broker for about a minute and a half: `tax.check`
is slow and fails at times, `orders.place` fails where a shelf is missing. Then Chromium looks.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import uvicorn
from playwright.async_api import Page

import leveret
from leveret import CallError, Rabbit, Service, method
from leveret.console import app
from tests.chromium import browser

_IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
_BROKER: Final = "embedded://pictures"
_FOR: Final = 80.0
"""Seconds for which calls are made before the first picture: a minute of figures, and some."""
_CALLS: Final[Mapping[str, Sequence[str]]] = {
    "storefront": ("carts", "search", "orders.place"),
    "mobile_api": ("users", "search", "orders.place"),
    "carts": ("prices", "stock"),
    "search": ("prices",),
    "orders": ("stock", "billing", "mail"),
    "billing": ("tax.check", "ledger"),
    "prices": ("tax.check",),
    "users": ("mail",),
    "stock": ("ledger",),
    "tax": (),
    "ledger": (),
    "mail": (),
    "vouchers": (),
}
_PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    "website": ("storefront",),
    "ios-app": ("mobile_api",),
    "night-batch": ("billing", "users"),
}
_METHODS: Final = ("find", "create", "change", "remove")


class _Shop:
    """Its services, each with a connection of its own, by which it calls others."""

    def __init__(self) -> None:
        self._rabbits: dict[str, Rabbit] = {}
        self._dice = random.Random(11)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve all of them."""
        async with AsyncExitStack() as stack:
            for name in _CALLS:
                rabbit = leveret.connect(_BROKER, name=name)
                self._rabbits[name] = await stack.enter_async_context(rabbit)
                await stack.enter_async_context(rabbit.serving(self._service(name)()))
            yield

    async def use(self, name: str, services: Sequence[str]) -> None:
        """Call services as a program of this name, without an end."""
        async with leveret.connect(_BROKER, name=name) as rabbit:
            while True:
                await asyncio.sleep(self._dice.uniform(0.1, 0.4))
                await self._call(rabbit, self._dice.choice(services))

    async def _call(self, rabbit: Rabbit, what: str) -> None:
        key = what if "." in what else f"{what}.{self._dice.choice(_METHODS)}"
        given = {"orders.place": {"sku": "A-9"}, "tax.check": {"country": "Norway"}}
        try:
            await rabbit.call(key, **given.get(key, {"key": "A-7"}))
        except CallError:
            pass

    async def _work(self, service: str) -> None:
        await asyncio.sleep(self._dice.uniform(0.002, 0.02))
        for what in _CALLS[service]:
            if self._dice.random() < 0.4:
                await self._call(self._rabbits[service], what)

    def _service(self, service: str) -> type[Service]:
        space: dict[str, Any] = {name: self._method(service, name) for name in _METHODS}
        if service == "orders":
            space["place"] = self._place()
        if service == "tax":
            space["check"] = self._check()
        title = "".join(part.title() for part in service.split("_"))
        return type(title, (Service,), space, name=service, version="1.4.2")

    def _method(self, service: str, name: str) -> Any:
        shop_work = self._work

        async def work(self: Service, key: str, limit: int = 20) -> list[str]:
            await shop_work(service)
            return [key][:limit]

        work.__name__, work.__doc__ = name, f"{name.title()} what has this key."
        return method(work)

    def _place(self) -> Any:
        work, dice = self._work, self._dice

        async def place(
            self: Service,
            sku: str,
            quantity: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1,
            gift: str | None = None,
        ) -> dict[str, int]:
            """Place an order; returns its number.

            The stock is asked first, and nothing is charged if it has too little.
            """
            await work("orders")
            if dice.random() < 0.06 and not gift:
                raise LookupError(f"the stock of {sku} cannot be read: no such shelf")
            return {"number": 48_213, "quantity": quantity}

        return method(place)

    def _check(self) -> Any:
        dice = self._dice

        async def check(self: Service, country: str) -> bool:
            """Look up the rates of a country."""
            await asyncio.sleep(dice.uniform(0.3, 1.9))
            if dice.random() < 0.15:
                raise TimeoutError(f"the rates for {country} did not come within 2 s")
            return True

        return method(check)


@asynccontextmanager
async def _console() -> AsyncIterator[str]:
    """A console that may call, at the URL that is given."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        made = app(_BROKER, allow_calls=True)
        server = uvicorn.Server(uvicorn.Config(made, log_config=None, ws="none", lifespan="on"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            made.state.end_feeds()
            server.should_exit = True
            await serving


async def _take(page: Page) -> None:
    await page.goto("/")
    await page.screenshot(path=_IMAGES / "console-overview.png")
    await page.goto("/map")
    await page.locator("#map .scroll").screenshot(path=_IMAGES / "console-map.png")
    await page.set_viewport_size({"width": 1200, "height": 1060})
    await page.goto("/method/orders.place")
    await page.locator('[data-name="sku"] [data-input]').fill("A-7")
    await page.locator("#send").click()
    await page.locator("#verdict.good").wait_for()
    await page.evaluate("scrollTo(0, 0)")
    await page.screenshot(path=_IMAGES / "console-method.png")


async def main() -> None:
    """Take the pictures."""
    shop = _Shop()
    async with shop.serving(), _console() as base, browser() as chromium:
        users = [asyncio.create_task(shop.use(*program)) for program in _PROGRAMS.items()]
        context = await chromium.new_context(
            base_url=base, viewport={"width": 1200, "height": 800}, color_scheme="light"
        )
        page = await context.new_page()
        await page.goto("/")  # from now on the console counts
        await asyncio.sleep(_FOR)
        await _take(page)
        for user in users:
            user.cancel()
        await asyncio.gather(*users, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
