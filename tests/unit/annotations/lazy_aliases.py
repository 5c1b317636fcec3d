"""What Python 3.12 makes of `type X = ...`: it finds out what X means when it is asked."""

from __future__ import annotations

from collections.abc import Callable
from types import GenericAlias
from typing import Any


def lazy_alias(name: str, find: Callable[[], Any], *type_params: Any) -> Any:
    """Return the name of what `find` returns, with these variables between its brackets."""

    class TypeAliasType:
        __name__ = name
        __type_params__ = type_params

        @property
        def __value__(self) -> Any:
            return find()

        def __getitem__(self, argument: Any) -> Any:
            cls: Any = self
            return GenericAlias(cls, argument)

        def __repr__(self) -> str:
            return name

    return TypeAliasType()
