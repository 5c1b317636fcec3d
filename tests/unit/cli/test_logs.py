"""The log of a process of the command line."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from leveret.cli.logs import LogLevel, configure_logging


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


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
