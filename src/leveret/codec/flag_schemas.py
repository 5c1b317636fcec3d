"""JSON Schema of an `enum.Flag`.

msgspec and pydantic list the single flags, but read and write their combinations as well.
"""

from __future__ import annotations

from enum import STRICT
from functools import reduce
from inspect import cleandoc
from operator import or_
from typing import Any

__all__ = ["describe_flags"]


def describe_flags(flags: Any, schema: dict[str, Any]) -> None:
    """Have a schema describe the numbers that stand for flags of a class and for combinations.

    :param flags: the class, whose values are integers.
    :param schema: lists the flags.
    """
    del schema["enum"]
    members = flags.__members__.items()
    listed = ", ".join(f"{name} = {flag.value}" for name, flag in members)
    about = cleandoc(schema.get("description", ""))
    schema["description"] = f"{about}\n\nA sum of {listed}.".lstrip()
    schema["type"] = "integer"
    if flags._boundary_ is STRICT:  # else they take numbers with other bits, too
        schema |= {"minimum": 0, "maximum": reduce(or_, (flag.value for _, flag in members), 0)}
