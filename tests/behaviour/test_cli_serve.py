"""`leveret serve` in one process: what it takes, how it stops, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import leveret
from leveret import Busy, PermissionDenied, RemoteError
from leveret.testing import FaultProxy, RabbitMQ
from tests.behaviour.cli_commands import Command, Commands, is_alive
from tests.behaviour.cli_service import Desk
from tests.behaviour.patience import until
from tests.behaviour.raw import RawPeer

SERVED = "cli_service:Desk"


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


# -- what it serves --------------------------------------------------------------------------------


@pytest.mark.embedded_only
@pytest.mark.parametrize("target", ["Desk", "desk", "make_desk"])
async def test_a_class_an_instance_or_a_factory_is_served_from_the_current_directory(
    commands: Commands, target: str
) -> None:
    server = await commands.start_anew("serve", f"cli_service:{target}")
    await server.says("serving .* as instance")
    call = await commands.run("call", "desk.fib", "n=30")
    assert (call.text, call.process.returncode) == ("832040\n", 0)
    server.terminate()
    assert await server.ends() == 0


async def test_several_services_are_served_together(commands: Commands) -> None:
    (commands.folder / "other.py").write_text(
        "import leveret\n"
        "class Clock(leveret.Service):\n"
        "    @leveret.method\n"
        "    async def hour(self) -> int:\n"
        "        return 12\n"
    )
    await commands.serve(SERVED, "other:Clock")
    async with leveret.connect(commands.url) as rabbit:
        assert await rabbit.call("desk.fib", n=10) == 55
        assert await rabbit.call("clock.hour") == 12


@pytest.mark.embedded_only
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("method", ["on_the_loop", "in_a_process"])
async def test_a_connection_of_the_services_own_goes_to_the_broker_of_the_command_line(
    commands: Commands, workers: str, method: str
) -> None:
    (commands.folder / "relay.py").write_text(
        "import leveret\n"
        "class Relay(leveret.Service):\n"
        "    @leveret.method(timeout=30)\n"
        "    async def on_the_loop(self) -> int:\n"
        "        return await ask()\n"
        "    @leveret.method(timeout=30, executor='process')\n"
        "    def in_a_process(self) -> int:\n"
        "        return leveret.run(ask())\n"
        "async def ask() -> int:\n"
        "    async with leveret.connect() as rabbit:\n"
        "        return await rabbit.call('desk.fib', n=10)\n"
    )
    served = ("serve", SERVED, "relay:Relay", "--url", commands.url, "--workers", workers)
    await commands.start(*served, url="amqp://guest:guest@localhost:1/")
    async with leveret.connect(commands.url) as rabbit:
        patient = rabbit.with_options(wait_for_server=True, timeout=30)
        assert await patient.call(f"relay.{method}") == 55


async def test_only_the_users_that_are_allowed_may_call(commands: Commands) -> None:
    await commands.serve(SERVED, "--allow", "desk.fib=guest", "--allow", "*=nobody,someone-*")
    async with leveret.connect(commands.url) as rabbit:
        assert await rabbit.call("desk.fib", n=10) == 55
        with pytest.raises(PermissionDenied):
            await rabbit.call("desk.process")


async def test_a_server_can_wait_for_its_broker(commands: Commands) -> None:
    async with FaultProxy(commands.url) as proxy:
        proxy.refuse()
        server = await commands.start(
            "serve", SERVED, "--url", proxy.url, "--wait-for-broker", "60"
        )
        await server.says("attempt 1")
        proxy.accept()
        await server.says("serving desk")


@pytest.mark.embedded_only
async def test_a_store_of_keys_that_does_not_exist_is_refused(commands: Commands) -> None:
    ran = await commands.run(
        *("serve", SERVED, "--once", "mongodb://secret@host", "--log-level", "critical")
    )
    assert ran.process.returncode not in {0, None}
    assert "a store of idempotency keys is sqlite:///path" in ran.error
    assert "secret" not in ran.error


async def test_a_method_is_served_from_a_plain_queue_as_well(commands: Commands) -> None:
    await commands.serve(SERVED, "--plain", "rpc_queue=desk.fib")
    async with leveret.connect(commands.url) as rabbit:
        assert await rabbit.plain("rpc_queue").call("30") == "832040"


@pytest.mark.embedded_only
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_options_come_from_a_file_and_from_the_environment(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    (commands.folder / "layers.py").write_text(
        "async def twice(call, call_next):\n    return 2 * await call_next(call)\n"
    )
    (commands.folder / "serve.toml").write_text(
        f'targets = ["no:Such"]\nmiddleware = ["layers:twice"]\nworkers = {workers}\n'
    )
    monkeypatch.setenv("LEVERET_SERVE_TARGETS", SERVED)
    monkeypatch.setenv("LEVERET_SERVE_MAX_MESSAGE_SIZE", "2000")
    server = await commands.start("serve", "--config", "serve.toml")
    await server.says("serving .* as instance", int(workers))
    async with leveret.connect(commands.url) as rabbit:
        assert await rabbit.call("desk.fib", n=10) == 2 * 55
        with pytest.raises(Busy, match="more than the server's max_message_size"):
            await rabbit.call("desk.fib", n=10, pad="x" * 3_000)


async def test_tracebacks_are_sent_only_where_asked_for(commands: Commands) -> None:
    server = await commands.serve(SERVED)
    async with leveret.connect(commands.url) as rabbit:
        with pytest.raises(RemoteError) as kept:
            await rabbit.call("desk.fail", how="raise")
        server.terminate()
        await server.ends()
        await commands.serve(SERVED, "--send-tracebacks")
        with pytest.raises(RemoteError) as sent:
            await rabbit.call("desk.fail", how="raise")
    assert not kept.value.remote_traceback
    assert "in fail" in sent.value.remote_traceback


async def test_concurrency_bounds_the_calls_of_each_method(commands: Commands) -> None:
    await commands.serve(SERVED, "--concurrency", "1")
    meeting = await commands.meeting("desk.meet_in_a_thread")
    busy = await commands.run(
        "call", "desk.meet_in_a_thread", f"folder={commands.folder}", "--if-busy", "fail"
    )
    assert busy.process.returncode == 6
    meeting.may_end()
    assert await meeting.call.ends() == 0


async def test_the_name_is_the_servers(commands: Commands, raw: RawPeer) -> None:
    await commands.serve(SERVED, "--name", "front desk")
    await raw.listen()
    raw.control("desk", "ping")
    body = (await raw.reply()).body
    assert body is not None
    assert json.loads(body)["name"] == "front desk"


# -- how it logs -----------------------------------------------------------------------------------


@pytest.mark.embedded_only
async def test_the_log_is_one_line_per_record_with_time_and_level(commands: Commands) -> None:
    server = await commands.serve(SERVED)
    assert await server.says(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO +leveret\.server: serving"
    )


@pytest.mark.embedded_only
async def test_a_log_level_above_info_says_nothing_of_a_clean_run(commands: Commands) -> None:
    server = await commands.start("serve", SERVED, "--log-level", "WARNING")
    async with leveret.connect(commands.url) as rabbit:
        await rabbit.with_options(wait_for_server=True, timeout=30).call("desk.fib", n=1)
    server.terminate()
    assert await server.ends() == 0
    assert server.lines == []


# -- how it stops ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [Command.terminate, Command.interrupt, Command.hang_up])
async def test_a_signal_lets_the_running_call_end_and_then_the_server(
    commands: Commands, stop: Callable[[Command], None]
) -> None:
    server = await commands.serve(SERVED)
    meeting = await commands.meeting()
    stop(server)
    await server.says("draining: 1 calls?")
    meeting.may_end()
    assert await meeting.call.ends() == 0
    assert meeting.call.text == "met\n"
    assert await server.ends() == 0


async def test_an_echo_of_the_signal_cuts_no_drain_short(commands: Commands) -> None:
    """When a session ends, both may come at once."""
    server = await commands.serve(SERVED)
    meeting = await commands.meeting()
    server.process.send_signal(signal.SIGSTOP)  # so that it gets both at the same time
    server.terminate()
    server.hang_up()
    server.process.send_signal(signal.SIGCONT)
    await server.says("draining: 1 calls?")
    meeting.may_end()
    assert await meeting.call.ends() == 0
    assert await server.ends() == 0
    assert not any("second signal" in line for line in server.lines)


@pytest.mark.embedded_only
async def test_what_outlives_its_terminal_does_not_hear_it_close(commands: Commands) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        server = await commands.start_anew("serve", SERVED)
    finally:
        signal.signal(signal.SIGHUP, before)
    await server.says("serving .* as instance")
    server.hang_up()
    meeting = await commands.meeting()
    server.hang_up()
    server.terminate()
    await server.says("draining: 1 calls?")
    server.hang_up()
    meeting.may_end()
    assert await meeting.call.ends() == 0
    assert await server.ends() == 0


@pytest.mark.parametrize("second", [Command.terminate, Command.interrupt, Command.hang_up])
@pytest.mark.parametrize("first", [Command.terminate, Command.interrupt])
async def test_a_second_signal_cancels_the_running_call(
    commands: Commands, first: Callable[[Command], None], second: Callable[[Command], None]
) -> None:
    server = await commands.serve(SERVED)
    meeting = await commands.meeting()
    first(server)
    await server.says("draining")
    second(server)
    await server.says(r"a second signal: cancelling desk\.meet \(call ")
    assert await meeting.call.ends() == 8
    assert "Cancelled" in meeting.call.error
    assert await server.ends() == 8


async def test_a_call_that_outlasts_the_grace_is_cancelled(commands: Commands) -> None:
    server = await commands.serve(SERVED, "--grace", "0.1")
    meeting = await commands.meeting()
    server.terminate()
    assert await meeting.call.ends() == 8
    assert await server.ends() == 8
    assert "calls had to be cancelled to stop" in server.lines[-1]


@pytest.mark.slow
async def test_a_thread_that_never_ends_does_not_keep_the_process_up(commands: Commands) -> None:
    server = await commands.serve(SERVED, "--grace", "0.1")
    await commands.meeting("desk.meet_in_a_thread")
    server.terminate()
    assert await server.ends() == 8


@pytest.mark.slow
async def test_a_blocked_loop_does_not_keep_the_process_up(commands: Commands) -> None:
    (commands.folder / "blocked.py").write_text(
        "import pathlib, time, leveret\n"
        "class Blocked(leveret.Service):\n"
        "    @leveret.method\n"
        "    async def block(self) -> int:\n"
        "        pathlib.Path('runs').touch()\n"
        "        while True:\n"
        "            time.sleep(1)\n"
    )
    server = await commands.serve("blocked:Blocked", "--grace", "0")
    call = await commands.start("call", "blocked.block", "--timeout", "60")
    await until((commands.folder / "runs").exists, "the handler blocks the loop")
    server.terminate()
    assert await server.ends() == 8
    assert await call.ends() == 5


async def test_a_signal_before_it_serves_stops_it(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_broker:
        silent_broker.setblocking(False)
        url = f"amqp://127.0.0.1:{silent_broker.getsockname()[1]}/"
        server = await commands.start("serve", SERVED, "--url", url)
        connection, _ = await asyncio.get_running_loop().sock_accept(silent_broker)
        with connection:
            server.terminate()
            assert await server.ends() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_signal_ends_a_start_that_hangs(commands: Commands, workers: str) -> None:
    (commands.folder / "hanging.py").write_text(
        "import asyncio, os, pathlib, leveret\n"
        "class One(leveret.Service):\n"
        "    async def __aenter__(self): return self\n"
        "    async def __aexit__(self, *_): pathlib.Path('left').touch()\n"
        "    @leveret.method\n"
        "    async def use(self) -> int: return 1\n"
        "class Two(leveret.Service):\n"
        "    async def __aenter__(self):\n"
        "        pathlib.Path(f'{os.getpid()}.hangs').touch()\n"
        "        await asyncio.Event().wait()\n"
        "    async def __aexit__(self, *_): pass\n"
        "    @leveret.method\n"
        "    async def use(self) -> int: return 1\n"
    )
    server = await commands.start("serve", "hanging:One", "hanging:Two", "--workers", workers)
    await until(
        lambda: len(list(commands.folder.glob("*.hangs"))) == int(workers), "all workers start"
    )
    server.terminate()
    await server.says("stopped before it served", int(workers))
    assert await server.ends() == 0
    assert (commands.folder / "left").exists()


# -- why it cannot ---------------------------------------------------------------------------------


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("nowhere:Desk",), 11, "there is no module 'nowhere'"),
        (("cli_service:Dusk",), 11, "no 'Dusk'; its services are Desk, NeedsArguments"),
        (("cli_service",), 11, "write module:Service"),
        (("cli_service:make_nothing",), 11, "returned of type NoneType"),
        (("cli_service:NeedsArguments",), 11, "cannot be called without arguments"),
        (("cli_service:OutOfStock",), 11, "is the class OutOfStock"),
        ((SERVED, "cli_service:desk"), 11, "two services are named 'desk'"),
        ((SERVED, "--plain", "rpc_queue=desk.nothing"), 11, "there is no such method"),
        ((SERVED, "--url", "amqp://host:port/"), 2, "InvalidURL"),
        ((SERVED, "--url", "embedded://"), 2, "start one for all with `leveret broker`"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_mistake_in_the_configuration_ends_it_with_one_line(
    commands: Commands, args: tuple[str, ...], code: int, said: str, workers: str
) -> None:
    server = await commands.run("serve", *args, "--workers", workers, "--log-level", "critical")
    assert server.process.returncode == code
    assert said in server.error


@pytest.mark.embedded_only
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_broker_that_is_down_ends_it_with_exit_code_9(
    commands: Commands, workers: str
) -> None:
    server = await commands.run(
        *("serve", SERVED, "--workers", workers, "--log-level", "critical"),
        url="amqp://guest:guest@127.0.0.1:1/",
    )
    assert server.process.returncode == 9
    assert "ConnectionLost: cannot connect" in server.error


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("variable", "args"),
    [
        ("LEVERET_URL", ("serve", SERVED)),
        ("LEVERET_URL", ("call", "desk.fib", "n=1")),
        ("LEVERET_ONCE", ("serve", SERVED)),
    ],
)
async def test_a_variable_that_is_empty_is_wrong_usage(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, variable: str, args: tuple[str, ...]
) -> None:
    monkeypatch.setenv(variable, "")
    ran = await commands.run(*args, url="" if variable == "LEVERET_URL" else None)
    assert ran.process.returncode == 2
    assert f"{variable} is empty" in " ".join(ran.lines)


@pytest.mark.embedded_only
async def test_a_service_that_cannot_be_entered_ends_it(commands: Commands) -> None:
    server = await commands.run("serve", "cli_service:CannotOpen", "--log-level", "critical")
    assert server.process.returncode == 70
    assert "OSError: the database is away; --log-level debug shows the traceback" in server.error


@pytest.mark.embedded_only
async def test_a_module_that_fails_is_told_with_its_file_and_line(commands: Commands) -> None:
    (commands.folder / "broken.py").write_text("import leveret\n\nprint(1 / 0)\n")
    server = await commands.run("serve", "broken:Desk")
    assert server.process.returncode == 11
    assert "ZeroDivisionError: division by zero" in server.error
    assert "broken.py, line 3" in server.error


@pytest.mark.embedded_only
async def test_at_log_level_debug_a_module_that_fails_shows_its_traceback(
    commands: Commands,
) -> None:
    (commands.folder / "broken.py").write_text("import missing_from_here\n")
    server = await commands.run("serve", "broken:Desk", "--log-level", "debug")
    assert server.process.returncode == 11
    assert "Traceback (most recent call last):" in server.lines


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_queue_with_other_options_ends_it_with_exit_code_12(
    commands: Commands, workers: str
) -> None:
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Desk()):
        server = await commands.run(
            *("serve", "cli_service:Priority", "--workers", workers, "--log-level", "critical")
        )
    assert server.process.returncode == 12
    assert "TopologyError: the queue 'leveret.desk.fib'" in server.error


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_refused_login_ends_it_with_exit_code_10(commands: Commands, workers: str) -> None:
    server = await commands.run(
        *("serve", SERVED, "--workers", workers, "--log-level", "critical"),
        url=commands.url.replace("guest:guest@", "guest:wrong@"),
    )
    assert server.process.returncode == 10
    assert "Unauthenticated" in server.error


@pytest.mark.slow
async def test_a_lost_connection_is_told_and_comes_back(
    tmp_path: Path, own_rabbitmq: RabbitMQ
) -> None:
    async with Commands(tmp_path, own_rabbitmq.url) as commands:
        server = await commands.serve(SERVED)
        await asyncio.to_thread(own_rabbitmq.close_connections, "for a test")
        await server.says("CONNECTION_FORCED - for a test.*connecting again")
        call = await commands.run("call", "desk.fib", "n=30", "--wait-for-server")
        assert call.text == "832040\n"
        server.terminate()
        assert await server.ends() == 0


# -- what needs no broker --------------------------------------------------------------------------


@pytest.mark.embedded_only
async def test_schema_prints_the_services_methods_as_json(commands: Commands) -> None:
    schema = await commands.run("schema", SERVED)
    assert schema.process.returncode == 0
    assert json.loads(schema.text) == json.loads(json.dumps(leveret.service_schema(Desk)))


@pytest.mark.embedded_only
async def test_schema_of_what_is_no_service_is_one_line(commands: Commands) -> None:
    schema = await commands.run("schema", "cli_service:OutOfStock")
    assert schema.process.returncode == 11
    assert "OutOfStock is not a service" in schema.error


@pytest.mark.embedded_only
@pytest.mark.parametrize("args", [("version",), ("--version",)])
async def test_the_version_is_printed(commands: Commands, args: tuple[str, ...]) -> None:
    version = await commands.run(*args)
    assert version.text == f"leveret {leveret.__version__}\n"
    assert version.process.returncode == 0


@pytest.mark.embedded_only
async def test_help_tells_the_exit_codes(commands: Commands) -> None:
    told = await commands.run("call", "--help")
    assert "5  NoServer" in told.text
    assert "130  Ctrl-C" in told.text


@pytest.mark.embedded_only
@pytest.mark.parametrize("command", ["serve", "call", "broker", "demo", "schema"])
async def test_the_help_of_each_command_tells_its_exit_codes(
    commands: Commands, command: str
) -> None:
    told = await commands.run(command, "--help")
    assert "Exit codes:" in told.text
    assert "0  done" in told.text


@pytest.mark.slow
async def test_a_worker_process_ends_with_a_server_that_is_killed(commands: Commands) -> None:
    (commands.folder / "spinning.py").write_text(
        "import os, pathlib, leveret\n"
        "class Spinning(leveret.Service):\n"
        "    @leveret.method(executor='process')\n"
        "    def spin(self) -> int:\n"
        "        pathlib.Path('being-written').write_text(str(os.getpid()))\n"
        "        os.rename('being-written', 'runs')\n"
        "        while True:\n"
        "            pass\n"
    )
    server = await commands.serve("spinning:Spinning")
    call = await commands.start("call", "spinning.spin", "--timeout", "60")
    runs = commands.folder / "runs"
    await until(runs.exists, "the handler spins in its process")
    server.process.kill()
    await until(lambda: not is_alive(int(runs.read_text())), "its process is gone")
    assert await call.ends() == 5
