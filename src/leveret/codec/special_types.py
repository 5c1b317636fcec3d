"""Types whose values msgspec does not read alone: pydantic's, and those with hooks."""

from __future__ import annotations

from typing import Any, Protocol

from leveret.codec.checked import Coder
from leveret.codec.hooked_values import hooked_type
from leveret.codec.pydantic_values import pydantic_type

__all__ = ["SpecialType", "special_type"]


class SpecialType(Protocol):
    """What encodes, decodes and describes the values of one annotation."""

    def coder(self, content_type: str, path: str) -> Coder:
        """Return the checking encoder and the decoder of one value, as JSON or MessagePack.

        :param path: where it is in its body: "$", or "$.price" for a parameter.
        """
        ...

    def schema(self, reference: str) -> dict[str, Any]:
        """Return its JSON Schema; the classes that it refers to are below `$defs`.

        :param reference: how it refers to a class, with `{name}` in it.
        """
        ...


def special_type(annotation: Any) -> SpecialType | None:
    """Return what reads and writes values of this type; None if msgspec does so alone.

    :raises ContractError: if nothing can.
    """
    return pydantic_type(annotation) or hooked_type(annotation)
