"""Tables of pyarrow and pandas, as streams of Arrow's IPC format.

pyarrow writes the buffers of a table as they are, and reads views of the message's body. A
DataFrame is made of such a table, and its columns of numbers are views as well. pyarrow and pandas
are imported only once there is a table or a type of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from leveret.codec.buffers import Buffer
from leveret.codec.ipc_stream import check_stream

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["OLDEST", "frame_of", "only_batch", "read_table", "series_of", "write_stream"]

OLDEST: Final = (17, 0)
"""The oldest pyarrow that will do, as the extra `arrow` says."""
_UNNAMED: Final = b"leveret.unnamed"
"""In the metadata of a schema: the one column is a Series without a name."""
_DICT: Final = 240
"""About the bytes of a dict, or of a small array."""
_NONE: Final = 8
"""The bytes of a reference to None."""
_OBJECT: Final = 40
"""About the bytes of a number or a short text."""
_GROWTH: Final = 64
"""So many times the bytes of a table its objects may have, and `_SPARE` besides."""
_SPARE: Final = 64 * 1024 * 1024
_VIEWS: Final = ("string_view", "binary_view", "list_view", "large_list_view")
"""Types whose values say themselves where their bytes are."""


class _Parts:
    """A file that keeps what is written to it, without copying it."""

    closed = False

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []

    def write(self, data: Any) -> int:
        part = memoryview(data)
        self.parts.append(part)
        return len(part)

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def tell(self) -> int:
        return sum(map(len, self.parts))


def write_stream(value: Any) -> Buffer:
    """Return a Table, a RecordBatch, a DataFrame or a Series as a stream, in parts.

    :raises Exception: what pyarrow raises for a column that has no type in Arrow.
    """
    import pyarrow as pa  # noqa: PLC0415 - installed wherever such a type is

    try:
        table = value if isinstance(value, pa.Table | pa.RecordBatch) else _table_of(value)
    except pa.ArrowException as error:
        raise ValueError(f"Arrow cannot carry it: {'; '.join(map(str, error.args))}") from error
    if not table.num_rows:  # else its categories would not be written either
        table = _one_batch(table)
    out = _Parts()
    with pa.ipc.new_stream(pa.PythonFile(out, mode="w"), table.schema) as writer:
        writer.write(table)
    if any(map(_is_weightless, table.schema.types)):
        check_stream(memoryview(b"".join(out.parts)))
    return out.parts


def read_table(stream: memoryview) -> pa.Table:
    """Read a stream; the columns of the table are views of it.

    :raises ValueError: if it cannot be read, or what it says does not hold together.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above

    try:
        check_stream(stream)
        with pa.ipc.open_stream(pa.py_buffer(stream)) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except Exception as error:
        raise ValueError(f"the Arrow stream cannot be read: {_first(error)}") from error
    return table


def only_batch(table: pa.Table) -> pa.RecordBatch:
    """Return a table as the record batch that it is made of.

    :raises ValueError: if it is made of several.
    """
    batches = table.to_batches()
    if len(batches) > 1:
        raise ValueError(f"Expected one record batch, got {len(batches)}")
    return batches[0] if batches else _one_batch(table)


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return a table as a DataFrame, with the index that it had where pandas wrote it.

    :raises ValueError: if a few of its bytes mean many objects.
    """
    _refuse_growing(table.schema)
    size = sum(_objects(chunk) for column in table.columns for chunk in column.chunks)
    if size > _GROWTH * table.nbytes + _SPARE:
        raise ValueError(
            f"a DataFrame of this Arrow table would have some {size:,} bytes of Python's objects in"
            f" place of {table.nbytes:,}; send a pyarrow.Table"
        )
    try:
        return table.to_pandas(split_blocks=True)
    except Exception as error:
        raise ValueError(f"no DataFrame can be made of the Arrow table: {_first(error)}") from error


def series_of(table: pa.Table) -> pd.Series:
    """Return a table of one column as a Series.

    :raises ValueError: if it has another number of columns.
    """
    frame = frame_of(table)
    if len(frame.columns) != 1:
        raise ValueError(f"Expected a Series, got {len(frame.columns)} columns")
    series = frame.iloc[:, 0]
    return series.rename(None) if _UNNAMED in (table.schema.metadata or {}) else series


def _one_batch(table: pa.Table | pa.RecordBatch) -> pa.RecordBatch:
    """Return a table as one record batch, also if it has no rows."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    if isinstance(table, pa.RecordBatch):
        return table
    columns = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _first(error: Exception) -> str:
    """The first line of what an error says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _table_of(value: pd.DataFrame | pd.Series) -> pa.Table:
    import pandas as pd  # noqa: PLC0415 - there is something of it
    import pyarrow as pa  # noqa: PLC0415 - as above

    if isinstance(value, pd.DataFrame):
        table = pa.Table.from_pandas(value)
    else:
        table = pa.Table.from_pandas(value.to_frame())
        if value.name is None:
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), _UNNAMED: b""})
    _refuse_growing(table.schema)
    return table


def _refuse_growing(schema: pa.Schema) -> None:
    """Refuse types of which many values may refer to the same bytes: as objects each has its own.

    :raises ValueError: for such a type.
    """
    from pyarrow import types  # noqa: PLC0415 - as above

    for field in schema:
        for depth, kind in _types(field.type):
            if (
                types.is_run_end_encoded(kind)
                or str(kind).startswith(_VIEWS)
                or (depth and types.is_dictionary(kind))
            ):
                raise ValueError(
                    f"the column {field.name!r} is of type {field.type}, of which no DataFrame is "
                    "made; send a pyarrow.Table"
                )


def _objects(array: pa.Array, each: int = 0) -> int:
    """About how many bytes of Python's objects pandas has for what is inside of other values.

    :param each: for each value of the array, if it is of a type without others inside.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above
    from pyarrow import types  # noqa: PLC0415 - as above

    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _objects(array.storage, each)
    if types.is_struct(kind):
        fields = (array.field(number) for number in range(kind.num_fields))
        return _DICT * len(array) + sum(_objects(field, _OBJECT) for field in fields)
    if types.is_map(kind):
        pairs = _objects(array.keys, _OBJECT) + _objects(array.items, _OBJECT)
        return _DICT * len(array) + pairs
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _DICT * len(array) + _objects(array.values)
    return (each or (_NONE if types.is_null(kind) else 0)) * len(array)


def _is_weightless(kind: pa.DataType) -> bool:
    """Whether a column of this type may have values that take no bytes."""
    from pyarrow import types  # noqa: PLC0415 - as above

    return any(
        types.is_null(inner)
        or types.is_run_end_encoded(inner)
        or (types.is_struct(inner) and not inner.num_fields)
        or (types.is_fixed_size_binary(inner) and not inner.byte_width)
        or (types.is_fixed_size_list(inner) and not inner.list_size)
        for _, inner in _types(kind)
    )


def _types(kind: pa.DataType) -> Iterator[tuple[int, pa.DataType]]:
    """Yield a type and all types inside it, each with its depth."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    left = [(0, kind)]
    while left:
        depth, kind = left.pop()
        yield depth, kind
        left += [(depth + 1, kind.field(number).type) for number in range(kind.num_fields)]
        if isinstance(kind, pa.DictionaryType):
            left.append((depth + 1, kind.value_type))
        elif isinstance(kind, pa.BaseExtensionType):
            left.append((depth, kind.storage_type))
