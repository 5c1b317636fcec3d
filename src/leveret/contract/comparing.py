"""Compares what two servers mean by a method: the parts of its schema that matter, and their hash.

Texts for people (documentation, titles, examples) do not matter. Neither does the default timeout,
which the caller applies. The rest decides which bodies are accepted, and what may be done about a
failure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

__all__ = ["differences", "fingerprint"]

_MATTERS: Final = ("arguments", "result", "errors", "idempotent", "once", "content_type")
"""The entries of a method in `service_schema` that two servers must agree on."""
_MAY_MATTER: Final = ("streams", "upload")
"""Further entries of methods that stream; other methods keep the hashes that they had."""
_WORDS: Final = frozenset({"$schema", "title", "description", "examples", "$comment"})
"""The keywords of JSON Schema that are for people."""
_NAMED: Final = frozenset({"properties", "$defs", "errors"})
"""The keywords below which there are names that users chose."""
_LONGEST: Final = 60
"""Characters of a value that a difference shows."""


def fingerprint(method: Mapping[str, Any]) -> str:
    """A hash of the parts of a method that matter, 16 hexadecimal digits.

    :param method: the entry of the method in `service_schema`.
    """
    text = msgspec.json.encode(_essence(method), order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    """The differences that matter between two entries of a method, each in a few words."""
    return _differ("", _essence(here), _essence(there))


def _essence(method: Mapping[str, Any]) -> dict[str, Any]:
    # As JSON has it, so that what was read from the wire equals what was not.
    entries = {name: method.get(name) for name in _MATTERS}
    entries.update({name: method[name] for name in _MAY_MATTER if name in method})
    plain = msgspec.json.decode(msgspec.json.encode(entries), type=dict[str, Any])
    return {name: _without_words(value, names=name in _NAMED) for name, value in plain.items()}


def _without_words(value: Any, *, names: bool) -> Any:
    """A schema without texts for people.

    :param names: whether the keys of `value` are names that users chose.
    """
    if isinstance(value, list):
        return [_without_words(item, names=False) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_words(item, names=not names and key in _NAMED)
        for key, item in value.items()
        if names or key not in _WORDS
    }


def _differ(where: str, here: Any, there: Any) -> Iterator[str]:
    if here == there:
        return
    if isinstance(here, dict) and isinstance(there, dict):
        for key in sorted(here.keys() | there.keys()):
            inner = f"{where}.{key}" if where else key
            yield from _differ(inner, here.get(key, _NOTHING), there.get(key, _NOTHING))
        return
    yield f"{where} is {_shown(here)} here and {_shown(there)} there"


class _Nothing:
    """Stands for an entry that one side does not have."""


_NOTHING: Final = _Nothing()


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "missing"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
