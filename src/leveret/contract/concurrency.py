"""`Adaptive`: has a server find out how many calls of a method to run at a time.

Contracts have it (`@method(concurrency=Adaptive())`), and the server applies it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from leveret.errors import ContractError
from leveret.given_numbers import is_finite

__all__ = ["Adaptive", "concurrency_option"]

MOST: Final = 65_535
"""AMQP's prefetch count has 16 bits (AMQP 0-9-1, basic.qos)."""


class Adaptive(msgspec.Struct, frozen=True, kw_only=True):
    """A concurrency that follows the latency of the handlers.

    The server runs more calls as long as that does not make them slower, and fewer once it does. It
    is meant for handlers that wait for something shared: a database, a disk, another service.

    :raises ContractError: for a value out of its bounds.
    """

    least: int = 1
    """Calls that may always run at the same time: 1 or more."""
    most: int = 200
    """The most calls that run at the same time: up to 65535."""
    start: int = 4
    """Calls that run at the same time at first, between the two bounds."""
    tolerance: float = 2.0
    """The factor by which calls may become slower than with few calls before fewer are run: above
    1."""

    def __post_init__(self) -> None:
        for name in ("least", "most", "start"):
            value: Any = getattr(self, name)
            if type(value) is not int or not 1 <= value <= MOST:
                raise ContractError(f"Adaptive: {name} is {value!r}; it is 1 to {MOST}")
        if self.least > self.most:
            raise ContractError(
                f"Adaptive: least is {self.least} and most is {self.most}; exchange them"
            )
        tolerance: object = self.tolerance
        if not is_finite(tolerance) or tolerance <= 1:
            raise ContractError(
                f"Adaptive: tolerance is {tolerance!r}; it is a number above 1, and finite as a"
                " float"
            )


def concurrency_option(value: object, where: str) -> tuple[int, Adaptive | None]:
    """Return `@method(concurrency=...)`: the most calls at a time, and how they are limited.

    :raises ContractError: when it is neither 1 to 65535 nor an `Adaptive`.
    """
    if isinstance(value, Adaptive):
        return value.most, value
    if type(value) is not int or not 1 <= value <= MOST:
        raise ContractError(
            f"{where}: concurrency is {value!r}; it is 1 to {MOST}, or a leveret.Adaptive(...)"
        )
    return value, None
