"""A private RabbitMQ: it starts, serves, comes back, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pika
import pytest

from leveret import testing
from leveret.testing import RabbitMQUnavailable
from leveret.testing.rabbitmq.place import answers_amqp
from tests.rabbitmq.broker import RabbitMQ

pytestmark = [
    pytest.mark.xdist_group("a RabbitMQ that is restarted"),  # one for most tests here
    pytest.mark.timeout(180),  # on two free processors a start takes 3 s, and rabbitmqctl 1 s
]

GIVE_UP = 20.0

HOLD_A_BROKER = """
import json, sys
from tests.rabbitmq.broker import RabbitMQ
broker = RabbitMQ(private=True).start()
print(broker.address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQ]:
    with RabbitMQ(private=True) as broker:
        yield broker


def folder_of(address: str) -> str:
    """The folder of a private node: the HOME of all its processes."""
    return str(RabbitMQ.attach(address).evaluate('os:getenv("HOME")')).strip('"')


def processes_at_home_in(folder: str) -> list[str]:
    """The command lines of live processes whose HOME is this folder (a zombie has none)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={folder}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " ")[:80])
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return found


def wait_until(true: Callable[[], bool], failure: str) -> None:
    give_up = time.monotonic() + GIVE_UP
    while not true():
        assert time.monotonic() < give_up, failure
        time.sleep(0.02)


def connected(url: str) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(url))


def test_it_greets_an_amqp_client(broker: RabbitMQ) -> None:
    assert broker.is_up
    with connected(broker.url) as connection:
        assert connection.is_open


def test_it_can_be_entered_by_async_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_URL", "amqp://somewhere:5678")

    async def url() -> str:
        async with testing.RabbitMQ() as broker:
            return broker.url

    assert asyncio.run(url()) == "amqp://somewhere:5678/"


def test_each_vhost_is_a_broker_of_its_own(broker: RabbitMQ) -> None:
    with connected(broker.add_vhost("one/é")) as one, connected(broker.add_vhost("two")) as two:
        one.channel().queue_declare("q")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'q'"):
            two.channel().queue_declare("q", passive=True)
    broker.delete_vhost("two")
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError, match="two"):
        connected(broker.url + "two")


def test_rabbitmqctl_speaks_to_this_node(broker: RabbitMQ) -> None:
    broker.add_vhost("seen-by-ctl")
    assert "seen-by-ctl" in broker.ctl("list_vhosts").split()


def test_it_tells_its_version(broker: RabbitMQ) -> None:
    assert ".".join(map(str, broker.version)) == broker.ctl("version").strip()


def test_a_failing_rabbitmqctl_says_what_was_wrong(broker: RabbitMQ) -> None:
    with pytest.raises(RabbitMQUnavailable, match="no-such-vhost"):
        broker.ctl("delete_vhost", "no-such-vhost")


def test_a_failing_erlang_expression_says_what_was_wrong(broker: RabbitMQ) -> None:
    with pytest.raises(RabbitMQUnavailable, match="undef"):
        broker.evaluate("no_such_module:f()")


def test_closing_the_connections_of_a_vhost_leaves_the_others(broker: RabbitMQ) -> None:
    with connected(broker.add_vhost("kept")) as kept:
        hit = connected(broker.add_vhost("hit"))
        assert broker.close_connections("for a test, é", vhost="hit") == 1
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="for a test, é"):
            hit.process_data_events(time_limit=GIVE_UP)
        assert kept.channel().is_open


def test_a_blocked_publisher_is_told_and_untold(broker: RabbitMQ) -> None:
    told: list[str] = []
    with connected(broker.url) as connection:
        connection.add_on_connection_blocked_callback(lambda *_: told.append("blocked"))
        connection.add_on_connection_unblocked_callback(lambda *_: told.append("unblocked"))
        channel = connection.channel()
        broker.block_publishers()
        channel.basic_publish("", "nowhere", b"")
        wait_until(lambda: connection.process_data_events(0) or told == ["blocked"], "not blocked")
        broker.unblock_publishers()
        wait_until(lambda: connection.process_data_events(0) or len(told) == 2, "not unblocked")
    assert told == ["blocked", "unblocked"]


def test_the_log_can_be_read(broker: RabbitMQ) -> None:
    with connected(broker.url):
        wait_until(lambda: "accepting AMQP connection" in broker.log_tail(), broker.log_tail())


def test_another_process_may_attach_but_not_stop_it(broker: RabbitMQ) -> None:
    attached = RabbitMQ.attach(broker.address)
    assert attached.url == broker.url
    with pytest.raises(RabbitMQUnavailable, match="only attached"):
        attached.kill()
    attached.close()
    assert broker.is_up


def test_a_restart_keeps_port_and_durable_queues_and_tells_clients(broker: RabbitMQ) -> None:
    url = broker.url
    connection = connected(url)
    connection.channel().queue_declare("kept", durable=True)
    broker.restart()
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="CONNECTION_FORCED"):
        connection.process_data_events(time_limit=GIVE_UP)
    assert broker.url == url
    with connected(url) as again:
        again.channel().queue_declare("kept", passive=True)


@pytest.mark.parametrize("start", [RabbitMQ.start, RabbitMQ.restart])
def test_a_kill_breaks_connections_and_a_start_brings_it_back(
    start: Callable[[RabbitMQ], None], broker: RabbitMQ
) -> None:
    url = broker.url
    connection = connected(url)
    broker.kill()
    assert not broker.is_up
    with pytest.raises(pika.exceptions.StreamLostError):
        connection.process_data_events(time_limit=GIVE_UP)
    start(broker)
    assert broker.url == url
    assert broker.is_up


def test_closing_it_leaves_no_process_and_no_file() -> None:
    broker = RabbitMQ(private=True).start()  # not the one of the other tests, which go on
    folder = folder_of(broker.address)
    assert any("epmd" in line for line in processes_at_home_in(folder))
    assert any("beam" in line for line in processes_at_home_in(folder))
    broker.ctl("status")
    broker.close()
    wait_until(lambda: not processes_at_home_in(folder), "processes are left")
    assert not Path(folder).exists()


def test_killing_the_process_that_holds_it_leaves_no_process_and_no_file() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_BROKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        folder = folder_of(holder.stdout.readline().decode())
        assert processes_at_home_in(folder)
        holder.kill()
    wait_until(lambda: not processes_at_home_in(folder), "processes are left")
    wait_until(lambda: not Path(folder).exists(), f"{folder} is left")


def run_command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "leveret.testing.rabbitmq", *args],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_command_runs_with_the_url_and_gives_its_exit_code() -> None:
    program = "import os; print(os.environ['LEVERET_URL']); raise SystemExit(3)"
    done = run_command("--", sys.executable, "-c", program, LEVERET_URL="")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("amqp://guest:guest@127.0.0.1:")
    assert not answers_amqp("127.0.0.1", int(done.stdout.rsplit(":", 1)[1].strip(" /\n")))


def test_a_command_that_does_not_exist_is_named() -> None:
    done = run_command("--", "no-such-command", LEVERET_URL="amqp://somewhere/")
    assert done.returncode == 127
    assert "cannot run no-such-command" in done.stderr


def test_without_a_command_it_prints_the_url_until_interrupted() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "leveret.testing.rabbitmq"],
        env=os.environ | {"LEVERET_URL": "amqp://somewhere/"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "amqp://somewhere/\n"
        wait_until(lambda: "Ctrl-C" in str(process.stderr and process.stderr.readline()), "quiet")
        process.send_signal(signal.SIGINT)
        assert process.wait(GIVE_UP) == 0


def test_a_foreign_broker_is_used_but_not_steered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_URL", "amqps://somewhere")
    with testing.RabbitMQ() as broker:
        assert (broker.url, broker.port, broker.owned) == ("amqps://somewhere/", 5671, False)
        with pytest.raises(RabbitMQUnavailable, match="will not stop it"):
            broker.stop()


def test_a_machine_without_any_rabbitmq_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LEVERET_URL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("leveret.testing.rabbitmq.installed._SCRIPT_FOLDERS", ())
    with pytest.raises(RabbitMQUnavailable, match="apt-get install rabbitmq-server"):
        testing.RabbitMQ().start()


def test_a_broker_that_is_not_started_says_so() -> None:
    with pytest.raises(RabbitMQUnavailable, match="not started"):
        _ = RabbitMQ().url


def test_many_may_ask_it_at_once(broker: RabbitMQ) -> None:
    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(broker.evaluate, ["20 + 1"] * 60)) == {"21"}
