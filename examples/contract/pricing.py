"""A contract without an implementation: all that a client and a server share.

It would be a package of its own, that other teams install. It has no code to run, and imports
nothing of what the server needs.
"""

from __future__ import annotations

from abc import abstractmethod
from decimal import Decimal
from typing import Annotated

from msgspec import Struct

from leveret import DeclaredError, Meta, Service, method


class Line(Struct, frozen=True):
    """One line of an order."""

    sku: str
    count: Annotated[int, Meta(ge=1, le=1000)]


class Quote(Struct, frozen=True):
    """What an order costs."""

    total: Decimal
    currency: str = "EUR"


class UnknownArticle(DeclaredError):
    """There is no such article."""

    sku: str


class Pricing(Service):
    """What things cost."""

    @method(timeout=2, idempotent=True, raises=[UnknownArticle])
    @abstractmethod
    async def quote(self, lines: list[Line]) -> Quote:
        """Return the price of an order."""
