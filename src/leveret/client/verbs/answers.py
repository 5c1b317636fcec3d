"""`Answers`: what every server of a service said to one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from leveret.errors import CallError

__all__ = ["Answers"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(Generic[R]):
    """The answers of all servers to a call of `rabbit.ask_all`, and who did not answer."""

    results: dict[str, R]
    """The results, by the instance of the server: eight hexadecimal digits, new at each start."""
    errors: dict[str, CallError]
    """The errors of those whose call failed, by their instances."""
    missing: int
    """How many servers are known to be there and did not answer in time. Whether they ran the call
    nobody knows."""
    missing_instances: tuple[str, ...] = ()
    """The instances of those of them that said who they are; there may be fewer than `missing`."""
