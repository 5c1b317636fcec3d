"""`leveret serve --metrics` and `--health`: what Prometheus, Kubernetes and systemd are told."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import leveret
from tests.behaviour.cli_commands import Command, Commands
from tests.behaviour.patience import until_found

SERVED = "cli_service:Desk"
READY = 200, {"status": "ready", "why": []}


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


async def get(url: str, accept: str = "") -> tuple[int, str]:
    """Get a page; 0 where nobody listens."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(name, int(port))
    except ConnectionError:
        return 0, ""
    writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def place(server: Command, path: str) -> str:
    """The URL that the server tells in its log."""
    return (await server.says(rf"(http://\S+{path})$"))[0][1]


async def verdict(url: str) -> tuple[int, Any]:
    status, body = await get(url)
    return status, msgspec.json.decode(body) if body else None


async def figures(url: str) -> dict[str, float]:
    """All samples, by name with labels."""
    status, body = await get(url)
    assert status == 200
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in body.splitlines()
        if not line.startswith("#")
    }


def of(name: str, method: str, **labels: str) -> str:
    """A sample of the served class."""
    found = ",".join(
        f'{key}="{value}"'
        for key, value in sorted({**labels, "method": method, "service": "desk"}.items())
    )
    return f"leveret_server_{name}{{{found}}}"


async def test_one_process_tells_what_it_counts_and_whether_it_serves(commands: Commands) -> None:
    server = await commands.serve(SERVED, "--metrics", ":0", "--health", ":0")
    metrics, ready = await place(server, "/metrics"), await place(server, "/readyz")
    live = await place(server, "/livez")
    assert metrics.removesuffix("/metrics") == ready.removesuffix("/readyz")
    assert (await verdict(ready))[0] == (await verdict(live))[0] == 200
    async with leveret.connect(commands.url) as rabbit:
        found = await figures(metrics)
        assert found[of("handled_total", "fib", code="OK")] == 0
        for _ in range(3):
            await rabbit.call("desk.fib", n=5)
        with pytest.raises(leveret.RemoteError):
            await rabbit.call("desk.fail", how="undeclared")
        meeting = await commands.meeting()
        found = await figures(metrics)
        assert found[of("handled_total", "fib", code="OK")] == 3
        assert found[of("handling_seconds_count", "fib")] == 3
        assert found[of("handled_total", "fail", code="INTERNAL")] == 1
        assert found[of("running", "meet")] == found[of("concurrency", "meet")] == 1
        server.terminate()  # it drains: it lives, and is not ready
        not_ready = 503, {"status": "not ready", "why": ["draining"]}
        await until_found(lambda: verdict(ready), not_ready, "it is not ready any more")
        assert (await verdict(live))[0] == 200
        meeting.may_end()
        assert await server.ends() == 0
        await meeting.call.ends()


async def test_workers_are_summed_and_the_dead_leave_what_they_counted(commands: Commands) -> None:
    args = SERVED, "--metrics", "127.0.0.1:0", "--health", "127.0.0.1:0"
    server, pids = await commands.serve_with_workers(*args)
    metrics, ready = await place(server, "/metrics"), await place(server, "/readyz")
    # On a busy machine a worker may not answer within 2 s; it does when it is asked again.
    await until_found(lambda: verdict(ready), READY, "both are ready")
    key = of("handled_total", "fib", code="OK")

    async def counted() -> tuple[float, float, float]:
        found = await figures(metrics)
        names = key, of("queue_seconds_count", "fib"), of("concurrency", "fib")
        return found[names[0]], found[names[1]], found[names[2]]

    async with leveret.connect(commands.url) as rabbit:
        for _ in range(20):
            await rabbit.call("desk.fib", n=5)
        await until_found(counted, (20, 20, 200), "all calls are counted")

        os.kill(pids[0], signal.SIGSTOP)  # its event loop stands still
        _, body = await verdict(await place(server, "/livez"))
        stopped = rf"worker \d \(pid {pids[0]}\): no answer within 2 s"
        assert any(re.fullmatch(stopped, why) for why in body["why"])
        os.kill(pids[0], signal.SIGKILL)
        await server.says(rf"\(pid {pids[0]}\) ended")
        assert (await figures(metrics))[key] == 20
        await server.says(r"is ready", 3)
        await until_found(lambda: verdict(ready), READY, "another is ready")
        await rabbit.call("desk.fib", n=5)
        await until_found(counted, (21, 21, 200), "the next call is counted")
    server.terminate()
    assert await server.ends() == 0


async def test_the_broker_is_no_matter_of_life(commands: Commands) -> None:
    server = await commands.start(
        *("serve", SERVED, "--health", ":0", "--wait-for-broker", "60"),
        *("--url", "amqp://localhost:1/"),
    )
    live, ready = await place(server, "/livez"), await place(server, "/readyz")
    assert (await verdict(live))[0] == 200
    assert await verdict(ready) == (503, {"status": "not ready", "why": ["starting"]})
    server.terminate()
    assert await server.ends() == 0


@pytest.mark.embedded_only
async def test_a_place_that_is_taken_is_told_with_its_exit_code(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for more in ((), ("--workers", "2")):
            server = await commands.run("serve", SERVED, "--metrics", f":{port}", *more)
            assert await server.ends() == 14
            assert f"cannot listen at 127.0.0.1:{port}" in server.lines[-1]


@pytest.mark.embedded_only
async def test_servers_whose_code_changes_are_monitored_as_well(commands: Commands) -> None:
    server = await commands.start("serve", SERVED, "--reload", "--metrics", ":0", "--health", ":0")
    ready = await place(server, "/readyz")
    await server.says("is ready")
    await until_found(lambda: verdict(ready), READY, "it is ready")
    metrics = await place(server, "/metrics")

    async def places() -> float:
        return (await figures(metrics)).get(of("concurrency", "fib"), 0)

    await until_found(places, 100, "its places are shown")


@pytest.mark.embedded_only
async def test_a_place_is_host_and_port(commands: Commands) -> None:
    server = await commands.run("serve", SERVED, "--health", "8080")
    assert await server.ends() == 2
    assert "is not HOST:PORT" in "\n".join(server.lines)


@pytest.mark.embedded_only
@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--reload",)])
async def test_systemd_is_told_when_it_serves_and_when_it_stops(
    commands: Commands,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        server = await commands.start("serve", SERVED, *options)
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(manager, 100) == b"READY=1"
        server.terminate()
        assert await loop.sock_recv(manager, 100) == b"STOPPING=1"
        assert await server.ends() == 0
