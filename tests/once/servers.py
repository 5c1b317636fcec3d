"""A Redis and a PostgreSQL of the tests' own: own ports, own folders, and nothing left behind.

Both are Debian's, installed where they are missing. PostgreSQL refuses to run as root; then it runs
as `postgres`, the user that its package makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from leveret.testing.rabbitmq.ports import free_ports
from tests.programs import POSTGRES, REDIS_CLI, REDIS_SERVER, SETPRIV

PASSWORD: Final = "hare-and-tortoise"

_START_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 20.0


class StoreServer(Protocol):
    """What faults are made with."""

    @property
    def url(self) -> str:
        """With its password."""

    @property
    def port(self) -> int:
        """On 127.0.0.1."""

    def start(self) -> None:
        """Start it, and return once it answers; does nothing where it runs."""

    def kill(self) -> None:
        """End it with SIGKILL, and all its processes."""

    def freeze(self) -> None:
        """Stop all its processes where they are: connections stay open, nothing answers."""

    def thaw(self) -> None:
        """Let them go on."""


class _Server:
    """One process with its children, in a folder of its own."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"leveret-{name}-"))
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None:
            return
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_dying_with_us(), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C in a terminal is for the tests
            )
        _wait_until(self._answers, self._why_not)

    def kill(self) -> None:
        """SIGKILL to all; they are stopped before, as the parent would clean up behind the rest."""
        process, self._process = self._process, None
        if process is None:
            return
        for pid in _stopped(process.pid):
            _signal(pid, signal.SIGKILL)
        process.wait()

    def freeze(self) -> None:
        assert self._process is not None
        _stopped(self._process.pid)

    def thaw(self) -> None:
        assert self._process is not None
        for pid in (*_children(self._process.pid), self._process.pid):
            _signal(pid, signal.SIGCONT)

    def close(self) -> None:
        """In good order, so that PostgreSQL waits for its children: not every init does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT)
                self._process = None
        self.kill()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _why_not(self) -> str | None:
        if self._process is None or self._process.poll() is None:
            return None
        return (self.folder / "log").read_text(errors="replace")[-2000:] or "it wrote nothing"


class RedisServer(_Server):
    """Redis, with a password, writing all to disk before it answers."""

    def __init__(self) -> None:
        self._binary = REDIS_SERVER.find_or_install()
        super().__init__("redis")

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def ask(self, *words: str) -> str:
        """What `redis-cli` prints."""
        cli = REDIS_CLI.find_or_install()
        command = [cli, "-p", str(self.port), "--no-auth-warning", "-a", PASSWORD, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def _command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "requirepass": PASSWORD,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        return [self._binary, *(word for name in options for word in (f"--{name}", options[name]))]

    def _answers(self) -> bool:
        return self.ask("PING").strip() == "PONG"


class PostgresServer(_Server):
    """PostgreSQL, with a password, on TCP alone."""

    def __init__(self) -> None:
        self._binary = POSTGRES.find_or_install()
        super().__init__("postgres")
        self._data = self.folder / "data"
        password = self.folder / "password"
        password.write_text(PASSWORD)
        self._user = _other_user() if os.geteuid() == 0 else ""
        if self._user:
            shutil.chown(self.folder, self._user)
            shutil.chown(password, self._user)
        initdb = str(Path(self._binary).with_name("initdb"))
        options = ["-D", str(self._data), "-U", "leveret", "-A", "scram-sha-256", "-E", "UTF8"]
        done = subprocess.run(
            [*self._as_user(), initdb, *options, f"--pwfile={password}", "--no-locale", "-N"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, f"initdb failed:\n{done.stdout}{done.stderr}"

    @property
    def url(self) -> str:
        return f"postgresql://leveret:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "60",
            "shared_buffers": "16MB",
        }
        settings = [word for name in options for word in ("-c", f"{name}={options[name]}")]
        return [*self._as_user(), self._binary, "-D", str(self._data), *settings]

    def _answers(self) -> bool:
        ready = str(Path(self._binary).with_name("pg_isready"))
        command = [ready, "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def _as_user(self) -> list[str]:
        if not self._user:
            return []
        user = pwd.getpwnam(self._user)
        who = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return [SETPRIV.find_or_install(), *who]


def _stopped(pid: int) -> list[int]:
    """Stop a process and its children, and return them, the parent last.

    The parent stops first: until then it makes children for connections that come in.
    """
    _stop(pid)
    children = _children(pid)
    for child in children:
        _stop(child)
    return [*children, pid]


def _stop(pid: int) -> None:
    _signal(pid, signal.SIGSTOP)
    _wait_until(lambda: _has_stopped(pid), lambda: None)


def _has_stopped(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True  # it has ended by itself meanwhile
    return state in "TtZX"


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended by itself meanwhile
        os.kill(pid, number)


def _dying_with_us() -> list[str]:
    """What has a server end however the tests do, where the system can."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def _other_user() -> str:
    """Who runs PostgreSQL where the tests are root."""
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise AssertionError(
            "PostgreSQL does not run as root, and there is no user `postgres`; make one, or run"
            " the tests as another user"
        ) from None


def _wait_until(true: Callable[[], bool], why_not: Callable[[], str | None]) -> None:
    give_up = time.monotonic() + _START_TIMEOUT
    while not true():
        reason = why_not()
        assert reason is None, f"the server stopped while starting:\n{reason}"
        assert time.monotonic() < give_up, f"no answer within {_START_TIMEOUT:g} s"
        time.sleep(0.02)
