"""What systemd is told, by a real socket."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.cli.serving.systemd import SystemManager
from tests.behaviour.patience import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such sockets")


class Manager:
    """A service manager: a socket that words come to."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.words: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(address.replace("@", "\0", 1))

    def heard(self) -> list[str]:
        """All words so far."""
        while True:
            try:
                self.words.append(self._socket.recv(1_000).decode())
            except BlockingIOError:
                return self.words

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify")
    if request.param == "abstract":
        if sys.platform != "linux":
            pytest.skip("Linux alone has abstract sockets")
        address = f"@leveret-{secrets.token_hex(8)}"
    manager = Manager(address)
    yield manager
    manager.close()


def test_it_hears_how_a_server_stands(manager: Manager) -> None:
    it = SystemManager({"NOTIFY_SOCKET": manager.address})
    it.ready()
    it.stopping()
    assert manager.heard() == ["READY=1", "STOPPING=1"]


async def test_the_loop_gives_signs_of_life_until_it_is_told_not_to(manager: Manager) -> None:
    it = SystemManager(
        {
            "NOTIFY_SOCKET": manager.address,
            "WATCHDOG_USEC": "2000",
            "WATCHDOG_PID": str(os.getpid()),
        }
    )
    it.watch()
    await until(lambda: len(manager.heard()) >= 3, "there are signs of life")
    it.close()
    assert set(manager.heard()) == {"WATCHDOG=1"}


@pytest.mark.parametrize(
    "watchdog", [{}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}]
)
async def test_signs_of_life_are_for_those_who_are_asked(
    manager: Manager, watchdog: dict[str, str]
) -> None:
    it = SystemManager({"NOTIFY_SOCKET": manager.address, **watchdog})
    it.watch()
    it.close()
    assert manager.heard() == []


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nobody/listens/here"])
async def test_nobody_there_is_no_error(address: str) -> None:
    it = SystemManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    it.ready()
    it.watch()
    it.close()
