"""Which types travel out of band: arrays of numpy, tables of pyarrow and pandas.

A class is told by its name, so that nothing is imported for services that have none of them.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, get_origin

from leveret.annotations import hooks_of
from leveret.annotations.parts import parts
from leveret.codec.arrays import BUFFER, array_type, described_array
from leveret.codec.tables import OLDEST
from leveret.errors import ContractError

__all__ = [
    "EXTRA",
    "Kind",
    "add_brackets",
    "buffered_class",
    "buffered_in",
    "buffered_schema",
    "check_buffered",
    "described_buffered",
    "kind_of",
]

Kind: TypeAlias = Literal["ndarray", "DataFrame", "Series", "Table", "RecordBatch"]
"""The kinds of values that travel out of band."""

_KINDS: Final[dict[tuple[str, str], Kind]] = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "memmap"): "ndarray",
    ("pandas", "DataFrame"): "DataFrame",
    ("pandas", "Series"): "Series",
    ("pyarrow", "Table"): "Table",
    ("pyarrow", "RecordBatch"): "RecordBatch",
}
EXTRA: Final = "pip install 'leveret[arrow]'"
"""What brings all that is needed."""


def kind_of(cls: type) -> Kind | None:
    """Return the kind of a class; None for one that does not travel out of band."""
    return _KINDS.get((cls.__module__.partition(".")[0], cls.__name__))


def buffered_class(annotation: Any) -> Kind | None:
    """Return the kind of what an annotation itself says, with brackets or without."""
    cls = get_origin(annotation) or annotation
    return kind_of(cls) if isinstance(cls, type) and cls.__name__ != "memmap" else None


def buffered_in(annotation: Any) -> bool:
    """Whether anything in an annotation travels out of band."""
    try:
        return _kept(annotation)
    except TypeError:  # it has no hash
        return _buffered_in(annotation)


def check_buffered(annotation: Any) -> None:
    """Check that what travels out of band in an annotation can do so here.

    :raises ContractError: if what it takes is not installed, or the items of an array cannot.
    """
    for node in _nodes(annotation):
        if buffered_class(node) == "ndarray":
            array_type(node)
        else:
            _check_pyarrow(get_origin(node) or node)


def buffered_schema(annotation: Any) -> dict[str, Any]:
    """Return what JSON Schema can say of a type that travels out of band."""
    kind = buffered_class(annotation)
    if kind == "ndarray":
        return array_type(annotation).schema()
    return {
        "description": f"a {kind} as a stream of Arrow's IPC format, out of band",
        "contentMediaType": "application/vnd.apache.arrow.stream",
        BUFFER: {"kind": kind},
    }


def described_buffered(schema: Mapping[str, Any]) -> Any:
    """Return the type that a schema of `buffered_schema` describes, if its package is installed.

    None if it is not, or the schema describes none. A description names only what is known here.
    """
    said = schema.get(BUFFER)
    if not isinstance(said, Mapping):
        return None
    kind = said.get("kind")
    package = next((package for (package, name), _ in _KINDS.items() if name == kind), None)
    if package is None or importlib.util.find_spec(package) is None:
        return None
    if kind == "ndarray":
        return described_array(said)
    return getattr(importlib.import_module(package), str(kind))


def add_brackets(annotation: Any, schema: Any) -> None:
    """Add to the schema of a type what the brackets of the arrays in it say.

    :param schema: as made with `buffered_schema`, which is given classes without their brackets.
    """
    if buffered_in(annotation):
        inside = [part for part, field in parts(annotation) if not field and buffered_class(part)]
        for part, its in zip(inside, _marked(schema), strict=False):
            its.update(buffered_schema(part))


def _marked(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schemas inside a schema that `buffered_schema` made, in the order of the type."""
    if isinstance(schema, dict):
        if BUFFER in schema:
            yield schema
        for inner in schema.values():
            yield from _marked(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            yield from _marked(inner)


def _buffered_in(annotation: Any) -> bool:
    return any(True for _ in _nodes(annotation))


def _nodes(annotation: Any) -> Iterator[Any]:
    """Yield what travels out of band in an annotation: all but what a hook says otherwise of."""
    hooks = hooks_of(annotation)
    for node, _ in parts(annotation):
        if buffered_class(node) is not None and (get_origin(node) or node) not in hooks:
            yield node


_kept = lru_cache(1024)(_buffered_in)


def _check_pyarrow(cls: type) -> None:
    name = f"{cls.__module__.partition('.')[0]}.{cls.__name__}"
    try:
        version = importlib.import_module("pyarrow").__version__
    except ImportError as error:
        raise ContractError(
            f"{name} travels in Arrow's format, and pyarrow is not installed; {EXTRA}"
        ) from error
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ContractError(
            f"{name} travels in Arrow's format, and pyarrow {version} is older than {oldest}; "
            f"{EXTRA}"
        )
