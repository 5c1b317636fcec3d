"""Arrays of numpy: what an annotation asks of them, and their bytes as they travel.

numpy is imported only once there is an array: whoever has one has numpy. What is read is a view of
the message's body, which cannot be written to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache, reduce
from math import prod
from operator import or_
from types import GenericAlias, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    Union,
    get_args,
    get_origin,
)

import msgspec

from leveret.errors import ContractError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "BUFFER",
    "ArrayHead",
    "ArrayType",
    "array_type",
    "described_array",
    "read_array",
    "write_array",
]

_WIRE_TYPE: Final = re.compile(
    r"\|b1|\|[iu]1|<[iu][248]|<f[248]|<c(8|16)|\|S[1-9]\d{0,8}|<U[1-9]\d{0,8}"
    r"|<[Mm]8(\[\d{0,9}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
)
"""numpy's names of the types that travel: those whose values are bytes of one known meaning."""
BUFFER: Final = "x-leveret-buffer"
"""The keyword of JSON Schema that tells what travels out of band."""
_LARGEST_CODE_POINT: Final = 0x10FFFF
_Length: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class ArrayHead(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is said of an array beside its bytes."""

    dtype: str
    """The type of its items, as numpy's `dtype.str`, little-endian."""
    shape: Annotated[tuple[_Length, ...], msgspec.Meta(max_length=32)]
    """Its length in each dimension."""
    order: Literal["C", "F"]
    """Whether the last or the first index changes fastest."""
    buffer: _Length
    """The number of its buffer."""


class ArrayType(msgspec.Struct, frozen=True, kw_only=True):
    """What an annotation asks of an array."""

    dtypes: tuple[Any, ...] = ()
    """The classes of scalars that its items may be of; empty where any will do."""
    shape: tuple[int | None, ...] | None = None
    """Its length in each dimension, None for any length; None where any shape will do."""

    def check(self, array: np.ndarray[Any, Any]) -> None:
        """:raises ValueError: if an array is not what is asked for."""
        if self.dtypes and not issubclass(_plain_type(array.dtype), self.dtypes):
            raise ValueError(f"Expected {self}, got one of {array.dtype}")
        shape = self.shape
        if shape is not None and (
            len(shape) != array.ndim
            or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True))
        ):
            raise ValueError(f"Expected {self}, got one of shape {array.shape}")

    def __str__(self) -> str:
        text = "an array"
        if self.dtypes:
            text += f" of {' or '.join(self.names())}"
        if self.shape is not None:
            text += f" of shape ({', '.join('*' if n is None else str(n) for n in self.shape)})"
        return text

    def names(self) -> list[str]:
        """The names of the types that its items may be of, in the order of the alphabet."""
        return sorted(dtype.__name__.rstrip("_") for dtype in self.dtypes)  # `bool_` of numpy 1

    def schema(self) -> dict[str, Any]:
        """What JSON Schema can say of it."""
        said: dict[str, Any] = {"kind": "ndarray"}
        if self.dtypes:
            said["dtype"] = self.names()
        if self.shape is not None:
            said["shape"] = list(self.shape)
        return {"description": f"{self}, out of band", BUFFER: said}


@lru_cache(1024)
def array_type(annotation: Any) -> ArrayType:
    """Return what an annotation of `numpy.ndarray`, with brackets or without, asks for.

    :raises ContractError: if it asks for items that cannot travel.
    """
    shape, dtype, *_ = (*get_args(annotation), Any, Any)
    found = tuple(_scalar_types(next(iter(get_args(dtype)), Any)))
    for scalar in found:
        reason = _reason_against_type(scalar)
        if reason:
            raise ContractError(reason)
    return ArrayType(dtypes=found, shape=_shape(shape))


def described_array(said: Mapping[str, Any]) -> Any:
    """Return the annotation of arrays of which `ArrayType.schema` says this."""
    import numpy as np  # noqa: PLC0415 - installed wherever there is an array

    names, lengths = said.get("dtype"), said.get("shape")
    found = [
        getattr(np, f"{name}_", None) or getattr(np, name, None)  # `bool_`, `float64`
        for name in (names if isinstance(names, list) else ())
        if isinstance(name, str)
    ]
    dtype: Any = Any
    if found and all(isinstance(one, type) and issubclass(one, np.generic) for one in found):
        dtype = GenericAlias(np.dtype, reduce(or_, found))
    shape: Any = Any
    if isinstance(lengths, list) and all(n is None or type(n) is int for n in lengths):
        shape = GenericAlias(tuple, tuple(int if n is None else Literal[n] for n in lengths))
    return GenericAlias(np.ndarray, (shape, dtype))


