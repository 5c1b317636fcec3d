"""The log of a process of the command line: one plain line per record on standard error."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum

__all__ = ["LogLevel", "configure_logging"]


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class _OneLine(logging.Formatter):
    """Keeps each message in one line. A traceback follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return super().formatMessage(record).replace("\n", "\\n").replace("\r", "\\r")


def configure_logging(level: LogLevel, process: str = "") -> None:
    """Log to standard error.

    :param process: a name for this process on each line; empty for none.
    """
    shown = f"[{process}] " if process else ""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _OneLine(f"%(asctime)s %(levelname)-7s {shown.replace('%', '%%')}%(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
