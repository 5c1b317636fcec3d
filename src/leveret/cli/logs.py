"""The log of a process of the command line: one line per record on standard error."""

from __future__ import annotations

import logging
import sys
import threading
from enum import StrEnum

from leveret.cli.json_logs import JsonFormatter
from leveret.cli.printing import print_error_text

__all__ = ["LogFormat", "LogLevel", "configure_logging", "tell_end"]

log = logging.getLogger("leveret.cli")


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class _OneLine(logging.Formatter):
    """Keeps each message in one line. A traceback follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return super().formatMessage(record).replace("\n", "\\n").replace("\r", "\\r")


def configure_logging(
    level: LogLevel,
    process: str = "",
    *,
    log_format: LogFormat = LogFormat.TEXT,
    access_log: bool = False,
) -> None:
    """Log to standard error.

    :param process: a name for this process on each line; empty for none.
    :param access_log: whether the access log is written, whatever the level of the others is.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if log_format is LogFormat.JSON else _text(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("leveret.access").setLevel(logging.INFO if access_log else logging.NOTSET)
    if log_format is LogFormat.JSON:
        _log_what_python_prints()


def _log_what_python_prints() -> None:
    """Have warnings and exceptions that nobody catches logged: printed, they would be no JSON."""
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda kind, error, _trace: _log_uncaught(kind, error, "the main thread")
    threading.excepthook = lambda it: _log_uncaught(
        it.exc_type, it.exc_value, "a thread" if it.thread is None else f"thread {it.thread.name}"
    )


def _log_uncaught(kind: type[BaseException], error: BaseException | None, where: str) -> None:
    if error is not None and not issubclass(kind, SystemExit):
        log.critical("nobody caught what %s raised", where, exc_info=error)


def _text(process: str) -> logging.Formatter:
    shown = f"[{process}] " if process else ""
    return _OneLine(f"%(asctime)s %(levelname)-7s {shown.replace('%', '%%')}%(name)s: %(message)s")


def tell_end(error: str, log_format: LogFormat) -> None:
    """Say why the command ends, in the form of its log."""
    if log_format is LogFormat.JSON:
        log.critical("%s", error)
    else:
        print_error_text(error)
