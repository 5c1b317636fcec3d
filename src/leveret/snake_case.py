"""The one rule by which class names become names on the wire: services, and codes of errors."""

from __future__ import annotations

import re
from typing import Final

_WORD_BEGINS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """`OutOfStock` is `out_of_stock`; an acronym is one word: `HTTPError` is `http_error`."""
    return _WORD_BEGINS.sub("_", name).lower()
