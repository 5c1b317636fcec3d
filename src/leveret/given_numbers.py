"""What counts as a number where a user gives one.

Python has True for an `int`, but whoever writes `timeout=True` means no second.
"""

from __future__ import annotations

import sys
from math import inf
from typing import TypeGuard

__all__ = ["is_duration", "is_finite", "is_number", "is_whole"]


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is an `int` or a `float`, and no `bool`."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is an `int`, and no `bool`."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether it is a number that a `float` can hold: neither NaN nor infinite, nor 10**400."""
    return is_number(value) and abs(value) <= sys.float_info.max


def is_duration(value: object) -> TypeGuard[float]:
    """Whether it is a number of seconds, 0 or more. `inf` is one, NaN and 10**400 are not."""
    return is_number(value) and (0 <= value <= sys.float_info.max or value == inf)
