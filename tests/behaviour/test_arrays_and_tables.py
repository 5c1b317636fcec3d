"""Arrays and tables as arguments, results and fields: out of band, without a copy, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

import leveret
from leveret import (
    ContractError,
    DeclaredError,
    InvalidArgument,
    InvalidResult,
    Rabbit,
    Service,
    method,
)
from tests.behaviour.patience import PATIENCE

BUFFERS = "application/vnd.leveret.buffers"
Floats = npt.NDArray[np.float64]


@dataclass
class Sample:
    name: str
    values: Floats
    masks: list[npt.NDArray[np.bool_]] | None = None


class Science(Service):
    def __init__(self) -> None:
        self.result: Any = None

    @method(idempotent=True)
    async def scale(self, values: Floats, by: float = 2.0) -> Floats:
        assert not values.flags.writeable
        return values * by if self.result is None else self.result

    @method
    async def describe(self, frame: pd.DataFrame, column: pd.Series | None = None) -> pd.DataFrame:
        return frame if column is None else frame.assign(column=column)

    @method
    async def rows(self, table: pa.Table) -> list[pa.RecordBatch]:
        return table.to_batches(max_chunksize=1)  # type: ignore[no-any-return, unused-ignore]

    @method
    async def mirror(self, samples: list[Sample]) -> list[Sample]:
        return samples[::-1]


class Counting(Service):
    """Runs in a process, which imports pandas: not each server of a test need start one."""

    @method(executor="process")
    def total(self, points: np.ndarray[tuple[int, Literal[2]], np.dtype[np.int32]]) -> int:
        return int(points.sum())


FRAME = pd.DataFrame({"a": [1, 2], "s": ["x", None]}, index=["k", "l"])
SAMPLE = Sample("a", np.array([1.5]))
TABLE = pa.table({"a": [1, 2], "s": ["x", None]})


async def test_they_arrive_as_what_the_annotation_says(client: Rabbit, host: Rabbit) -> None:
    remote = client.remote(Science)
    async with host.serving(Science()):
        large = np.arange(600_000.0).reshape(2, 3, 100_000)  # of several frames
        found = await remote.scale(large)
        np.testing.assert_array_equal(found, large * 2)
        assert not found.flags.writeable
        np.testing.assert_array_equal(await remote.scale(large.T[::2], by=1.0), large.T[::2])
        pd.testing.assert_frame_equal(await remote.describe(FRAME), FRAME)
        longer = await remote.describe(FRAME, FRAME["a"])
        pd.testing.assert_series_equal(longer["column"], FRAME["a"], check_names=False)
        first, second = await remote.rows(TABLE)
        assert (first.to_pylist(), second.to_pylist()) == (
            [{"a": 1, "s": "x"}],
            [{"a": 2, "s": None}],
        )
        samples = [Sample("a", large[0, 0]), Sample("b", np.zeros(0), [np.array([True])])]
        second_sample, first_sample = await remote.mirror(samples)
        assert (first_sample.name, second_sample.name) == ("a", "b")
        np.testing.assert_array_equal(first_sample.values, large[0, 0])
        assert second_sample.masks is not None
        assert second_sample.masks[0].tolist() == [True]


async def test_what_does_not_fit_is_refused_by_either_side(client: Rabbit, host: Rabbit) -> None:
    remote = client.remote(Science)
    with pytest.raises(InvalidArgument, match=r"of float64, got one of int64 - at `\$\.values`"):
        await remote.scale(np.array([1]))  # by the client: no server is there
    with pytest.raises(InvalidArgument, match=r"dtype object holds references"):
        await remote.mirror([Sample("a", np.array([None]))])
    by_name = client.with_options(content_type=BUFFERS)
    science = Science()
    async with host.serving(science):
        with pytest.raises(
            InvalidArgument, match=r"of float64, got one of int64 - at `\$\.values`"
        ):
            await by_name.call("science.scale", values=np.array([1]))
        with pytest.raises(InvalidArgument, match=r"Expected `numpy.ndarray`, got `list`"):
            await by_name.call("science.scale", values=[1.5])
        with pytest.raises(InvalidArgument, match=f"arrays and tables travel as {BUFFERS}"):
            await client.call("science.scale", values=[1.5])
        found = await by_name.call("science.scale", values=np.array([1.5]))
        assert found.tolist() == [3.0]
        science.result = np.array([1])
        with pytest.raises(InvalidResult, match="of float64, got one of int64"):
            await remote.scale(np.array([1.5]))


async def test_bodies_that_lie_are_invalid_arguments(client: Rabbit, host: Rabbit) -> None:
    raw = client.with_options(content_type=BUFFERS)

    def array(*head: Any) -> msgspec.msgpack.Ext:
        return msgspec.msgpack.Ext(1, msgspec.msgpack.encode(head))

    async with host.serving(Science()):
        for lie, reason in (
            (array("<f8", [2**40], "C", 0), "has no buffer 0"),
            (array("<f8", [-1], "C", 0), "Expected `int` >= 0"),
            (msgspec.msgpack.Ext(2, b"\x00"), "has no buffer 0"),
            (msgspec.msgpack.Ext(9, b""), "unknown extension type 9"),
        ):
            with pytest.raises(InvalidArgument, match=reason):
                await raw.call("science.scale", values=lie)


async def test_a_handler_in_a_process_has_them(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Counting()):
        assert await client.remote(Counting).total(np.array([[1, 2], [3, 4]], "i4")) == 10


def test_what_cannot_travel_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(ContractError, match=r"Objects\.take: parameter 'a' has .*dtype obj"):

        class Objects(Service):
            @method
            async def take(self, a: npt.NDArray[np.object_]) -> None: ...

    with pytest.raises(ContractError, match=r"AsJson\.take: application/json cannot carry"):

        class AsJson(Service):
            @method(content_type="application/json")
            async def take(self, a: Floats) -> None: ...

    class Odd(DeclaredError):
        """It is odd."""

        values: Floats

    with pytest.raises(ContractError, match=r"field 'values' cannot travel: the body of an e"):

        class Raises(Service):
            @method(raises=[Odd])
            async def take(self) -> None: ...


def test_the_content_type_is_that_of_the_types() -> None:
    methods = leveret.service_schema(Science)["methods"]
    counting = leveret.service_schema(Counting)["methods"]
    assert {one["content_type"] for one in (*methods.values(), *counting.values())} == {BUFFERS}
    assert methods["scale"]["arguments"]["properties"]["values"]["x-leveret-buffer"] == {
        "kind": "ndarray",
        "dtype": ["float64"],
    }
    assert methods["describe"]["result"]["x-leveret-buffer"] == {"kind": "DataFrame"}


async def test_they_need_no_class_of_the_service(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Science()):
        science = await client.discover("science", timeout=PATIENCE)
        np.testing.assert_array_equal(await science.scale(np.arange(3.0)), [0, 2, 4])
        pd.testing.assert_frame_equal(await science.describe(FRAME), FRAME)
        (found,) = await science.mirror([{"name": "a", "values": SAMPLE.values}])
        np.testing.assert_array_equal(found.pop("values"), SAMPLE.values)
        assert found == {"name": "a", "masks": None}
        for values in ("x", np.arange(3)):
            said = []
            for remote in (science, client.remote(Science)):
                with pytest.raises(InvalidArgument) as caught:
                    await remote.scale(values)  # type: ignore[arg-type]
                said.append((str(caught.value), caught.value.attempts))
            assert said[0] == said[1]
            assert said[0][1] == 0