def write_array(array: np.ndarray[Any, Any], buffer: int) -> tuple[ArrayHead, memoryview]:
    """Return what is said of an array, and its bytes: a view of it, if they lie in a row.

    :raises TypeError: if its items cannot travel.
    """
    import numpy as np  # noqa: PLC0415 - installed wherever there is an array

    reason = _reason_against(array.dtype)
    if reason:
        raise TypeError(reason)
    little = array.dtype.newbyteorder("<")
    if array.dtype != little:
        array = array.astype(little)
    by_column = array.flags.f_contiguous and not array.flags.c_contiguous
    in_a_row = np.ascontiguousarray(array.T if by_column else array).reshape(-1)
    head = ArrayHead(
        dtype=little.str, shape=array.shape, order="F" if by_column else "C", buffer=buffer
    )
    return head, in_a_row.view(np.uint8).data


def read_array(head: ArrayHead, buffer: memoryview) -> np.ndarray[Any, Any]:
    """Return the array that a buffer is: a view of it that cannot be written to.

    :raises ValueError: if it is none.
    """
    import numpy as np  # noqa: PLC0415 - as above; `codec.with_buffers` says so if it is not

    if not _WIRE_TYPE.fullmatch(head.dtype):
        big = "; a big-endian array must be sent little-endian" if head.dtype[:1] == ">" else ""
        raise ValueError(f"arrays of dtype {head.dtype!r} do not travel{big}")
    dtype = np.dtype(head.dtype)
    size = prod(head.shape) * dtype.itemsize
    if size != len(buffer):
        raise ValueError(
            f"an array of dtype {head.dtype} and shape {head.shape} takes {size} bytes, and its"
            f" buffer has {len(buffer)}"
        )
    if dtype.kind == "b" and size and np.frombuffer(buffer, "|u1").max() > 1:
        raise ValueError("an array of dtype |b1 has bytes other than 0 and 1")
    if dtype.kind == "U" and size and np.frombuffer(buffer, "<u4").max() > _LARGEST_CODE_POINT:
        raise ValueError(f"an array of dtype {head.dtype} has what is no character")
    array: np.ndarray[Any, Any] = np.ndarray(head.shape, dtype, buffer, order=head.order)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _scalar_types(item: Any) -> list[Any]:
    """Return the classes of scalars that the item type of an annotation stands for."""
    import numpy as np  # noqa: PLC0415 - installed wherever such a type is

    if get_origin(item) in {Union, UnionType}:
        return [scalar for one in get_args(item) for scalar in _scalar_types(one)]
    item = get_origin(item) or item  # `np.integer[Any]`
    if item is Any or item is np.generic or not isinstance(item, type):
        return []
    if not issubclass(item, np.generic):
        return [np.dtype(item).type]  # Python's float, int, bool
    if item in np.sctypeDict.values():
        return [_plain_type(np.dtype(item))]
    return [item]


def _plain_type(dtype: np.dtype[Any]) -> type[np.generic]:
    """Return the scalar class of a dtype; of two integers of one size always the same."""
    import numpy as np  # noqa: PLC0415 - as above

    return np.dtype(dtype.str).type if dtype.kind in "iu" else dtype.type


def _shape(annotation: Any) -> tuple[int | None, ...] | None:
    """Return the shape that `tuple[int, Literal[3]]` says; None where it says none."""
    lengths = get_args(annotation)
    if get_origin(annotation) is not tuple or Ellipsis in lengths:
        return None
    return tuple(get_args(n)[0] if get_origin(n) is Literal else None for n in lengths)


def _reason_against(dtype: np.dtype[Any]) -> str:
    """Why arrays of this dtype cannot travel; "" if they can."""
    if dtype.kind == "V":
        return (
            f"a structured array, of dtype {dtype}, cannot travel; send an array for each of its "
            "fields, or a pandas.DataFrame"
        )
    reason = _reason_against_type(dtype.type)
    if reason:
        return reason
    if dtype.kind in "biufcMmSU" and _WIRE_TYPE.fullmatch(dtype.newbyteorder("<").str):
        return ""
    return f"an array of dtype {dtype} cannot travel; change it by astype() to one of fixed size"


def _reason_against_type(scalar: type) -> str:
    import numpy as np  # noqa: PLC0415 - as above

    if issubclass(scalar, np.object_):
        return (
            "an array of dtype object holds references to Python's objects, which have no bytes to "
            "send; give it a dtype, as by astype(float) or astype(str), or send a list"
        )
    if issubclass(scalar, np.void):
        return "a structured array cannot travel; send an array for each of its fields"
    if scalar.__name__ in {"longdouble", "clongdouble"}:
        return f"{scalar.__name__} is laid out otherwise on each platform; use float64"
    return ""
