"""The implementation of the contract: `python pricing_server.py`, until Ctrl-C.

It overrides the abstract methods as plain Python does. Their names, options and checks are the
contract's.
"""

from __future__ import annotations

import logging
from decimal import Decimal

from pricing import Line, Pricing, Quote, UnknownArticle

import leveret


class PricesFromATable(Pricing):
    """The prices of a very small shop."""

    def __init__(self, prices: dict[str, Decimal]) -> None:
        self._prices = prices

    async def quote(self, lines: list[Line]) -> Quote:
        """Add up."""
        return Quote(sum((self._price(line.sku) * line.count for line in lines), Decimal(0)))

    def _price(self, sku: str) -> Decimal:
        try:
            return self._prices[sku]
        except KeyError:
            raise UnknownArticle(sku=sku) from None


async def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    async with leveret.connect() as rabbit:
        await rabbit.serve(PricesFromATable({"carrot": Decimal("0.30"), "hay": Decimal("4.95")}))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    leveret.run(main())
