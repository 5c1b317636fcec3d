"""`leveret call`: what it prints, and the exit code of each kind of failure."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import leveret
from leveret import Service, method
from leveret.client.totals import totals
from tests.behaviour.cli_commands import Command, Commands
from tests.behaviour.cli_service import Desk

SERVED = "cli_service:Desk"


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


@pytest.fixture
async def served(commands: Commands) -> AsyncIterator[Commands]:
    """The commands, with `Desk` served by this process."""
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Desk()):
        yield commands


# -- results ---------------------------------------------------------------------------------------


async def test_a_call_prints_its_result(served: Commands) -> None:
    call = await served.run("call", "desk.fib", "n=30")
    assert (call.text, call.lines, call.process.returncode) == ("832040\n", [], 0)


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("value=Ann", "Ann\n"),
        ('value="01"', "01\n"),
        ("value=a=b", "a=b\n"),
        ("value=true", "true\n"),
        ("value=null", "null\n"),
        ('value={"a": [1, 2]}', '{\n  "a": [\n    1,\n    2\n  ]\n}\n'),
    ],
)
async def test_text_is_printed_as_it_is_and_anything_else_as_json(
    served: Commands, written: str, printed: str
) -> None:
    assert (await served.run("call", "desk.echo", written)).text == printed


@pytest.mark.embedded_only
@pytest.mark.parametrize("value", ["text", 'with "quotes"\n', 1.5, None, {"a": [1, {"b": "ü"}]}])
async def test_with_json_a_result_is_one_line_of_json(served: Commands, value: object) -> None:
    call = await served.run("call", "desk.echo", f"value={json.dumps(value)}", "--json")
    assert call.json == value


async def test_arguments_come_as_one_json_object_or_from_standard_input(served: Commands) -> None:
    given = await served.run("call", "desk.fib", "--arguments", '{"n": 10}')
    piped = await served.run("call", "desk.fib", "--arguments", "-", stdin=b'{"n": 10}')
    assert given.text == piped.text == "55\n"


class Audit(Service, name="audit"):
    @method(one_way=True)
    async def note(self, text: str) -> None:
        raise ZeroDivisionError(text)


async def test_a_one_way_method_is_sent(commands: Commands) -> None:
    """Nobody hears of its failure. In place of a result there is none."""
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Audit()):
        note = ("call", "audit.note", "text=of interest to nobody")
        sent = await commands.run(*note)
        many = await commands.run(*note, "--repeat", "3", "--json")
    assert (sent.text, sent.lines, sent.process.returncode) == ("null\n", [], 0)
    assert (many.json["succeeded"], many.process.returncode) == (3, 0)


async def test_metadata_travels_with_the_call(served: Commands) -> None:
    call = await served.run("call", "desk.metadata", "--metadata", "user=ann", "--json")
    assert call.json == {"user": "ann"}


async def test_bodies_can_be_message_pack(served: Commands) -> None:
    call = await served.run("call", "desk.fib", "n=30", "--content-type", "application/msgpack")
    assert call.text == "832040\n"


async def test_a_call_can_wait_for_a_server_that_is_not_there_yet(commands: Commands) -> None:
    call = await commands.start(
        *("call", "desk.fib", "n=30", "--wait-for-server", "--timeout", "30", "--log-level"),
        "debug",
    )
    await call.says("asyncio")  # its event loop runs
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Desk()):
        assert await call.ends() == 0
    assert call.text == "832040\n"


async def test_a_call_is_made_many_times_or_at_every_server_or_at_one(commands: Commands) -> None:
    async with (
        leveret.connect(commands.url) as one,
        leveret.connect(commands.url) as two,
        one.serving(Desk()) as first,
        two.serving(Desk()) as second,
    ):
        many = await commands.run("call", "desk.fib", "n=3", "--repeat", "50", "-c", "7", "--json")
        assert (many.json["calls"], many.json["succeeded"], many.json["failed"]) == (50, 50, {})
        failing = await commands.run("call", "desk.fib", "n=-1", "--repeat", "3")
        assert "0 succeeded, 3 failed" in failing.text
        assert failing.process.returncode == 3
        every = await commands.run("call", "desk.fib", "n=30", "--all", "--json", "--timeout", "30")
        assert every.json == {
            "results": {first.instance: 832040, second.instance: 832040},
            "errors": {},
            "missing": 0,
            "complete": True,
        }
        one_server = ("call", "desk.echo", "value=7", "--instance", second.instance)
        at_one = await commands.run(*one_server)
        assert (at_one.text, at_one.lines) == ("7\n", [])
        again = await commands.run(*one_server, "--repeat", "3", "--json")
        assert (again.json["succeeded"], again.json["failed"]) == (3, {})
        said = (await one.stats(Desk)).servers
        echoed = {server.instance: totals([server])["desk.echo"].ended for server in said}
        assert echoed == {first.instance: 0, second.instance: 4}
        gone = await commands.run("call", "desk.fib", "n=30", "--instance", "01234567")
        assert "no server of desk is named 01234567" in gone.error
        assert (gone.process.returncode, "executed: no" in gone.error) == (5, True)
        unnamed = await commands.run("call", "desk.fob", "--instance", first.instance)
        assert unnamed.error.count("Did you mean 'desk.fib'?") == 1
        effects = await commands.run("call", "desk.echo", "value=1", "--all")
        assert "not idempotent" in effects.error
        assert effects.process.returncode == 3


@pytest.mark.embedded_only
async def test_an_unknown_name_is_answered_by_the_nearest(served: Commands) -> None:
    for unknown in ("desk.fob", "dask.fib"):
        call = await served.run("call", unknown, "n=1")
        assert "Did you mean 'desk.fib'?" in call.error
        assert "?." not in call.error


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("desk.fail", "how=raise"), 1, "ZeroDivisionError: by zero"),
        (("desk.fail", "how=declared"), 1, "OutOfStock: There are not enough of them"),
        (("desk.fail", "how=result"), 1, "InvalidResult"),
        (("desk.fib", "n=-1"), 3, "InvalidArgument"),
        (("desk.fib", "m=1"), 3, "InvalidArgument"),
        (("desk.fib", "n=1", "--content-type", "text/html"), 3, "text/html"),
        (("desk.nothing",), 4, "Unimplemented"),
        (("desk.fail", "how=denied"), 10, "PermissionDenied: desk.fail: not you"),
    ],
)
async def test_a_failure_is_one_line_and_the_exit_code_of_its_kind(
    served: Commands, args: tuple[str, ...], code: int, said: str
) -> None:
    call = await served.run("call", *args)
    assert (call.process.returncode, call.text) == (code, "")
    assert call.error.startswith("leveret: ")
    assert said in call.error
    assert "(executed: " in call.error


@pytest.mark.embedded_only
async def test_what_a_handler_says_cannot_steer_the_terminal(served: Commands) -> None:
    call = await served.run("call", "desk.fail", "how=raise")
    assert r"by zero\nin two lines \x1b[31m" in call.error


@pytest.mark.embedded_only
async def test_with_json_a_failure_is_one_line_of_json_on_standard_error(served: Commands) -> None:
    call = await served.run("call", "desk.fail", "how=declared", "--json")
    assert call.process.returncode == 1
    assert call.text == ""
    error = json.loads(call.error)["error"]
    assert error["type"] == "RemoteError"
    assert error["remote_type"] == "OutOfStock"
    assert error["data"] == {"sku": "A-1"}
    assert error["executed"] == "yes"
    assert error["method"] == "desk.fail"


@pytest.mark.embedded_only
async def test_at_log_level_debug_a_failure_shows_its_traceback(served: Commands) -> None:
    call = await served.run("call", "desk.fib", "n=-1", "--log-level", "debug")
    assert call.process.returncode == 3
    assert "Traceback (most recent call last):" in call.lines


async def test_exit_code_5_no_server_listens(commands: Commands) -> None:
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Desk()):
        pass  # the queues stay
    call = await commands.run("call", "desk.fib", "n=1")
    assert call.process.returncode == 5
    assert "NoServer" in call.error
    assert "(executed: no)" in call.error


async def test_exit_code_6_all_servers_are_busy(served: Commands) -> None:
    meeting = await served.meeting()
    call = await served.run("call", "desk.meet", "folder=.", "--if-busy", "fail")
    assert call.process.returncode == 6
    assert "Busy" in call.error
    meeting.may_end()
    assert await meeting.call.ends() == 0


async def test_exit_code_7_the_deadline_passed(served: Commands) -> None:
    call = await served.run("call", "desk.meet", f"folder={served.folder}", "--timeout", "0.5")
    assert call.process.returncode == 7
    assert "DeadlineExceeded" in call.error
    assert "(executed: yes)" in call.error


async def test_exit_code_8_the_server_was_killed_and_the_call_may_have_run(
    commands: Commands,
) -> None:
    server, pids = await commands.serve_with_workers(SERVED, workers=2)
    meeting = await commands.meeting()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    # Whichever is first: the new workers, who refuse to run it again, or the client's look at the
    # queue while there are none.
    code = await meeting.call.ends()
    assert (code, meeting.call.error.split()[1]) in ((8, "MaybeExecuted:"), (5, "NoServer:"))
    assert "(executed: maybe)" in meeting.call.error
    server.terminate()
    assert await server.ends() == 0


async def test_exit_code_9_there_is_no_broker(commands: Commands) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"amqp://guest:secret@127.0.0.1:{unused.getsockname()[1]}/"
        call = await commands.run("call", "desk.fib", "n=1", "--url", url)
    assert call.process.returncode == 9
    assert "ConnectionLost" in call.error
    assert "secret" not in call.error


async def test_exit_code_10_the_login_is_wrong(commands: Commands) -> None:
    url = commands.url.replace("guest:guest@", "guest:wrong@")
    call = await commands.run("call", "desk.fib", "n=1", url=url)
    assert call.process.returncode == 10
    assert "Unauthenticated" in call.error
    assert "wrong" not in call.error


@pytest.mark.parametrize(("stop", "code"), [(Command.interrupt, 130), (Command.terminate, 143)])
async def test_a_signal_cancels_the_call_and_its_handler(
    served: Commands, stop: Callable[[Command], None], code: int
) -> None:
    meeting = await served.meeting()
    stop(meeting.call)
    assert await meeting.call.ends() == code
    assert "interrupted" in meeting.call.error
    (served.folder / "runs").unlink()
    # Its place is free again: desk.meet runs one call at a time.
    (await served.meeting()).may_end()


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("call", "fib", "n=30"), 'a method is named "service.method"'),
        (("call", "desk.fib", "30"), "'30' is not in the form name=value"),
        (("call", "desk.fib", "n=1", "n=2"), "'n' is given twice"),
        (("call", "desk.fib", "--arguments", "[1]"), "one JSON object"),
        (("call", "desk.fib", "--metadata", "user"), "'user' is not in the form name=value"),
        (("call", "desk.fib", "--timeout", "0"), "--timeout"),
        (("call", "desk.fib", "--url", "http://localhost/"), "amqp"),
        (("call", "desk.fib", "n=1", "--url", "embedded://"), "with `leveret broker`"),
        (("call", "desk.fib", "n=1", "--json", "--url", "Embedded://x"), '{"error":{"type":"Inv'),
        (("call",), "SERVICE.METHOD"),
        (("serve",), "MODULE:SERVICE"),
        (("dance",), "dance"),
    ],
)
async def test_exit_code_2_the_command_line_is_wrong(
    commands: Commands, args: tuple[str, ...], said: str
) -> None:
    command = await commands.run(*args)
    assert command.process.returncode == 2
    assert command.text == ""
    assert said in "\n".join(command.lines)
