"""Hooks: how values of a type travel that neither msgspec nor pydantic knows.

A hook stands in the `Annotated` of an annotation, and holds for its type anywhere inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, get_origin

import msgspec

from leveret.annotations.parts import parts

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["Hook", "class_name", "hooks_at", "hooks_of", "merged"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Hook(Generic[T]):
    """How values of a type of your own travel: as values of another type, which Leveret knows.

    For all of a service, `class Shop(Service, types=[Hook(Money, str, encode=str,
    decode=Money.parse)])`, or for one parameter, result or field, `Annotated[Money, Hook(...)]`.

    Both sides check what travels against `wire`, bounds included, and whoever sends a value decodes
    it as well: so the receiver can read it. What `decode` raises is an `InvalidArgument` there.

    Both run on the event loop. `decode` gets what strangers sent, and should not unpickle that.
    """

    type: type[T]
    """The class. Its subclasses travel as it does, and arrive as it."""
    wire: Any
    """The annotation of what travels, and of its JSON Schema: `str`, `list[float]`, a struct."""
    _: KW_ONLY
    encode: Callable[[T], Any]
    """Gives what travels for a value."""
    decode: Callable[[Any], T]
    """Gives the value for what travelled, which fits `wire`. It may raise anything if it is bad."""

    def __repr__(self) -> str:
        return f"Hook({class_name(self.type)}, {class_name(self.wire)})"

    def write(self, value: T) -> Any:
        """Encode a value.

        :raises ValueError: for whatever `encode` raises.
        """
        try:
            return self.encode(value)
        except Exception as error:
            raise ValueError(
                f"the encode hook of `{class_name(self.type)}` raised {_say(error)}"
            ) from error

    def read(self, found: Any) -> T:
        """Decode what travelled.

        :raises ValueError: for whatever `decode` raises, or if it gives another type.
        """
        try:
            value = self.decode(found)
        except Exception as error:
            said = str(error) if isinstance(error, ValueError) and str(error) else _say(error)
            raise ValueError(f"Invalid `{class_name(self.type)}`: {said}") from error
        if not isinstance(value, self.type):
            raise ValueError(
                f"the decode hook of `{class_name(self.type)}` gave `{class_name(type(value))}`"
            )
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Tell pydantic, where the hook is in the `Annotated` of a model's field."""
        from pydantic_core import core_schema  # noqa: PLC0415 - installed where pydantic asks

        if source is not self.type:
            raise TypeError(
                f"{self!r} is for {class_name(self.type)}, and stands at {class_name(source)}"
            )
        return core_schema.no_info_plain_validator_function(
            self._of_model,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: msgspec.to_builtins(self.write(value)), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Tell pydantic how what travels is described."""
        (described,), named = msgspec.json.schema_components([self.wire])
        if named:
            raise TypeError(
                f"{self!r} is in a model of pydantic, where what travels may have no class with "
                "fields inside; use a dict"
            )
        return described

    def _of_model(self, found: Any) -> T:
        """Return the value for what a model of pydantic was given."""
        return (
            found if isinstance(found, self.type) else self.read(msgspec.convert(found, self.wire))
        )


def hooks_at(node: Any) -> list[Hook[Any]]:
    """Return the hooks of an `Annotated`; none for anything else, whatever is inside of it."""
    metadata = node.__metadata__ if get_origin(node) is Annotated else ()
    return [item for item in metadata if isinstance(item, Hook)]


def hooks_of(annotation: Any) -> dict[type, Hook[Any]]:
    """Return the hooks that hold in an annotation, by their types: all in its `Annotated`s.

    :raises TypeError: if it has two for one type.
    """
    found: list[Hook[Any]] = []
    for node, _ in parts(annotation):
        for hook in hooks_at(node):
            if hook not in found:
                found += (hook, *hooks_of(hook.wire).values())
    return merged(found)


def merged(hooks: Iterable[Hook[Any]]) -> dict[type, Hook[Any]]:
    """Return hooks by their types.

    :raises TypeError: if two are for one type.
    """
    found: dict[type, Hook[Any]] = {}
    for hook in hooks:
        other = found.setdefault(hook.type, hook)
        if other is not hook:
            raise TypeError(
                f"there are two hooks for {class_name(hook.type)}, {other!r} and {hook!r}; keep one"
            )
    return found


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def class_name(annotation: Any) -> str:
    """Return a class by its name, and any other annotation as it is written."""
    plain = isinstance(annotation, type) and not hasattr(annotation, "__origin__")
    return annotation.__qualname__ if plain else repr(annotation)
