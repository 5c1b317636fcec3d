"""A client that has only the contract: `python pricing_client.py`, while pricing_server.py runs."""

from __future__ import annotations

from pricing import Line, Pricing, UnknownArticle

import leveret


async def main() -> None:
    """Ask for two quotes, of which one is refused."""
    async with leveret.connect() as rabbit:
        pricing = rabbit.remote(Pricing)
        quote = await pricing.quote([Line("carrot", 10), Line("hay", 2)])
        print(f"ten carrots and two bales of hay: {quote.total} {quote.currency}")
        try:
            await pricing.quote([Line("truffle", 1)])
        except UnknownArticle as error:
            print(f"no price for a {error.sku}")


if __name__ == "__main__":
    leveret.run(main())
