"""What a type annotation says, before anything is made of it.

Pure: type variables, bounds, hooks, and whose type it is. Knows `typing` and no codec.
"""

from __future__ import annotations

from leveret.annotations.hooks import Hook, hooks_of, merged
from leveret.annotations.metadata import of_pydantic, with_bounds
from leveret.annotations.parts import without_metadata
from leveret.annotations.service_hooks import idle_hooks, with_hooks, without_hooks
from leveret.annotations.type_variables import (
    TypeArguments,
    free_variables,
    substituted,
)

__all__ = [
    "Hook",
    "TypeArguments",
    "free_variables",
    "hooks_of",
    "idle_hooks",
    "merged",
    "of_pydantic",
    "substituted",
    "with_bounds",
    "with_hooks",
    "without_hooks",
    "without_metadata",
]
