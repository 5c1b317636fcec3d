"""docs/embedded-broker.md holds: its snippets run, its tables are the broker's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from importlib.metadata import entry_points
from pathlib import Path

import pamqp.base
import pytest
from pamqp import commands

import leveret
from leveret.broker import EmbeddedBroker, Limits
from tests.behaviour.amqp.script import Client
from tests.docs.error_services import Fibonacci
from tests.docs.fences import ROOT, blocks, table
from tests.docs.session import Session
from tests.docs.shell import Shell, lines

DOCUMENT = "docs/embedded-broker.md"

REFUSED: dict[str, pamqp.base.Frame] = {
    "a stream": commands.Queue.Declare(
        queue="s", durable=True, arguments={"x-queue-type": "stream"}
    ),
    "`immediate`": commands.Basic.Publish(exchange="", routing_key="q", immediate=True),
    "`prefetch_size`": commands.Basic.Qos(prefetch_size=1),
    "`requeue=false`": commands.Basic.Recover(requeue=False),
    "`active=false`": commands.Channel.Flow(active=False),
    "`if_unused` or `if_empty`": commands.Queue.Delete(queue="quorum", if_unused=True),
    "a consumer of a quorum queue": commands.Basic.Consume(queue="quorum"),
}
"""What asks for each row of the table, by the row's first words."""

FIELDS = {
    "messages in memory": ("memory", 2**20, "MiB"),
    "one message": ("max_message_size", 2**20, "MiB"),
    "a frame": ("frame_max", 2**10, "KiB"),
    "channels of a connection": ("channel_max", 1, ""),
    "connections": ("connections", 1, ""),
    "bytes that wait for a slow client": ("output", 2**20, "MiB"),
    "a handshake": ("handshake_timeout", 1, "s"),
}
"""Each row of the table of limits: the field of `Limits`, and the unit in which it is told."""

INSTALLED = any(point.value == "pytest_leveret" for point in entry_points(group="pytest11"))
PLUGINS = ("-p", "no:cacheprovider", *(() if INSTALLED else ("-p", "pytest_leveret")))


def is_file(text: str) -> bool:
    return text.startswith("# test_")


async def test_the_snippets_give_what_they_say(tmp_path: Path) -> None:
    shown = [block for block in blocks(DOCUMENT, "python") if not is_file(block.text)]
    assert len(shown) == 2
    async with AsyncExitStack() as stack, leveret.connect("embedded://") as host:
        session = Session(tmp_path, host, stack, Fibonacci=Fibonacci, leveret=leveret)
        for block in shown:
            await session.run(block)


@pytest.mark.parametrize("document", [DOCUMENT, "docs/testing.md"])
def test_the_test_files_pass_with_the_plugin(document: str, tmp_path: Path) -> None:
    shown = [block.text for block in blocks(document, "python") if is_file(block.text)]
    for text in shown:
        (tmp_path / text.split()[1]).write_text(text)
    services = (ROOT / "tests" / "docs" / "error_services.py").read_text()
    (tmp_path / "fibonacci.py").write_text(services)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGINS],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{''.join(shown).count('def test_')} passed" in done.stdout


@pytest.mark.parametrize("document", [DOCUMENT, "docs/testing.md", "README.md"])
async def test_the_command_starts_a_broker(document: str, tmp_path: Path) -> None:
    (line,) = [
        line
        for block in blocks(document, "sh")
        for line in lines(block.text)
        if line.words[:2] == ("leveret", "broker")
    ]
    assert "localhost:5672" in line.comment
    # That port may be taken on the machine of the tests.
    async with Shell(tmp_path, "").running(*line.words, "--port", "0") as process:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        async with leveret.connect(url):
            pass
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def test_each_row_of_what_is_refused_has_its_frame() -> None:
    rows = [cells[0] for cells in table(DOCUMENT, "What it refuses")]
    assert len(rows) == len(REFUSED)
    assert all(row.startswith(words) for row, words in zip(rows, REFUSED, strict=True))


@pytest.mark.parametrize("what", REFUSED)
async def test_what_it_refuses_ends_the_connection_with_not_implemented(what: str) -> None:
    async with EmbeddedBroker() as broker:
        client = await Client.connect(broker.url)
        lane = await client.channel()
        await lane.declare("quorum", x_queue_type="quorum")
        await lane.call(commands.Basic.Qos(prefetch_count=1, global_=True))
        if what == "`immediate`":
            await lane.declare("q")
            lane.publish("", "q", b"", immediate=True)
            refusal = await client.refusal()
        else:
            refusal = await client.refused(REFUSED[what], lane.number)
    assert refusal.code == 540
    assert refusal.text.startswith("NOT_IMPLEMENTED - ")


def test_the_limits_are_those_of_the_broker() -> None:
    rows = {what: bound for what, bound, _ in table(DOCUMENT, "Limits")}
    limits = Limits()
    shown = {
        what: f"{getattr(limits, field) / scale:g} {unit}".strip()
        for what, (field, scale, unit) in FIELDS.items()
    }
    assert rows == shown
    told = {field for field, _, _ in FIELDS.values()} | {"heartbeat", "send_timeout"}
    assert told == set(Limits.__struct_fields__)
