"""Where no misfit is found, every value of what is given is one of what is taken.

A validator of JSON Schema judges that, over schemas and values that Hypothesis makes.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from leveret.contract.fitting import Why, misfits
from leveret.contract.typed_schema import Typed

NAMES = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(-2, 3)
VALUES = st.sampled_from([None, True, 0, 1, "", "x"])


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    words = st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
    bounds = draw(st.dictionaries(words, SMALL, max_size=2))
    return {"type": draw(st.sampled_from(["integer", "number"])), **bounds}


@st.composite
def texts(draw: st.DrawFn) -> dict[str, Any]:
    sizes = st.dictionaries(st.sampled_from(["minLength", "maxLength"]), st.integers(0, 3))
    return {"type": "string", **draw(sizes)}


PLAIN = st.one_of(
    st.sampled_from([{}, {"type": "null"}, {"type": "boolean"}, {"type": ["string", "null"]}]),
    numbers(),
    texts(),
    st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=3)),
    st.builds(lambda value: {"const": value}, VALUES),
)


def larger(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    @st.composite
    def objects(draw: st.DrawFn) -> dict[str, Any]:
        members = draw(st.dictionaries(NAMES, inside, max_size=3))
        required = [name for name in members if draw(st.booleans())]
        closed = {"additionalProperties": False} if draw(st.booleans()) else {}
        return {"type": "object", "properties": members, "required": required, **closed}

    @st.composite
    def tuples(draw: st.DrawFn) -> dict[str, Any]:
        first = draw(st.lists(inside, min_size=1, max_size=2))
        size = {"minItems": len(first), "maxItems": len(first)}
        return {"type": "array", "prefixItems": first, "items": False, **size}

    @st.composite
    def lists(draw: st.DrawFn) -> dict[str, Any]:
        sizes = st.dictionaries(st.sampled_from(["minItems", "maxItems"]), st.integers(0, 3))
        return {"type": "array", "items": draw(inside), **draw(sizes)}

    return st.one_of(
        objects(),
        tuples(),
        lists(),
        st.builds(lambda values: {"type": "object", "additionalProperties": values}, inside),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inside, min_size=1, max_size=3)),
    )


SCHEMAS = st.recursive(PLAIN, larger, max_leaves=6)


def value_of(draw: st.DrawFn, schema: Any) -> Any:
    """Something that is likely to be a value of a schema."""
    if "anyOf" in schema:
        return value_of(draw, draw(st.sampled_from(schema["anyOf"])))
    if "enum" in schema or "const" in schema:
        return draw(st.sampled_from(schema.get("enum", [schema.get("const")])))
    kind = schema.get("type")
    if kind == "array":
        first = [value_of(draw, it) for it in schema.get("prefixItems", ())]
        if first:
            return first
        count = draw(st.integers(schema.get("minItems", 0), max(3, schema.get("minItems", 0))))
        return [value_of(draw, schema["items"]) for _ in range(count)]
    if kind == "object":
        required = schema.get("required", ())
        members = schema.get("properties", {}).items()
        found = {n: value_of(draw, it) for n, it in members if n in required or draw(st.booleans())}
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            found |= {draw(NAMES): value_of(draw, more)}
        return found
    plain = {
        "null": st.none(),
        "boolean": st.booleans(),
        "integer": st.integers(-3, 4),
        "number": st.sampled_from([-2, -1.5, 0, 0.5, 1, 2.5, 3]),
        "string": st.text("x", max_size=4),
    }
    return draw(
        plain[kind] if isinstance(kind, str) else st.one_of(VALUES, st.just([]), st.just({}))
    )


def changed(draw: st.DrawFn, schema: Any) -> Any:
    """A schema that is nearly the same, as that of a next version."""
    if not isinstance(schema, dict) or not schema:
        return draw(PLAIN)
    word = draw(st.sampled_from(sorted(schema)))
    value, more = schema[word], dict(schema)
    match value:
        case int() if word != "const" and not isinstance(value, bool):
            more[word] = max(value + draw(st.sampled_from([-1, 1])), 0 if "n" in word[1:] else -9)
        case dict() if word == "properties" and value:
            name = draw(st.sampled_from(sorted(value)))
            more[word] = {**value, name: changed(draw, value[name])}
        case dict():
            more[word] = changed(draw, value)
        case list() if word in {"anyOf", "prefixItems"}:
            at = draw(st.integers(0, len(value) - 1))
            more[word] = [*value[:at], changed(draw, value[at]), *value[at + 1 :]]
        case list() if word in {"required", "enum"} and len(value) > 1:
            more[word] = value[1:]
        case _ if word not in {"type", "items", "minItems", "maxItems"}:
            del more[word]
    return more


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), SCHEMAS)
def test_what_no_misfit_is_found_of_fits(data: st.DataObject, given_: Any) -> None:
    taken = data.draw(st.composite(changed)(given_))
    found = misfits(Typed(given_, given_), Typed(taken, taken))
    value = data.draw(st.composite(value_of)(given_))
    assume(Draft202012Validator(given_).is_valid(value))
    fits = all(it.why is Why.UNREAD for it in found)
    event(f"fits: {fits}")
    if not Draft202012Validator(taken).is_valid(value):
        assert not fits
