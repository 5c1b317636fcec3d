"""Bounds that are checked, notes that are not, and metadata that nobody would read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import annotated_types as at
import msgspec
import pydantic
import pydantic.dataclasses
import pytest
from msgspec import Meta
from typing_extensions import Doc

from leveret.annotations import of_pydantic, with_bounds


class Bounded(msgspec.Struct):
    n: Annotated[int, Meta(ge=0), "a note"]


@dataclass
class Unread:
    n: Annotated[int, at.Gt(0)]


class Model(pydantic.BaseModel):
    n: int


@pydantic.dataclasses.dataclass
class Checked:
    n: int


class Holder(msgspec.Struct):
    model: Model | None = None


@pytest.mark.parametrize(
    ("metadata", "meta"),
    [
        (at.Gt(0), Meta(gt=0)),
        (at.Ge(0), Meta(ge=0)),
        (at.Lt(0.5), Meta(lt=0.5)),
        (at.Le(0), Meta(le=0)),
        (at.Interval(gt=0, le=5), Meta(gt=0, le=5)),
        (at.MultipleOf(3), Meta(multiple_of=3)),
        (at.MinLen(1), Meta(min_length=1)),
        (at.MaxLen(0), Meta(max_length=0)),
        (at.Len(1, 5), Meta(min_length=1, max_length=5)),
        (at.Timezone(None), Meta(tz=False)),
        (at.Timezone(...), Meta(tz=True)),
    ],
    ids=str,
)
def test_bounds_of_annotated_types_are_read(metadata: Any, meta: Meta) -> None:
    assert with_bounds(Annotated[int, metadata]) == Annotated[int, meta]
    deep = with_bounds(dict[str, list[Annotated[int, "a note", metadata] | None]])
    assert deep == dict[str, list[Annotated[int, "a note", meta] | None]]


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        Bounded,
        Annotated[int, Meta(ge=0)],
        list[Annotated[int, pydantic.Field(gt=0)]],
        Annotated[int, "a note", Doc("another"), at.Unit("m")],
    ],
    ids=str,
)
def test_notes_and_meta_are_left_alone(annotation: Any) -> None:
    assert with_bounds(annotation) is annotation


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Annotated[int, at.Predicate(bool)], r"Predicate\(.*\) in Annotated would have no effect"),
        (Annotated[int, at.Timezone("Europe/Rome")], "Rome.* would have no effect"),
        (list[Annotated[int, 5]], "5 in Annotated would have no effect; write the bounds as lev"),
        (Unread, r"Gt\(gt=0\) at Unread.n would have no effect there; write leveret.Meta\(gt=0\)"),
        (list[Unread], r"write leveret.Meta\(gt=0\)"),
    ],
    ids=str,
)
def test_what_would_have_no_effect_is_refused(annotation: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        with_bounds(annotation)


@pytest.mark.parametrize(
    ("annotation", "theirs"),
    [
        (Model, True),
        (Checked, True),
        (list[Checked | None], True),
        (Holder, True),
        (Annotated[int, pydantic.Field(gt=0)], True),
        (pydantic.StrictInt, True),
        (pydantic.HttpUrl, True),
        (pydantic.PositiveInt, False),
        (Bounded, False),
        (int, False),
    ],
    ids=str,
)
def test_what_is_pydantics_is_told_from_the_rest(annotation: Any, theirs: bool) -> None:
    assert of_pydantic(annotation) is theirs
