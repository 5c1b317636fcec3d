"""The service that the notebook calls: `leveret serve reports:Reports`."""

import asyncio

from leveret import Service, current_call, method


class Reports(Service):
    @method(timeout=600)
    async def write(self, pages: int) -> str:
        """Write a report, page by page."""
        for page in range(pages):
            await asyncio.sleep(0.3)
            current_call().progress((page + 1) / pages, f"page {page + 1}")
        return f"a report of {pages} pages"
