"""The log as JSON: one object per line, for logs that machines read.

    {"time": "2026-03-01T12:00:00.123Z", "level": "ERROR", "logger": "leveret.server",
     "message": "...", "pid": 4711, "call_id": "...", "method": "shop.order", ...}

A record's own fields (`extra=`) are members beside the usual ones. A line that a handler logs has
those of the call that it runs for.
"""

from __future__ import annotations

import json
import logging
import math
import traceback
from datetime import UTC, datetime
from typing import Any, Final

from leveret.wire.context import find_current_call
from leveret.wire.error_texts import safe_repr, safe_str, shortened_inside
from leveret.wire.log_fields import fields_of

__all__ = ["JsonFormatter"]

_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; all else is the fields that whoever logs has given it."""


class JsonFormatter(logging.Formatter):
    """Makes one line of JSON of a record, whatever is in it.

    :param process: a name for this process; empty for none.
    """

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        fields: dict[str, Any] = {
            name: value for name, value in vars(record).items() if name not in _USUAL
        }
        call = find_current_call()
        if "call_id" not in fields and call is not None and not call.is_over:
            fields |= fields_of(call)
        when = datetime.fromtimestamp(record.created, UTC)
        usual: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "pid": record.process,
        }
        if self._process:
            usual["process"] = self._process
        if record.exc_info and record.exc_info[1] is not None:
            usual["exception"] = _as_object(record.exc_info[1])
        if record.stack_info:
            usual["stack"] = record.stack_info
        return _encode(usual | {name: it for name, it in fields.items() if name not in usual})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit; whose line it is must be seen
        return f"{record.msg} {safe_repr(record.args)}"


def _as_object(error: BaseException) -> dict[str, str]:
    return {
        "type": type(error).__name__,
        "message": safe_str(error),
        "traceback": shortened_inside("".join(traceback.format_exception(error))),
    }


def _encode(fields: dict[str, Any]) -> str:
    try:
        return json.dumps(fields, default=safe_str, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, no numbers, circles
        return json.dumps({name: _plain(value) for name, value in fields.items()})


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return safe_repr(value)
