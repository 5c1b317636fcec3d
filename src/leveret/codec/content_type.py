"""The content types that a body can have, and the spellings that messages have of them."""

from __future__ import annotations

from typing import Final

from leveret.errors import ContractError

__all__ = ["BUFFERS", "CONTENT_TYPES", "JSON", "MSGPACK", "RAW", "TEXT", "normal_content_type"]

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
TEXT: Final = "text/plain"
RAW: Final = "application/octet-stream"
BUFFERS: Final = "application/vnd.leveret.buffers"

CONTENT_TYPES: Final = (JSON, MSGPACK, TEXT, RAW, BUFFERS)

# What other libraries call MessagePack; it got a registered media type only in 2023.
_OTHER_SPELLINGS: Final = {
    "application/x-msgpack": MSGPACK,
    "application/vnd.msgpack": MSGPACK,
    "text/json": JSON,
}
_UTF8_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def normal_content_type(content_type: str | None) -> str:
    """Return the one of `CONTENT_TYPES` that is meant. None means JSON; parameters are dropped.

    `"Application/JSON; charset=utf-8"` is `"application/json"`. Bodies are always UTF-8, so any
    other charset is refused rather than misread.

    :raises ContractError: for a content type or a charset that Leveret does not speak.
    """
    if not content_type or content_type == JSON:
        return JSON
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"')
        if name.strip() == "charset" and charset not in _UTF8_CHARSETS:
            raise ContractError(f"content type {content_type!r}: bodies are UTF-8 only")
    media_type = _OTHER_SPELLINGS.get(media_type, media_type)
    if media_type not in CONTENT_TYPES:
        known = ", ".join(CONTENT_TYPES)
        raise ContractError(f"unknown content type {content_type!r}; use one of {known}")
    return media_type
