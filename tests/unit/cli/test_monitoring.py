"""What is answered by HTTP about a process."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from leveret.cli.endpoints import Endpoint
from leveret.cli.serving.monitoring import (
    CannotListen,
    Exposition,
    Health,
    Monitoring,
    MonitorOptions,
)

ANY = Endpoint(host="127.0.0.1", port=0)


class AProcess:
    """Stands as it is told."""

    def __init__(self) -> None:
        self.stands = Health()

    async def health(self) -> Health:
        return self.stands

    async def exposition(self) -> Exposition:
        return lambda accept: (f"metrics {accept}".encode(), "text/metrics")


async def get(port: int, path: str) -> tuple[str, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nAccept: a/b\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.decode().split()[1], body


def ports(monitoring: Monitoring) -> list[int]:
    return [server.port for server in monitoring._servers]


async def verdict(port: int, path: str) -> tuple[str, Any]:
    status, body = await get(port, path)
    return status, msgspec.json.decode(body)


async def test_one_place_can_have_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "leveret.cli")
    it = AProcess()
    async with Monitoring(MonitorOptions(metrics=ANY, health=ANY), it) as monitoring:
        (port,) = ports(monitoring)
        assert await get(port, "/metrics") == ("200", b"metrics a/b")
        assert await verdict(port, "/livez") == ("200", {"status": "alive", "why": []})
        assert await verdict(port, "/readyz") == ("200", {"status": "ready", "why": []})
        it.stands = Health(unready=["draining"])
        assert (await verdict(port, "/livez"))[0] == "200"
        answer = await verdict(port, "/readyz")
        assert answer == ("503", {"status": "not ready", "why": ["draining"]})
        it.stands = Health(dead=["worker 1: no answer"], unready=["worker 1: no answer"])
        answer = await verdict(port, "/livez")
        assert answer == ("503", {"status": "dead", "why": ["worker 1: no answer"]})
        assert f"http://127.0.0.1:{port}/metrics" in caplog.text


async def test_two_places_have_what_is_theirs() -> None:
    options = MonitorOptions(metrics=ANY, health=Endpoint(host="localhost", port=0))
    async with Monitoring(options, AProcess()) as monitoring:
        metrics, health = ports(monitoring)
        assert (await get(metrics, "/metrics"))[0] == "200"
        assert (await get(metrics, "/livez"))[0] == "404"
        assert (await get(health, "/readyz"))[0] == "200"
        assert (await get(health, "/metrics"))[0] == "404"


async def test_a_port_that_is_taken_is_an_error_that_says_so() -> None:
    async with Monitoring(MonitorOptions(metrics=ANY), AProcess()) as first:
        taken = Endpoint(host="127.0.0.1", port=ports(first)[0])
        second = Monitoring(MonitorOptions(metrics=ANY, health=taken), AProcess())
        with pytest.raises(CannotListen, match=f"cannot listen at 127.0.0.1:{taken.port}: "):
            await second.__aenter__()


@pytest.mark.parametrize(
    ("metrics", "health"), [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost")]
)
async def test_a_port_that_it_takes_itself_under_another_host_is_told_from_anothers(
    metrics: str, health: str
) -> None:
    async with Monitoring(MonitorOptions(metrics=ANY), AProcess()) as free:
        (port,) = ports(free)
    options = MonitorOptions(
        metrics=Endpoint(host=metrics, port=port), health=Endpoint(host=health, port=port)
    )
    said = f"cannot listen at {health}:{port}: .*; {metrics}:{port} of --metrics takes this port as"
    with pytest.raises(CannotListen, match=said):
        await Monitoring(options, AProcess()).__aenter__()


async def test_nothing_is_listened_at_where_nothing_is_wanted() -> None:
    async with Monitoring(MonitorOptions(), AProcess()) as monitoring:
        assert ports(monitoring) == []
