"""NaN and the infinities, which JSON does not have: msgspec writes `null` for them.

A reader refuses `null` where it expects a number, and takes it for None where None is allowed.
Either way the sender has to be told, and told which value it was.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec

from leveret.codec.kindred import plain

__all__ = ["refuse_not_finite"]


def refuse_not_finite(value: Any, known: Callable[[Any], Any] = plain) -> None:
    """Look for a number in `value` that JSON cannot carry.

    :param known: makes known values of others, as the encoder has it.
    :raises ValueError: if there is one; the message says where, as msgspec does.
    """
    try:
        builtins = msgspec.to_builtins(value, enc_hook=known)
    except Exception:  # noqa: BLE001 - types run code of their own
        return
    left = [("$", builtins)]
    while left:
        path, found = left.pop()
        if isinstance(found, float) and not isfinite(found):
            raise ValueError(
                f"JSON cannot carry {found}, MessagePack can"
                f' (content_type="application/msgpack") - at `{path}`'
            )
        if isinstance(found, dict):
            left.extend((f"{path}.{name}", inner) for name, inner in found.items())
        elif isinstance(found, list | tuple):
            left.extend((f"{path}[{number}]", inner) for number, inner in enumerate(found))
