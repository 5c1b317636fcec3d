"""The parts of an annotation: what is inside `list[...]`, a union, the fields of a class."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterator
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    NewType,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

__all__ = ["Part", "alias_in", "field_hints", "meaning", "parts", "with_parts", "without_metadata"]


class Part(NamedTuple):
    """An annotation that is part of another."""

    annotation: Any
    """What it is."""
    field: str
    """The field that it is in, as "Order.lines"; "" outside of the classes it mentions."""


def parts(annotation: Any) -> Iterator[Part]:
    """Yield the annotation and all inside it, each class once: types may refer to themselves.

    The name of a type has inside what it means there, but not where it is part of its own meaning.
    """
    seen: set[type] = set()
    left = [(Part(annotation, ""), frozenset[Any]())]
    while left:
        part, inside = left.pop()
        yield part
        node, field = part
        alias = alias_in(node)
        if alias is not None:
            meant = () if alias in inside else _meant(alias, get_args(node))
            left.extend((Part(inner, field), inside | {alias}) for inner in meant)
        elif get_origin(node) is Annotated:
            left.append((Part(get_args(node)[0], field), inside))
        elif get_origin(node) is not Literal:
            left.extend((Part(inner, field), inside) for inner in reversed(get_args(node)))
        cls = get_origin(node) or node
        if isinstance(cls, type) and cls not in seen:
            seen.add(cls)
            left.extend(
                (Part(hint, f"{cls.__name__}.{name}"), inside)
                for name, hint in field_hints(cls).items()
            )


def with_parts(annotation: Any, change: Callable[[Any], Any]) -> Any:
    """Return the annotation with each of its parts changed; itself where none is."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if not inner or origin is Literal or any(isinstance(part, list) for part in inner):
        return annotation  # a list is the parameters of a Callable, which cannot travel
    kept = inner[1:] if origin is Annotated else ()
    changed = tuple(change(part) for part in inner[: len(inner) - len(kept)])
    if all(new is old for new, old in zip(changed, inner, strict=False)):
        return annotation
    if origin is Annotated:
        return Annotated[(*changed, *kept)]
    if origin in {Union, types.UnionType}:
        return Union[changed]  # noqa: UP007 - made of a tuple
    return origin[changed]


def alias_in(annotation: Any) -> Any:
    """Return the name of a type that an annotation is: X, of X or X[int]; None if it is none.

    That is what `type X = ...` made, in Python or by typing_extensions, or a NewType.
    """
    found = get_origin(annotation) if get_args(annotation) else annotation
    is_name = isinstance(found, NewType) or type(found).__name__ == "TypeAliasType"
    return found if is_name else None


def meaning(alias: Any) -> Any:
    """Return the type that a name stands for.

    :raises NameError: if it names what does not exist yet.
    """
    return alias.__supertype__ if isinstance(alias, NewType) else alias.__value__


def without_metadata(annotation: Any) -> Any:
    """Return what is annotated in `Annotated`, else the same."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def field_hints(cls: type) -> dict[str, Any]:
    """Return the annotations of a class whose fields travel; none for any other class."""
    named = (
        issubclass(cls, msgspec.Struct)
        or dataclasses.is_dataclass(cls)
        or hasattr(cls, "__required_keys__")  # a TypedDict, also that of typing_extensions
        or hasattr(cls, "__attrs_attrs__")
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
    )
    if not named:
        return {}
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return {}  # msgspec will say so, where it matters
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar}


def _meant(alias: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what a name means with what stands between its brackets; nothing if nothing yet."""
    try:
        meant = meaning(alias)
    except NameError:
        return ()  # as above
    given = dict(zip(getattr(alias, "__type_params__", ()), arguments, strict=False))
    variables = getattr(meant, "__parameters__", ()) if given else ()
    return (meant[tuple(given.get(one, one) for one in variables)] if variables else meant,)
