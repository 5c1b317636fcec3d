"""Mends the index that the site's search reads."""

from __future__ import annotations

import re
from typing import Final

_ATTRIBUTES: Final = re.compile(r" \{ #[\w-]+ \}")


def mended(index: str) -> str:
    """The index without the anchors that zensical leaves in the titles of headings.

    :param index: what is in search.json.
    """
    return _ATTRIBUTES.sub("", index)
