"""Arrays of numpy: what annotations ask of them, and their bytes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from leveret.annotations import substituted
from leveret.codec.arrays import ArrayHead, ArrayType, array_type, read_array, write_array
from leveret.errors import ContractError


def travelled(array: Any) -> Any:
    head, view = write_array(array, 0)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(head), type=ArrayHead)
    return read_array(again, memoryview(bytes(view)))


GRID = np.arange(24.0).reshape(2, 3, 4)
TRAVELS: tuple[Any, ...] = (
    GRID,
    GRID.T,
    GRID[:, ::2],
    GRID[0, 0, 0:0],
    np.array(7.5),
    np.zeros((0, 3)),
    np.array([True, False]),
    np.array([1, -1], "i1"),
    np.array([1, 2], ">u4"),
    np.array([1.5], ">f8"),
    np.array([1.5, float("nan")], "f2"),
    np.array([1 + 2j]),
    np.array(["a", "héé", ""]),
    np.array([b"a", b"bc"]),
    np.array(["2024-02-29", "NaT"], "M8[ns]"),
    np.array([25], "m8[7s]"),
    np.array([-(2**63)]).view("M8"),  # NaT without a unit, of which numpy 2.5 makes none itself
    np.arange(3, dtype=np.longlong),
)


@pytest.mark.parametrize("array", TRAVELS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_an_array_arrives_as_it_was(array: Any) -> None:
    found = travelled(array)
    np.testing.assert_array_equal(found, array)
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.dtype.isnative
    assert not found.flags.writeable


@pytest.mark.parametrize("array", [GRID, GRID.T])
def test_what_lies_in_a_row_is_sent_and_read_without_a_copy(array: Any) -> None:
    head, view = write_array(array, 0)
    assert np.shares_memory(np.frombuffer(view, "u1"), GRID)
    body = bytes(view)
    found = read_array(head, memoryview(body))
    assert np.shares_memory(found, np.frombuffer(body, "u1"))
    assert found.strides == array.strides


def test_the_head_is_that_of_the_protocol() -> None:
    head, _ = write_array(np.zeros((2, 3), ">i4").T, 5)
    assert msgspec.to_builtins(head) == ["<i4", (3, 2), "F", 5]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([None]), r"dtype object holds references .* astype\(float\)"),
        (np.zeros(1, "i4,i4"), "a structured array, of dtype .* cannot travel"),
        (np.zeros(1, "V3"), "a structured array"),
        (np.zeros(1, "g"), "longdouble is laid out otherwise on each platform; use float64"),
        (np.zeros(1, "G"), "clongdouble is laid out"),
    ],
)
def test_an_array_without_bytes_of_one_meaning_is_refused(array: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        write_array(array, 0)


def test_strings_of_any_length_are_refused() -> None:
    if not hasattr(np.dtypes, "StringDType"):
        pytest.skip("numpy 1 has none")
    with pytest.raises(TypeError, match="cannot travel; change it by astype"):
        write_array(np.array(["a"], np.dtypes.StringDType()), 0)


@pytest.mark.parametrize(
    ("head", "size", "reason"),
    [
        (ArrayHead("<f8", (2,), "C", 0), 15, "takes 16 bytes, and its buffer has 15"),
        (ArrayHead("<f8", (2,), "C", 0), 17, "takes 16 bytes, and its buffer has 17"),
        (ArrayHead("<f8", (2**63, 2**63), "C", 0), 16, "and its buffer has 16"),
        (ArrayHead("<f8", (), "C", 0), 0, "takes 8 bytes"),
        (ArrayHead(">f8", (2,), "C", 0), 16, "'>f8' do not travel; a big-endian array must be"),
        (ArrayHead("|O", (2,), "C", 0), 16, r"dtype '\|O' do not travel$"),
        (ArrayHead("|O8", (2,), "C", 0), 16, "do not travel"),
        (ArrayHead("<f16", (1,), "C", 0), 16, "do not travel"),
        (ArrayHead("f8,f8", (1,), "C", 0), 16, "do not travel"),
        (ArrayHead("|V16", (1,), "C", 0), 16, "do not travel"),
        (ArrayHead("<U0", (10**9,), "C", 0), 0, "do not travel"),
        (ArrayHead("|S999999999", (1,), "C", 0), 16, "takes 999999999 bytes"),
        (ArrayHead("|b1", (16,), "C", 0), 16, "bytes other than 0 and 1"),
        (ArrayHead("<U4", (1,), "C", 0), 16, "has what is no character"),
    ],
)
def test_a_head_that_lies_is_refused(head: ArrayHead, size: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_array(head, memoryview(b"\xff" * size))


def test_an_empty_array_with_a_shape_that_numpy_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="array"):
        read_array(ArrayHead("<f8", (0, 2**62, 2**62), "C", 0), memoryview(b""))


@pytest.mark.parametrize(
    "head",
    [["<f8", [-1], "C", 0], ["<f8", [1] * 33, "C", 0], ["<f8", [1], "K", 0], ["<f8", [1], "C", -1]],
)
def test_a_malformed_head_is_refused(head: list[Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(head), type=ArrayHead)


THREE_WIDE: Any = np.ndarray[tuple[int, Literal[3]], np.dtype[np.floating]]
FITS: tuple[tuple[Any, Any], ...] = (
    (np.ndarray, np.array(["a"])),
    (npt.NDArray[Any], np.array(["a"])),
    (npt.NDArray[np.generic], np.array(["a"])),
    (npt.NDArray[np.float64], np.array([1.5])),
    (npt.NDArray[np.float64], np.array([1.5], ">f8")),
    (npt.NDArray[np.longlong], np.array([1])),
    (npt.NDArray[np.int64], np.array([1], np.longlong)),
    (npt.NDArray[np.floating[Any]], np.array([1.5], "f4")),
    (npt.NDArray[np.float32 | np.float64], np.array([1.5], "f4")),
    (npt.NDArray[np.str_], np.array(["abc"])),
    (npt.NDArray[np.bytes_], np.array([b"abc"])),
    (npt.NDArray[np.datetime64], np.array(["2024"], "M8[D]")),
    (np.ndarray[Any, np.dtype[float]], np.array([1.5])),  # type: ignore[type-var]
    (np.ndarray[tuple[int, ...], np.dtype[np.bool_]], np.zeros((1, 2, 3), bool)),
    (THREE_WIDE, np.zeros((5, 3))),
)


def asked_by(annotation: Any) -> ArrayType:
    return array_type(substituted(annotation, {}))  # `NDArray[...]` is a name from numpy 2.5 on


@pytest.mark.parametrize(("annotation", "array"), FITS)
def test_an_array_fits_its_annotation(annotation: Any, array: Any) -> None:
    asked_by(annotation).check(array)


@pytest.mark.parametrize(
    ("annotation", "array", "reason"),
    [
        (npt.NDArray[np.float64], np.array([1]), "^Expected an array of float64, got one of int64"),
        (npt.NDArray[np.float32 | np.bool_], np.array([1.5]), "of bool or float32, got"),
        (
            THREE_WIDE,
            np.zeros((5, 4)),
            r"of shape \(\*, 3\), got one of shape \(5, 4\)",
        ),
        (THREE_WIDE, np.zeros(3), r"got one of shape \(3,\)"),
        (THREE_WIDE, np.zeros((5, 3), int), "of int64"),
    ],
)
def test_an_array_does_not_fit_its_annotation(annotation: Any, array: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        asked_by(annotation).check(array)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (npt.NDArray[np.object_], "dtype object holds references"),
        (npt.NDArray[np.void], "a structured array cannot travel"),
        (npt.NDArray[np.longdouble], "longdouble is laid out otherwise"),
        (npt.NDArray[np.float64 | np.object_], "dtype object"),
    ],
)
def test_an_annotation_of_what_cannot_travel_is_refused(annotation: Any, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        asked_by(annotation)
