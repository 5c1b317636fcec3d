"""What counts as a number where a user gives one.

Python has True for an `int`, but whoever writes `timeout=True` means no second.
"""

from __future__ import annotations

import sys
from typing import TypeGuard

__all__ = ["is_finite", "is_number", "is_whole"]


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is an `int` or a `float`, and no `bool`."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is an `int`, and no `bool`."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether it is a number that a `float` can hold: neither NaN nor infinite, nor 10**400."""
    return is_number(value) and abs(value) <= sys.float_info.max
