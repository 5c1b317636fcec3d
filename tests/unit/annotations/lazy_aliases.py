"""What Python 3.12 makes of `type X = ...`: it finds out what X means when it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def lazy_alias(name: str, find: Callable[[], Any]) -> Any:
    """Return the name of what `find` returns."""

    class TypeAliasType:
        __name__ = name
        __type_params__ = ()

        @property
        def __value__(self) -> Any:
            return find()

        def __repr__(self) -> str:
            return name

    return TypeAliasType()
