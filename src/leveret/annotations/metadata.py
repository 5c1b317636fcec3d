"""What `Annotated[...]` holds beside the type: bounds that are checked, and notes that are not.

msgspec reads its own `Meta` and passes over all else. So bounds of annotated-types are rewritten as
`Meta`, and what would have no effect is refused: nobody would notice.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from leveret.annotations.hooks import Hook
from leveret.annotations.parts import parts, with_parts

__all__ = ["of_pydantic", "with_bounds"]

_BOUNDS: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length")


def of_pydantic(annotation: Any) -> bool:
    """Whether anything in the annotation is pydantic's to read: a model, a dataclass, a `Field`."""
    return any(
        _is_pydantics(node)
        or (get_origin(node) is Annotated and any(map(_is_pydantics, node.__metadata__)))
        for node, _ in parts(annotation)
    )


def with_bounds(annotation: Any) -> Any:
    """Return the annotation with its bounds as msgspec reads them.

    One that is pydantic's is left as it is.

    :raises TypeError: for metadata that would have no effect.
    """
    if of_pydantic(annotation):
        return annotation  # pydantic reads it, and refuses what it does not know
    _refuse_in_fields(annotation)
    return _with_bounds(annotation)


def _with_bounds(annotation: Any) -> Any:
    annotation = with_parts(annotation, _with_bounds)
    if get_origin(annotation) is not Annotated:
        return annotation
    metadata = annotation.__metadata__
    if all(map(_is_read_or_note, metadata)):
        return annotation
    read = (item if _is_read_or_note(item) else _meta(item) for item in metadata)
    return Annotated[(get_args(annotation)[0], *read)]


def _meta(item: Any) -> msgspec.Meta:
    """Return one bound of annotated-types as `Meta`."""
    bounds = _bounds(item)
    if bounds:
        return msgspec.Meta(**bounds)
    zone = getattr(item, "tz", "") if _package(item) == "annotated_types" else ""
    if zone is None or zone is ...:
        return msgspec.Meta(tz=zone is ...)
    raise TypeError(
        f"{item!r} in Annotated would have no effect; write the bounds as leveret.Meta(...), or "
        "of annotated-types, and check the rest in the handler"
    )


def _refuse_in_fields(annotation: Any) -> None:
    """Refuse what msgspec would pass over in the fields of a class, which it reads by itself."""
    for node, field in parts(annotation):
        if field and get_origin(node) is Annotated:
            for item in node.__metadata__:
                if not _is_read_or_note(item):
                    shown = ", ".join(f"{name}={value!r}" for name, value in _bounds(item).items())
                    raise TypeError(
                        f"{item!r} at {field} would have no effect there; write "
                        f"leveret.Meta({shown or '...'})"
                    )


def _bounds(item: Any) -> dict[str, Any]:
    if _package(item) != "annotated_types":
        return {}
    found = {name: getattr(item, name, None) for name in _BOUNDS}
    return {name: value for name, value in found.items() if value is not None}


def _is_read_or_note(item: Any) -> bool:
    """Whether msgspec or a codec of ours reads it, or it is for people only."""
    return (
        item is None
        or isinstance(item, msgspec.Meta | str | Hook)
        or type(item).__name__ == "Doc"
        or (_package(item) == "annotated_types" and type(item).__name__ == "Unit")
    )


def _is_pydantics(node: Any) -> bool:
    return not isinstance(node, Hook) and (
        _package(node) == "pydantic"
        or hasattr(node, "__get_pydantic_core_schema__")
        or hasattr(node, "__pydantic_validator__")
    )


def _package(item: Any) -> str:
    cls = item if isinstance(item, type) else type(item)
    return cls.__module__.partition(".")[0]
