"""Debian's Chromium for tests. Playwright drives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from tests.programs import CHROMIUM

__all__ = ["browser"]


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser, which ends with the block."""
    path = await asyncio.to_thread(CHROMIUM.find_or_install)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=path,
            # As root, which containers of CI are, Chromium has no sandbox.
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            yield chromium
        finally:
            await chromium.close()
