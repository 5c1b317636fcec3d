"""`leveret.testing.Broker` and the pytest plugin: a broker per block, per test, for any client."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pika
import pytest

import leveret
from leveret import Service, method
from leveret.testing import Broker

ROOT = Path(__file__).parents[3]
MOST = 0.05
"""Seconds: what a broker may take to start, on a machine that does nothing else."""


class Echo(Service):
    @method
    async def echo(self, text: str) -> str:
        return text


async def test_calls_go_through_it() -> None:
    async with (
        Broker() as broker,
        leveret.connect(broker.url) as rabbit,
        rabbit.serving(Echo()),
    ):
        assert await rabbit.remote(Echo).echo("here") == "here"


def test_a_client_that_blocks_can_use_it() -> None:
    with (
        Broker() as broker,
        pika.BlockingConnection(pika.URLParameters(broker.url)) as connection,
    ):
        channel = connection.channel()
        channel.queue_declare("work")
        channel.basic_publish("", "work", b"here")
        assert channel.basic_get("work", auto_ack=True)[2] == b"here"


async def test_it_goes_on_while_a_test_blocks_its_event_loop() -> None:
    async with Broker() as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            assert connection.is_open


async def test_one_broker_serves_several_event_loops() -> None:
    async def call(url: str) -> str:
        async with leveret.connect(url) as rabbit:
            return await rabbit.remote(Echo).echo("there")

    async with (
        Broker() as broker,
        leveret.connect(broker.url) as rabbit,
        rabbit.serving(Echo()),
    ):
        assert await asyncio.to_thread(asyncio.run, call(broker.url)) == "there"


def test_it_starts_in_under_50_ms() -> None:
    took = []
    for _ in range(9):
        began = time.perf_counter()
        with Broker():
            took.append(time.perf_counter() - began)
    # The best of them: the others may have waited for a processor.
    assert min(took) < MOST, f"all starts took longer: {statistics.median(took):.3f} s"


def test_it_is_gone_after_the_block_and_no_thread_stays() -> None:
    before = set(threading.enumerate())
    with Broker() as broker:
        port = broker.port
    assert set(threading.enumerate()) == before
    with Broker(port=port) as again:  # so the port is free
        assert again.port == port


def test_a_port_in_use_is_an_oserror_and_no_thread_stays() -> None:
    before = set(threading.enumerate())
    with Broker() as broker:
        with_it = set(threading.enumerate())
        with pytest.raises(OSError, match="in use"):
            Broker(port=broker.port).start()
        assert set(threading.enumerate()) == with_it
    assert set(threading.enumerate()) == before


def test_starting_and_closing_twice_is_fine() -> None:
    broker = Broker().start()
    url = broker.url
    assert broker.start().url == url
    broker.close()
    broker.close()


def test_what_needs_a_running_broker_says_so() -> None:
    with pytest.raises(RuntimeError, match="not started: enter it, or call start"):
        Broker().add_vhost("x")


def test_a_vhost_that_is_added_has_a_url_of_its_own() -> None:
    with Broker(users={"ann": "secret"}, vhosts=("shop",)) as broker:
        assert broker.url == f"amqp://ann:secret@127.0.0.1:{broker.port}/shop"
        with pika.BlockingConnection(pika.URLParameters(broker.add_vhost("other"))) as connection:
            assert connection.is_open
        broker.delete_vhost("other")


async def test_its_connections_can_be_closed_for_a_reason() -> None:
    async with Broker() as broker, leveret.connect(broker.url, reconnect=False) as rabbit:
        assert await asyncio.to_thread(broker.close_connections, "maintenance") == 1
        with pytest.raises(leveret.ConnectionLost, match="maintenance"):
            await rabbit.call("echo.echo", text="here")


async def test_its_publishers_can_be_blocked() -> None:
    async with (
        Broker() as broker,
        leveret.connect(broker.url) as rabbit,
        rabbit.serving(Echo()),
    ):
        broker.block_publishers()
        call = asyncio.create_task(rabbit.with_options(timeout=30).call("echo.echo", text="here"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(call), 0.1)
        broker.unblock_publishers()
        assert await call == "here"


# -- the pytest plugin -----------------------------------------------------------------------------

USES_BOTH = """
import pytest
from leveret import Service, method

class Echo(Service):
    @method
    async def echo(self, text: str) -> str:
        return text

@pytest.mark.asyncio
@pytest.mark.parametrize("run", [1, 2])
async def test_a_call(leveret_broker, leveret_client, run):
    assert leveret_broker.url.startswith("amqp://guest:guest@127.0.0.1:")
    if run == 2:
        import leveret
        with pytest.raises(leveret.Unimplemented):    # nothing of the first test is there
            await leveret_client.call("echo.echo", text="here")
    async with leveret_client.serving(Echo()):
        assert await leveret_client.remote(Echo).echo("here") == "here"

def test_a_plain_test(leveret_broker):
    assert leveret_broker.port
"""

SERVICES = """
import anyio
from leveret import Service, method

class Echo(Service):
    async def __aenter__(self):
        self.group = anyio.create_task_group()    # which only the task may leave that entered it
        await self.group.__aenter__()

    async def __aexit__(self, *error):
        await self.group.__aexit__(*error)

    @method
    async def echo(self, text: str) -> str:
        return text
"""

WITH_ASYNCIO = """
import leveret, pytest, pytest_asyncio
from services import Echo

def test_a_plain_test(leveret_client):
    assert leveret_client.state == "connected"
