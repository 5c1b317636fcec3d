"""Compares bounds of JSON Schemas: which values does one allow that the other does not? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["beyond"]

_SIZES: Final[Mapping[str, str]] = {
    "minLength": "be shorter than {}",
    "minItems": "have fewer than {} items",
    "minProperties": "have fewer than {} entries",
    "maxLength": "be longer than {}",
    "maxItems": "have more than {} items",
    "maxProperties": "have more than {} entries",
}
"""Each bound of a size, and the words for a value beyond it."""


def beyond(given: Mapping[str, Any], taken: Mapping[str, Any]) -> Iterator[str]:
    """How a value of one may exceed the bounds of the other, as the words after "may"."""
    yield from _numbers(given, taken)
    for word, text in _SIZES.items():
        bound = taken.get(word)
        mine = given.get(word)
        if not isinstance(bound, int) or (word.startswith("min") and bound <= 0):
            continue
        if mine is None or (mine < bound if word.startswith("min") else mine > bound):
            yield text.format(bound)
    pattern = taken.get("pattern")
    if pattern is not None and given.get("pattern") != pattern:
        yield f"be other than {pattern}"
    step = taken.get("multipleOf")
    if step and (not given.get("multipleOf") or given["multipleOf"] % step):
        yield f"not be a multiple of {step}"


def _numbers(given: Mapping[str, Any], taken: Mapping[str, Any]) -> Iterator[str]:
    for words, sign, text in (
        (("minimum", "exclusiveMinimum"), 1, ("less than {}", "{} or less")),
        (("maximum", "exclusiveMaximum"), -1, ("more than {}", "{} or more")),
    ):
        mine, theirs = (_bound(schema, words, sign) for schema in (given, taken))
        if theirs is None or (mine is not None and mine >= theirs):
            continue
        yield f"be {text[theirs[1]].format(theirs[0] * sign)}"


def _bound(
    schema: Mapping[str, Any], words: tuple[str, str], sign: int
) -> tuple[float, bool] | None:
    """The bound of a number, and whether the bound itself is outside.

    The sign is chosen so that a larger bound is narrower. The bound of an integer is the next
    integer inside.
    """
    found: list[tuple[float, bool]] = []
    for word, outside in zip(words, (False, True), strict=True):
        bound: Any = schema.get(word)
        if type(bound) not in (int, float):
            continue
        if outside and type(bound) is int and schema.get("type") == "integer":
            found.append((bound * sign + 1, False))
        else:
            found.append((bound * sign, outside))
    return max(found, default=None)
