"""How arguments and results become message bodies, one codec per method and content type.

Pure: bytes in, values out. Knows types and content types, and nothing of services or AMQP.
"""

from __future__ import annotations

from leveret.codec.buffered_types import buffered_in
from leveret.codec.canonical import ArgumentsHash
from leveret.codec.content_type import (
    BUFFERS,
    CONTENT_TYPES,
    JSON,
    MSGPACK,
    RAW,
    TEXT,
    normal_content_type,
)
from leveret.codec.described_types import DescribedTypes, is_argument, is_name
from leveret.codec.described_values import as_plain
from leveret.codec.descriptions import describe
from leveret.codec.method_codec import (
    DECODE_ERRORS,
    ENCODE_ERRORS,
    FieldsCodec,
    ItemCodec,
    MethodCodec,
    UntypedCodec,
    check_value,
    fields_codec,
    item_codec,
    method_codec,
    untyped_codec,
)
from leveret.codec.one_argument import argument_codec
from leveret.codec.travelling_types import check_type, is_known, may_be_none

__all__ = [
    "BUFFERS",
    "CONTENT_TYPES",
    "DECODE_ERRORS",
    "ENCODE_ERRORS",
    "JSON",
    "MSGPACK",
    "RAW",
    "TEXT",
    "ArgumentsHash",
    "DescribedTypes",
    "FieldsCodec",
    "ItemCodec",
    "MethodCodec",
    "UntypedCodec",
    "argument_codec",
    "as_plain",
    "buffered_in",
    "check_type",
    "check_value",
    "describe",
    "fields_codec",
    "is_argument",
    "is_known",
    "is_name",
    "item_codec",
    "may_be_none",
    "method_codec",
    "normal_content_type",
    "untyped_codec",
]
