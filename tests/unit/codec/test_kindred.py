"""Values that mean what Python's own types mean: numpy's scalars, subclasses, kinds of bytes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from leveret.codec import ENCODE_ERRORS, JSON, MSGPACK, RAW, TEXT, fields_codec, method_codec
from leveret.codec.kindred import as_known, plain


class Scalar:
    """As numpy makes them, but for its package."""

    def __init__(self, value: object, kind: str = "f") -> None:
        self.item: Callable[[], object] = lambda: value
        self.dtype = SimpleNamespace(kind=kind)


class Array(Scalar):
    def __len__(self) -> int:
        return 1


Scalar.__module__ = Array.__module__ = "numpy"


class Real(float):
    """As `numpy.float64` is one."""


class Text(str):
    __slots__ = ()


class Data(bytes):
    pass


class Whole(int):
    pass


class Day(date):
    pass


class Moment(datetime):
    nanosecond: object = 0


class Period(timedelta):
    nanoseconds: object = 0


class NoFields(msgspec.Struct):
    pass


class One(msgspec.Struct):
    value: Any


NOW = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


def moment(nanosecond: object) -> Moment:
    made = Moment(2026, 1, 2, 3, 4, 5, 6, UTC)
    made.nanosecond = nanosecond
    return made


def period(nanoseconds: object) -> Period:
    made = Period(seconds=3)
    made.nanoseconds = nanoseconds
    return made


MEANT = [
    (Scalar(1.5), 1.5, float),
    (Scalar(3, "i"), 3, int),
    (Scalar(True, "b"), True, bool),
    (Scalar(NOW, "M"), NOW, datetime),
    (Real(1.5), 1.5, float),
    (Whole(3), 3, int),
    (Text("a"), "a", str),
    (Data(b"a"), b"a", bytes),
    (Day(2026, 1, 2), date(2026, 1, 2), date),
    (moment(0), NOW, datetime),
    (period(0), timedelta(seconds=3), timedelta),
    (np.datetime64("2026-01-02T03:04:05.000006", "ns"), NOW.replace(tzinfo=None), datetime),
    (np.timedelta64(3_000_000_000, "ns"), timedelta(seconds=3), timedelta),
    (np.datetime64("2026-01-02"), date(2026, 1, 2), date),
    (np.int8(3), 3, int),
]


@pytest.mark.parametrize(("value", "meant", "kind"), MEANT)
def test_a_value_is_what_it_means(value: Any, meant: object, kind: type) -> None:
    found = plain(value)
    assert (found, type(found)) == (meant, kind)
    assert type(as_known(value)) is kind


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "Encoding objects of type object is unsupported"),
        (Scalar(1j, "c"), "numpy.Scalar is unsupported"),
        (np.datetime64(1, "ns"), r"datetime64\('1970-01-01T00:00:00.000000001'\) has nanoseconds"),
        (
            np.timedelta64(1, "ns"),
            r"has nanoseconds, which Python's times have not; round it first",
        ),
        (np.timedelta64(1, "Y"), "numpy.timedelta64 is unsupported"),
        (np.datetime64(2**62, "s"), "numpy.datetime64 is unsupported"),
        (np.datetime64("NaT", "ns"), "numpy.datetime64 is unsupported"),
        (
            np.ones(2),
            r"numpy.ndarray is unsupported; give a list.*with_options\(content_type='app",
        ),
        (Array(1), "numpy.Array is unsupported"),
        (moment(1), "has nanoseconds, which Python's times have not; round it first"),
        (period(1), "has nanoseconds"),
    ],
)
def test_what_means_nothing_of_that_kind_is_refused(value: object, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        plain(value)
    assert as_known(value) is value


def test_a_time_that_is_none_is_refused() -> None:
    class NotATime(datetime):
        @property
        def year(self) -> Any:
            return float("nan")

    with pytest.raises(TypeError, match="is no datetime"):
        plain(NotATime(2026, 1, 1))


@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
@pytest.mark.parametrize("fill", [1, 5_000], ids=["small", "large"])
@pytest.mark.parametrize(
    ("annotation", "value", "meant"),
    [
        *((kind, value, meant) for value, meant, kind in MEANT),
        (bytes, bytearray(b"a"), b"a"),
        (bytes, memoryview(b"a"), b"a"),
        (float, Scalar(3, "i"), 3.0),
    ],
)
def test_it_arrives_as_the_annotation_says(
    content_type: str, annotation: Any, value: Any, meant: Any, fill: int
) -> None:
    result: Any = tuple[str, annotation]
    codec = method_codec(content_type, NoFields, result)
    assert codec.decode_result(bytes(codec.encode_result(("x" * fill, value)))) == (
        "x" * fill,
        meant,
    )


@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
@pytest.mark.parametrize(
    ("annotation", "value"),
    [(str, Scalar(3, "i")), (int, Scalar(1.5)), (bytes, Text("a")), (str, Data(b"a"))],
)
def test_it_has_to_fit_all_the_same(content_type: str, annotation: Any, value: Any) -> None:
    with pytest.raises(ENCODE_ERRORS, match="Expected"):
        method_codec(content_type, NoFields, annotation).encode_result(value)


def test_json_has_no_nan_of_theirs_either() -> None:
    for value in (Scalar(float("nan")), Real("nan")):
        with pytest.raises(ValueError, match="JSON cannot carry nan"):
            method_codec(JSON, NoFields, float | None).encode_result(value)


def test_bodies_of_one_value_have_it_too() -> None:
    number = msgspec.defstruct("Number", [("value", int)])
    assert method_codec(TEXT, number, int).encode_result(Scalar(3, "i")) == b"3"
    data = msgspec.defstruct("Data", [("value", bytes)])
    codec = method_codec(RAW, data, bytes)
    for value in (bytearray(b"a"), memoryview(b"a"), Data(b"a")):
        assert codec.encode_result(value) == b"a"
        assert codec.encode_arguments(data(value)) == b"a"
    assert fields_codec(One).encode(One(Scalar(1.5))) == b'{"value":1.5}'
