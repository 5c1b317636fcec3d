"""Values whose types are pydantic's: models, its dataclasses, and whatever has them inside.

pydantic reads and writes them itself, with its own rules and its own JSON Schema. They travel in
their JSON form in MessagePack too. pydantic is imported only once such a type is met: whoever has
one has pydantic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Flag
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from leveret.annotations import of_pydantic
from leveret.annotations.parts import parts
from leveret.codec.content_type import JSON
from leveret.codec.flag_schemas import describe_flags
from leveret.codec.kindred import plain
from leveret.codec.not_finite import refuse_not_finite
from leveret.codec.odd_offsets import may_have_offsets, refuse_odd_offsets
from leveret.errors import ContractError

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

Coder = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
"""The checking encoder and the decoder of the same values."""

__all__ = ["PydanticType", "plain_model", "pydantic_type"]

_HIDDEN: Final = b"**********"
"""What a `SecretStr` is written as."""
_SHOWN: Final = 3
"""How many of pydantic's complaints about one value a message has."""


class PydanticType:
    """Encodes, decodes and describes the values of one annotation.

    :raises ContractError: if pydantic cannot read it.
    """

    def __init__(self, annotation: Any) -> None:
        adapter = _adapter(annotation)
        self._describe = partial(adapter.json_schema, schema_generator=_schema_generator())
        try:
            self._describe()
        except Exception as error:
            raise ContractError(f"pydantic has no JSON Schema for it: {error}") from error
        self._write = adapter.serializer.to_json
        self._plain = adapter.serializer.to_python
        self._read = adapter.validator.validate_json

    def coder(self, content_type: str, path: str = "$") -> Coder:
        """Return the checking encoder and the decoder of one value.

        :param path: where it is in its body.
        """

        def encode(value: Any) -> bytes:
            return self.encode(value, path)

        def decode(body: bytes) -> Any:
            return self.decode(body, path)

        if content_type == JSON:
            return encode, decode
        return (
            lambda value: msgspec.msgpack.encode(msgspec.json.decode(encode(value))),
            lambda body: decode(msgspec.json.encode(msgspec.msgpack.decode(body))),
        )

    def encode(self, value: Any, path: str) -> bytes:
        """Write a value as JSON that the receiver's pydantic will take.

        :raises ValueError: if it will not.
        """
        try:
            body = self._write(value, by_alias=True, round_trip=True, warnings="error")
        except ValueError as error:
            raise ValueError(f"{_first_words(error)} - at `{path}`") from error
        if b"null" in body:  # which it writes for NaN and the infinities
            refuse_not_finite(self._to_look_at(value))
        if may_have_offsets(body):
            refuse_odd_offsets(JSON, body, self._to_look_at(value))
        read = self.decode(body, path)
        if _HIDDEN in body and self._plain(read) != self._plain(value):
            raise ValueError(
                f"pydantic hides a secret when it writes it; give it a serializer - at `{path}`"
            )
        return body

    def _to_look_at(self, value: Any) -> Any:
        """A value as dicts, lists, and Python's own values in them."""
        try:
            return self._plain(value, round_trip=True)
        except TypeError:  # a set of models has no such form: dicts have no hash
            return self._plain(value, round_trip=True, mode="json")

    def decode(self, body: bytes, path: str) -> Any:
        """Read a value from JSON.

        :raises ValueError: if its rules forbid it; the message says where, as msgspec does.
        """
        try:
            return self._read(body)
        except ValueError as error:  # of pydantic's own: it makes one of what validators raise
            raise ValueError("; ".join(_complaints(error, path))) from error

    def schema(self, reference: str) -> dict[str, Any]:
        """Return its JSON Schema; the models that it refers to are below `$defs`.

        :param reference: how it refers to a model, with `{name}` in it.
        """
        return self._describe(ref_template=reference.replace("{name}", "{model}"))


def pydantic_type(annotation: Any) -> PydanticType | None:
    """Return what reads and writes values of this type; None if that is not pydantic.

    :raises ContractError: if pydantic is to, and cannot.
    """
    try:
        hash(annotation)
    except TypeError:
        return _pydantic_type(annotation)
    return _kept(annotation)


def plain_model(value: object) -> Any:
    """Return a model as plain values, and of other values what they mean.

    :raises TypeError: for anything else.
    """
    write = getattr(value, "__pydantic_serializer__", None)
    if write is None:
        return plain(value)
    return write.to_python(value, mode="json", by_alias=True, round_trip=True)


def _pydantic_type(annotation: Any) -> PydanticType | None:
    return PydanticType(annotation) if of_pydantic(annotation) else None


_kept = lru_cache(1024)(_pydantic_type)


@cache
def _schema_generator() -> type[GenerateJsonSchema]:
    """What makes pydantic's schemas, with all values of flags."""
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415

    class SchemaGenerator(GenerateJsonSchema):
        def enum_schema(self, schema: Any) -> Any:
            found = super().enum_schema(schema)
            if issubclass(schema["cls"], Flag):
                describe_flags(schema["cls"], found)
            return found

    return SchemaGenerator


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    for node, field in parts(annotation):
        if isinstance(node, type) and issubclass(node, msgspec.Struct):
            raise ContractError(
                f"pydantic cannot read {node.__name__}, which is a msgspec.Struct; make both "
                "pydantic's, or neither"
            )
        if any(isinstance(item, msgspec.Meta) for item in getattr(node, "__metadata__", ())):
            raise ContractError(
                f"{field or annotation} has leveret.Meta beside pydantic's types, where pydantic "
                "would not read it; write pydantic.Field"
            )
    try:
        from pydantic import TypeAdapter  # noqa: PLC0415 - installed wherever such a type is

        return TypeAdapter(annotation)
    except Exception as error:
        raise ContractError(f"pydantic cannot read it: {_first_words(error)}") from error


def _complaints(error: Any, root: str) -> Iterator[str]:
    """Say what does not fit, and where, as msgspec does."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    for complaint in found[:_SHOWN]:
        path = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in complaint["loc"])
        yield f"{complaint['msg']} - at `{root}{path}`"
    if len(found) > _SHOWN:
        yield f"and {len(found) - _SHOWN} more"


def _first_words(error: Exception) -> str:
    """Return what pydantic says, in one line and without its advice."""
    unexpected = re.search("Expected `[^`]+`", str(error))
    if unexpected is not None:  # what follows has the value, which may be long
        return unexpected[0]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])
