"""Results on standard output, errors in one line on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from leveret.cli.printing import (
    describe,
    print_error,
    print_error_text,
    print_item,
    print_result,
)
from leveret.errors import ConnectionClosed, DeadlineExceeded, InvalidURL, NoServer, RemoteError


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("naïve\n", "naïve\n\n".encode()),
        (b"\x00\xff", b"\x00\xff"),
        (832040, b"832040\n"),
        (1.5, b"1.5\n"),
        (None, b"null\n"),
        (False, b"false\n"),
        ([], b"[]\n"),
        ({"a": [1]}, b'{\n  "a": [\n    1\n  ]\n}\n'),
        (datetime(2026, 1, 2, tzinfo=UTC), b'"2026-01-02T00:00:00Z"\n'),
    ],
)
def test_a_result_for_people(
    value: Any, printed: bytes, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    print_result(value, as_json=False)
    assert capsysbinary.readouterr().out == printed


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("two\nlines", b'"two\\nlines"\n'),
        (b"\x00\xff", b'"AP8="\n'),
        ({"a": [1, None]}, b'{"a":[1,null]}\n'),
        (1j, b'"1j"\n'),
    ],
)
def test_a_result_for_programs_is_one_line_of_json(
    value: Any, printed: bytes, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    print_result(value, as_json=True)
    assert capsysbinary.readouterr().out == printed


def test_an_error_is_described_in_one_printable_line() -> None:
    error = RemoteError("a\r\nb\x1b[2J\u2028c", type_name="Odd", method="desk.fail")
    assert describe(error) == (r"RemoteError: desk.fail: Odd: a\r\nb\x1b[2J\u2028c (executed: yes)")


def test_an_error_that_is_no_calls_says_nothing_of_a_handler() -> None:
    assert describe(ConnectionClosed(320, "bye")) == "ConnectionClosed: bye (AMQP 320)"


def test_an_error_of_what_only_looks_says_nothing_of_a_handler_either() -> None:
    assert describe(NoServer("nobody"), of_call=False) == "NoServer: nobody"
    assert describe(NoServer("nobody")) == "NoServer: nobody (executed: no)"


@contextmanager
def unread() -> Iterator[IO[str]]:
    """A file for writing that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as file:
        yield file


def test_what_nobody_reads_any_more_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with unread() as out, unread() as errors:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", errors)
        print_result("one", as_json=False)
        print_result({"two": 2}, as_json=True)
        print_error_text("three")
        print_error(NoServer("four"), as_json=True)
        monkeypatch.undo()


def test_a_stream_that_nobody_reads_any_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with unread() as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(BrokenPipeError):
            print_item(1)
        monkeypatch.undo()


@pytest.mark.parametrize("shown", [print_item, partial(print_result, as_json=True)])
def test_output_that_a_full_disk_does_not_take_ends_the_command(
    shown: Callable[[object], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Path("/dev/full").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as ended:
            shown([1])
        monkeypatch.undo()
    assert ended.value.code == 70
    message = "leveret: the output cannot be written, and is lost: [Errno 28] No space left on"
    assert capsys.readouterr().err.startswith(message)


def error_as_json(error: Exception, capsys: pytest.CaptureFixture[str]) -> Any:
    print_error(error, as_json=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return json.loads(captured.err)["error"]


def test_a_deadline_as_json_says_where_the_call_was(capsys: pytest.CaptureFixture[str]) -> None:
    error = DeadlineExceeded("too late", where="queue", method="desk.fib")
    assert error_as_json(error, capsys) == {
        "type": "DeadlineExceeded",
        "code": "DEADLINE_EXCEEDED",
        "message": "too late",
        "executed": "no",
        "method": "desk.fib",
        "where": "queue",
    }


def test_a_remote_error_as_json_has_what_the_server_sent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = RemoteError("boom", type_name="ValueError", remote_traceback="Traceback ...\n")
    shown = error_as_json(error, capsys)
    assert shown["remote_type"] == "ValueError"
    assert shown["traceback"] == "Traceback ...\n"
    assert "data" not in shown


def test_an_error_that_is_no_calls_has_a_code_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    shown = error_as_json(InvalidURL("no host"), capsys)
    assert shown == {
        "type": "InvalidURL",
        "code": "INVALID_URL",
        "message": "no host",
        "executed": "no",
    }
