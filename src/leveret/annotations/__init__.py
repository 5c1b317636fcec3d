"""What a type annotation says, before anything is made of it.

Pure: type variables, bounds, and whose type it is. Knows `typing` and no codec.
"""

from __future__ import annotations

from leveret.annotations.metadata import of_pydantic, with_bounds
from leveret.annotations.type_variables import (
    TypeArguments,
    free_variables,
    substituted,
)

__all__ = [
    "TypeArguments",
    "free_variables",
    "of_pydantic",
    "substituted",
    "with_bounds",
]
