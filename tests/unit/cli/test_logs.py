"""The log of a process of the command line."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from leveret.cli.logs import LogFormat, LogLevel, configure_logging, tell_end


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root, access = logging.getLogger(), logging.getLogger("leveret.access")
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    access.setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def test_a_record_is_one_line_with_its_process(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.INFO, "worker 2 at 100%")
    logging.getLogger("shop").info("two\nlines")
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d [\d:,]+ INFO    \[worker 2 at 100%\] shop: two\\nlines\n", line
    )


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.WARNING)
    logging.getLogger("shop").info("nothing")
    logging.getLogger("shop").warning("something")
    assert capsys.readouterr().err.endswith(" WARNING shop: something\n")


def test_a_traceback_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.INFO)
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("shop").exception("it failed")
    assert capsys.readouterr().err.splitlines()[-1] == "ValueError: boom"


def test_the_access_log_has_its_own_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.WARNING, access_log=True)
    logging.getLogger("leveret.access").info("a call")
    logging.getLogger("leveret.server").info("nothing")
    assert capsys.readouterr().err.endswith(" INFO    leveret.access: a call\n")
    configure_logging(LogLevel.WARNING)
    logging.getLogger("leveret.access").info("a call")
    assert capsys.readouterr().err == ""


def test_in_json_all_that_is_said_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.INFO, "worker 2", log_format=LogFormat.JSON)
    logging.getLogger("shop").info("two\nlines", extra={"sku": "carrot"})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # pytest has put its own in the place
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
    tell_end("no broker", LogFormat.JSON)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"].partition("\n")[0][-9:] for line in lines][1:] == [
        "soon gone",
        "no broker",
    ]
    assert (lines[0]["message"], lines[0]["sku"]) == ("two\nlines", "carrot")
    assert {line["process"] for line in lines} == {"worker 2"}


def test_only_in_json_the_log_has_what_python_warns_of(monkeypatch: pytest.MonkeyPatch) -> None:
    captured: list[bool] = []

    def note(*, capture: bool) -> None:
        captured.append(capture)

    monkeypatch.setattr(logging, "captureWarnings", note)
    configure_logging(LogLevel.INFO)
    assert captured == []
    configure_logging(LogLevel.INFO, log_format=LogFormat.JSON)
    assert captured == [True]


def test_in_text_the_end_is_told_after_the_name_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell_end("no broker", LogFormat.TEXT)
    assert capsys.readouterr().err == "leveret: no broker\n"


def test_in_json_what_nobody_catches_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.INFO, log_format=LogFormat.JSON)
    for raised in (KeyError("sku"), SystemExit(3)):
        error: BaseException = raised

        def fail() -> None:
            raise error  # noqa: B023 - it is joined before the next one

        thread = threading.Thread(target=fail, name="stock")
        thread.start()
        thread.join()
    sys.excepthook(ValueError, ValueError("x"), None)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["message"], line["exception"]["type"]) for line in lines] == [
        ("nobody caught what thread stock raised", "KeyError"),
        ("nobody caught what the main thread raised", "ValueError"),
    ]
