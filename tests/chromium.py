"""Debian's Chromium for tests: found, or installed by apt. Playwright drives it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from playwright.async_api import Browser, async_playwright

from tests import apt

__all__ = ["browser"]

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_PACKAGE: Final = "chromium"


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser, which ends with the block."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=_find_or_install(),
            # As root, which containers of CI are, Chromium has no sandbox.
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            yield chromium
        finally:
            await chromium.close()


def _find_or_install() -> str:
    found = _find()
    if found is None:
        command = apt.apt_command()
        assert command is not None, (
            f"these tests need {_PACKAGE}, which is not installed, and this user cannot run apt-get"
            f" without a password; install it: sudo apt-get install {_PACKAGE}"
        )
        apt.install(command, _PACKAGE)
        found = _find()
    assert found is not None, f"{_PACKAGE} is installed, but none of {_NAMES} is in PATH"
    return found


def _find() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)
