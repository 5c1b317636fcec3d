"""A service whose work lasts: a stream, progress, a started call, two stages of a pipe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from leveret import Meta, Service, current_call, method

Count = Annotated[int, Meta(ge=1, le=1000)]


class Photos(Service):
    """Scans, shrinks and stamps photos. A photo is a text here."""

    @method
    async def scan(self, count: Count) -> AsyncIterator[str]:
        """Give each photo as soon as it is scanned."""
        for number in range(1, count + 1):
            await asyncio.sleep(0.05)
            yield f"photo-{number}"

    @method(timeout=60)
    async def develop(self, count: Count) -> str:
        """Develop a film, and say how far it is."""
        for number in range(count):
            current_call().progress(number / count, f"photo {number + 1} of {count}")
            await asyncio.sleep(0.3)
        return f"{count} photos"

    @method(idempotent=True, timeout=60)
    async def album(self, count: Count) -> str:
        """Make an album, which takes longer than its caller is there."""
        print("making an album", flush=True)
        await asyncio.sleep(1)
        return f"an album of {count} photos"

    @method(idempotent=True)
    async def shrink(self, photo: str) -> str:
        """Make a photo small: the first stage of the pipe."""
        return f"small {photo}"

    @method(idempotent=True)
    async def stamp(self, photo: str) -> str:
        """Put a watermark on a photo: the second stage."""
        return f"{photo} with a watermark"
