"""One argument of a method of which nothing is known but the parameter's name.

So a server makes the arguments of the next stage of a pipe of the result of its own.
"""

from __future__ import annotations

import keyword
from typing import Any

import msgspec

from leveret.codec.method_codec import MethodCodec, method_codec
from leveret.errors import ContractError

__all__ = ["argument_codec"]


def argument_codec(
    argument: str, content_type: str, annotation: Any
) -> tuple[MethodCodec, type[msgspec.Struct]]:
    """Return what encodes one argument, and the struct that it encodes.

    :param annotation: the type of the value.
    :raises ContractError: if that content type cannot carry it, or no parameter has such a name.
    """
    if not argument.isidentifier() or keyword.iskeyword(argument) or argument.startswith("__"):
        raise ContractError(f"no parameter is named {argument!r}")
    try:
        arguments = msgspec.defstruct("Arguments", [(argument, annotation)])
    except (TypeError, ValueError, RuntimeError) as error:
        raise ContractError(f"the argument {argument!r} cannot travel: {error}") from error
    return method_codec(content_type, arguments, None), arguments