"""

IN_A_SCOPE_OF_ASYNCIO = """
@pytest_asyncio.fixture(scope="{scope}", loop_scope="{scope}")
async def rabbit_of_{scope}():
    async with leveret.connect("embedded://") as rabbit, rabbit.serving(Echo()):
        yield rabbit

@pytest.mark.asyncio(loop_scope="{scope}")
async def test_in_{scope}(rabbit_of_{scope}, leveret_client):
    assert await rabbit_of_{scope}.remote(Echo).echo("x") == "x"
    async with leveret_client.serving(Echo()):
        assert await leveret_client.remote(Echo).echo("x") == "x"
"""

WITH_ANYIO = """
import leveret, pytest
from services import Echo

@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"

class TestOnTrio:
    @pytest.fixture
    def anyio_backend(self):
        return "trio", {}

    @pytest.mark.anyio
    @pytest.mark.xfail(strict=True, raises=pytest.fail.Exception)
    async def test_there_is_no_client(self, leveret_client): ...
"""

IN_A_SCOPE_OF_ANYIO = """
@pytest.fixture(scope="{scope}")
async def rabbit_of_{scope}(anyio_backend):
    async with leveret.connect("embedded://") as rabbit, rabbit.serving(Echo()):
        yield rabbit

@pytest.mark.anyio
async def test_in_{scope}(rabbit_of_{scope}, leveret_client):
    assert await rabbit_of_{scope}.remote(Echo).echo("x") == "x"
    async with leveret_client.serving(Echo()):
        assert await leveret_client.remote(Echo).echo("x") == "x"
"""

MARKED_FOR_ANYIO = """
@pytest.mark.anyio
async def test_it(leveret_client):
    async with leveret_client.serving(Echo()):
        assert await leveret_client.remote(Echo).echo("x") == "x"
"""

USES_NOTHING = """
import sys

def test_nothing_of_leveret_was_imported():
    assert not [name for name in sys.modules if name.partition(".")[0] in ("leveret", "msgspec")]
    assert "pytest_leveret" in sys.modules
"""

INI = """
[pytest]
filterwarnings =
    error
    ignore:The configuration option "asyncio_default_fixture_loop_scope" is unset
"""

USES_CLIENT = "def test_it(leveret_client): pass"


IN_A_TEST_CASE = """
import unittest
import leveret, pytest
from services import Echo

class WithTheFixture(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def connected(self, leveret_client):
        self.rabbit = leveret_client

    async def test_it(self):
        async with self.rabbit.serving(Echo()):
            pass

class ConnectsItself(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.rabbit = await self.enterAsyncContext(leveret.connect('embedded://'))

    async def test_it(self):
        async with self.rabbit.serving(Echo()):
            assert await self.rabbit.remote(Echo).echo("a") == "a"
"""


def run_pytest(
    folder: Path, source: str, *args: str, **others: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest on a file, and on others, as where Leveret is installed: with its entry point."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = folder / "site" / "leveret-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: leveret\nVersion: 0\n")
    entries = "".join(f"{k} = {v}\n" for k, v in project["entry-points"]["pytest11"].items())
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{entries}")
    tests = folder / "tests"
    tests.mkdir()
    (tests / "pytest.ini").write_text(INI)
    for name, text in {"test_it": source, **others}.items():
        (tests / f"{name}.py").write_text(text)
    path = os.pathsep.join((str(ROOT / "src"), str(folder / "site")))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args],
        cwd=tests,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_test_gets_a_broker_and_a_client(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USES_BOTH)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_fixtures_work_in_every_loop_scope_with_pytest_asyncio_and_with_anyio(
    tmp_path: Path,
) -> None:
    scopes = ("function", "class", "module", "package", "session")
    of_asyncio = [IN_A_SCOPE_OF_ASYNCIO.format(scope=scope) for scope in scopes]
    of_anyio = [IN_A_SCOPE_OF_ANYIO.format(scope=scope) for scope in scopes]
    done = run_pytest(
        tmp_path,
        "".join((WITH_ASYNCIO, *of_asyncio)),
        test_with_anyio="".join((WITH_ANYIO, *of_anyio)),
        services=SERVICES,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 passed, 1 xfailed" in done.stdout


def test_a_test_of_anyio_that_pytest_asyncio_runs_is_told_so(tmp_path: Path) -> None:
    source = "".join((WITH_ANYIO.partition("class")[0], MARKED_FOR_ANYIO))
    done = run_pytest(tmp_path, source, "-o", "asyncio_mode=auto", services=SERVICES)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "set asyncio_mode = strict, or remove pytest.mark.anyio" in done.stdout


def test_a_test_case_with_a_loop_of_its_own_is_told_to_connect_in_it(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, IN_A_TEST_CASE, services=SERVICES)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "await self.enterAsyncContext(leveret.connect('embedded://'))" in done.stdout
    assert "1 passed, 1 error" in done.stdout


def test_anyio_alone_will_do(tmp_path: Path) -> None:
    source = "".join((WITH_ANYIO, IN_A_SCOPE_OF_ANYIO.format(scope="function")))
    done = run_pytest(tmp_path, source, "-p", "no:asyncio", services=SERVICES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 xfailed" in done.stdout


def test_tests_that_do_not_ask_for_it_import_nothing_of_leveret(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USES_NOTHING)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_pytest_asyncio_the_client_says_what_to_install(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USES_CLIENT, "-p", "no:asyncio")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "leveret_client needs pytest-asyncio: pip install pytest-asyncio" in done.stdout


def test_the_fixtures_are_listed_with_what_they_are(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USES_NOTHING, "--fixtures")
    assert "leveret_broker" in done.stdout
    assert "leveret_client" in done.stdout
    assert "An embedded AMQP broker for this test alone" in done.stdout
