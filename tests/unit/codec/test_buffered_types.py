"""Which types travel out of band, and what is refused when a class is defined."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from typing_extensions import TypeAliasType

from leveret import Hook, Service, method
from leveret.annotations import substituted
from leveret.codec import DescribedTypes
from leveret.codec.arrays import BUFFER
from leveret.codec.buffered_types import buffered_class, buffered_in, check_buffered, kind_of
from leveret.codec.descriptions import describe
from leveret.errors import ContractError

T = TypeVar("T", bound=np.generic)
Floats = npt.NDArray[np.float64]
# What npt.NDArray is from numpy 2.5 on.
Array = TypeAliasType("Array", np.ndarray[tuple[Any, ...], np.dtype[T]], type_params=(T,))


@dataclass
class Sample:
    values: Floats | None


class Frame(pd.DataFrame):  # type: ignore[misc, unused-ignore]
    """Another class, which pyarrow would make a DataFrame of."""


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (np.ndarray, "ndarray"),
        (substituted(Floats, {}), "ndarray"),
        (pd.DataFrame, "DataFrame"),
        (pd.Series, "Series"),
        (pa.Table, "Table"),
        (pa.RecordBatch, "RecordBatch"),
        (Frame, None),
        (np.float64, None),
        (np.memmap, None),
        (np.ma.MaskedArray, None),
        (pa.Array, None),
        (list[Floats], None),
        (int, None),
    ],
)
def test_a_class_is_told_by_its_name(annotation: Any, kind: str | None) -> None:
    assert buffered_class(annotation) == kind


def test_an_array_in_a_file_is_an_array() -> None:
    assert kind_of(np.memmap) == "ndarray"


@pytest.mark.parametrize(
    "annotation",
    [
        Floats,
        Array[np.float64],
        Floats | None,
        list[Floats],
        dict[str, tuple[int, Floats]],
        Sample,
        list[Sample],
    ],
)
def test_it_is_found_at_any_depth(annotation: Any) -> None:
    assert buffered_in(annotation)
    check_buffered(annotation)


@pytest.mark.parametrize("annotation", [int, Any, list[int], np.float64, Literal["a"]])
def test_other_types_do_not_travel_out_of_band(annotation: Any) -> None:
    assert not buffered_in(annotation)


def test_an_annotation_without_a_hash_is_looked_at() -> None:
    assert buffered_in(Annotated[list[Floats], msgspec.Meta(examples=[[]])])


def test_what_a_hook_says_otherwise_of_does_not() -> None:
    hook = Hook(np.ndarray, bytes, encode=bytes, decode=np.frombuffer)
    assert not buffered_in(dict[str, Annotated[np.ndarray, hook]])
    with pytest.raises(ContractError, match="what it gives has arrays or tables inside; give byt"):

        class Odd(Service, types=[Hook(complex, Floats, encode=np.array, decode=complex)]):
            @method
            async def turn(self, by: complex) -> None: ...


def test_items_that_cannot_travel_are_refused_at_any_depth() -> None:
    with pytest.raises(ContractError, match="dtype object"):
        check_buffered(dict[str, list[npt.NDArray[np.object_]]])
    with pytest.raises(ContractError, match="dtype object"):
        check_buffered(tuple[Array[np.float64], list[Array[np.object_]]])


@pytest.mark.parametrize("cls", [pd.DataFrame, pd.Series, pa.Table, pa.RecordBatch])
def test_what_has_to_be_installed_is_named(cls: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    package = cls.__module__.partition(".")[0]
    with pytest.raises(
        ContractError,
        match=rf"^{package}.{cls.__name__} travels in Arrow's format, and pyarrow is not "
        r"installed; pip install 'leveret\[arrow\]'$",
    ):
        check_buffered(list[cls])  # type: ignore[valid-type]
    check_buffered(Floats)  # numpy is all that it takes


def test_an_old_pyarrow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = ModuleType("pyarrow")
    old.__version__ = "14.0.0.dev3"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyarrow", old)
    with pytest.raises(ContractError, match=r"pyarrow 14.0.0.dev3 is older than 17.0; pip install"):
        check_buffered(pa.Table)


def test_a_schema_says_what_it_is() -> None:
    class Fields(msgspec.Struct):
        values: np.ndarray[tuple[int, Literal[3]], np.dtype[np.float32]]
        more: dict[str, tuple[Floats, pa.Table]]
        twice: tuple[Floats, Floats]
        bare: np.ndarray[Any, Any] | None = None
        sample: Sample | None = None

    schema, definitions = describe(list[Fields], "#/$defs/{name}")
    assert schema == {"type": "array", "items": {"$ref": "#/$defs/Fields"}}
    properties = definitions["Fields"]["properties"]
    floats = {
        "description": "an array of float64, out of band",
        "x-leveret-buffer": {"kind": "ndarray", "dtype": ["float64"]},
    }
    assert properties["values"] == {
        "description": "an array of float32 of shape (*, 3), out of band",
        "x-leveret-buffer": {"kind": "ndarray", "dtype": ["float32"], "shape": [None, 3]},
    }
    assert properties["twice"]["prefixItems"] == [floats, floats]
    assert properties["more"]["additionalProperties"]["prefixItems"] == [
        floats,
        {
            "description": "a Table as a stream of Arrow's IPC format, out of band",
            "contentMediaType": "application/vnd.apache.arrow.stream",
            "x-leveret-buffer": {"kind": "Table"},
        },
    ]
    assert properties["bare"]["anyOf"][0] == {
        "description": "an array, out of band",
        "x-leveret-buffer": {"kind": "ndarray"},
    }
    assert definitions["Sample"]["properties"]["values"]["anyOf"][0] == floats
    assert describe(Floats, "{name}") == (floats, {})


@pytest.mark.parametrize(
    "annotation",
    [
        np.ndarray[Any, Any],
        np.ndarray[Any, np.dtype[np.float64]],
        np.ndarray[Any, np.dtype[np.bool_]],
        np.ndarray[Any, np.dtype[np.floating]],
        np.ndarray[tuple[int, Literal[2]], np.dtype[np.int32]],
        pd.DataFrame,
        pd.Series,
        pa.Table,
        pa.RecordBatch,
        pd.DataFrame | None,
        list[np.ndarray[Any, np.dtype[np.float64]]],
    ],
    ids=str,
)
def test_a_described_type_is_what_it_was(annotation: Any) -> None:
    schema, _ = describe(annotation, "#/$defs/{name}")
    found = DescribedTypes(schema, "here").of(schema)
    assert describe(found, "#/$defs/{name}")[0] == schema
    assert buffered_in(found)


def test_a_description_names_only_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def described(said: object, **more: Any) -> Any:
        return DescribedTypes({}, "here").of({BUFFER: said, **more})

    assert described("ndarray") is Any
    assert described({"kind": "os.system"}) is Any
    assert described({"kind": ["ndarray"]}) is Any
    odd = {"kind": "ndarray", "dtype": ["load", 7, "float64"], "shape": ["x"]}
    assert described(odd) == np.ndarray[Any, Any]
    text = {"anyOf": [{BUFFER: {"kind": "Table"}}, {"type": "string"}]}
    assert DescribedTypes({}, "here").of(text) is Any
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert described({"kind": "DataFrame"}) is Any
