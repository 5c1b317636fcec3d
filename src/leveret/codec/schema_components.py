"""JSON Schema by msgspec, also of classes that msgspec alone cannot describe.

The default of a field may be a value of a type that has a hook, a numpy scalar, or a mark for
"not given" that never travels. And two classes may have one name, down to their module, as
`Box[stock.Item]` and `Box[shop.Item]` have for msgspec. It stops at the first of these. So its
schemas are made in its own steps, with such defaults replaced and a name for each class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

import msgspec
import msgspec.inspect as mi

__all__ = ["components"]


def components(
    annotations: Iterable[Any],
    reference: str,
    hook: Callable[[type], dict[str, Any]],
    known: Callable[[Any], Any],
) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """Return the schemas of types, and by name those of the classes that they refer to.

    :param reference: how a schema refers to a class, with `{name}` in it.
    :param hook: gives the schema of a class that msgspec does not know.
    :param known: makes known values of others, as the encoder has it.
    """
    annotations = list(annotations)
    try:
        return msgspec.json.schema_components(annotations, ref_template=reference, schema_hook=hook)
    except (TypeError, KeyError) as error:
        try:
            return _by_steps(mi.multi_type_info(annotations), reference, hook, known)
        except (ImportError, AttributeError):  # another msgspec has other steps
            raise error from None


def _by_steps(
    kinds: Sequence[mi.Type],
    reference: str,
    hook: Callable[[type], dict[str, Any]],
    known: Callable[[Any], Any],
) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    # No public function takes what it has read of the types. These are schema_components' steps.
    from msgspec import _json_schema as steps  # noqa: PLC0415

    classes = steps._collect_component_types(kinds)  # noqa: SLF001
    for kind in classes.values():
        for field in getattr(kind, "fields", ()):
            field.default = _plain(field.default, known)
    names = _names(classes, steps._build_name_map(classes))  # noqa: SLF001
    schema_of = steps._SchemaGenerator(names, hook, reference).to_schema  # noqa: SLF001
    definitions = {names[cls]: schema_of(kind, False) for cls, kind in classes.items()}
    return tuple(map(schema_of, kinds)), definitions


def _names(classes: Iterable[Any], names: dict[Any, str]) -> dict[Any, str]:
    """Add a name for each class that has none to the others' names; return all."""
    taken = set(names.values())
    for cls in classes:
        if cls not in names:
            numbered = (f"{cls.__name__}_{number}" for number in count(2))
            names[cls] = next(name for name in numbered if name not in taken)
            taken.add(names[cls])
    return names


def _plain(default: Any, known: Callable[[Any], Any]) -> Any:
    """Return a default as JSON has it; none if JSON has not."""
    if default is msgspec.NODEFAULT:
        return default
    try:
        return msgspec.to_builtins(default, str_keys=True, enc_hook=known)
    except Exception:  # noqa: BLE001 - hooks and types run code of their own
        return msgspec.NODEFAULT
