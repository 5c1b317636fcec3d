"""Arguments that a caller leaves out do not travel: the server applies its own defaults.

So a client whose contract has one parameter more than the server's can call that server, as long as
it does not give that parameter. If both have it, the server's own default applies.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

__all__ = ["given_arguments", "given_struct"]

_KEPT: Final = 4096
"""How many methods' structs are kept."""

_NO_DEFAULT: Final = inspect.Parameter.empty


@lru_cache(_KEPT)
def given_struct(parameters: type[Struct]) -> type[Struct]:
    """The struct of a method's parameters for callers, without any defaults.

    It is called like `parameters`. A field that is not given is `UNSET`, which no encoder writes.
    """
    taken = inspect.signature(parameters).parameters.values()
    if all(parameter.default is _NO_DEFAULT for parameter in taken):
        return parameters
    types = {field.name: field.type for field in msgspec.structs.fields(parameters)}
    fields: dict[bool, list[tuple[str, Any] | tuple[str, Any, Any]]] = {True: [], False: []}
    for parameter in taken:
        name = parameter.name
        field: tuple[str, Any] | tuple[str, Any, Any] = (name, types[name])
        if parameter.default is not _NO_DEFAULT:
            field = (name, types[name], UNSET)
        fields[parameter.kind is parameter.KEYWORD_ONLY].append(field)
    made = msgspec.defstruct(parameters.__name__, fields[False], forbid_unknown_fields=True)
    if not fields[True]:
        return made
    return msgspec.defstruct(
        parameters.__name__,
        fields[True],
        bases=(made,),
        forbid_unknown_fields=True,
        kw_only=True,
    )


def given_arguments(given: Struct) -> dict[str, Any]:
    """The arguments by name, without those that were left out."""
    return {
        name: value for name, value in msgspec.structs.asdict(given).items() if value is not UNSET
    }
