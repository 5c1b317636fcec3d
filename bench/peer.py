"""What a peer is to the bench: a name, and two commands that start its server and its client.

Both processes speak the same small protocol, whatever language they are written in:

- `BENCH_ADDRESS` in the environment is where to connect: a broker's URL, or what the server said;
- once it can work a process prints `{"ready": true, "address": ...}` on a line of its own;
- a client reads one `Load` per line, as JSON, and answers each with one line of `Figures`;
- a process ends, cleanly, when its standard input is closed. So nothing outlives the bench.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from .load import Calls

Role = Literal["server", "client"]

ROOT = Path(__file__).resolve().parent.parent
"""Where `python -m bench.worker` is run, so that it finds this package."""


class CannotRunError(Exception):
    """A peer cannot run on this machine; the message says what to install."""


class Peer(Protocol):
    """One way to make a remote call, as the bench sees it."""

    @property
    def name(self) -> str:
        """How `--peers` and the JSON file call it."""
        ...

    @property
    def title(self) -> str:
        """How tables and charts call it."""
        ...

    @property
    def needs_broker(self) -> bool:
        """Whether it works through the RabbitMQ of this run."""
        ...

    @property
    def most_in_flight(self) -> int | None:
        """The most calls it can have in flight; None where there is no such limit."""
        ...

    def command(self, role: Role, build: Path) -> list[str]:
        """The command that starts one of its processes; `build` is a folder for what it compiles.

        :raises CannotRunError: when something it needs is not installed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonPeer:
    """A peer written in Python: `module` has `serving` and `calling` (see `PeerModule`)."""

    name: str
    title: str
    module: str
    """Its file, a module of `bench.peers`."""
    needs: str
    """The module it imports first; when that is missing the peer is left out."""
    install: str
    """What gets it, as a command."""
    needs_broker: bool = True
    most_in_flight: int | None = None
    loop: Literal["uvloop", "asyncio"] = "uvloop"
    """The event loop it runs on, in both processes."""

    def command(self, role: Role, build: Path) -> list[str]:
        """See `Peer.command`."""
        if find_spec(self.needs) is None:
            raise CannotRunError(f"the module {self.needs} is missing: {self.install}")
        return [sys.executable, "-m", "bench.worker", f"bench.peers.{self.module}", role, self.loop]


@dataclass(frozen=True, slots=True, kw_only=True)
class CPeer:
    """A peer written in C: one source file, compiled for this run, for both of its processes."""

    name: str
    title: str
    source: str
    """Its file in `bench/peers`."""
    libraries: tuple[str, ...]
    """What it is linked with."""
    install: str
    needs_broker: bool = True
    most_in_flight: int | None = None

    def command(self, role: Role, build: Path) -> list[str]:
        """See `Peer.command`."""
        program = build / Path(self.source).stem
        if not program.exists():
            self._compile(program)
        return [str(program), role]

    def _compile(self, program: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise CannotRunError(f"there is no C compiler: {self.install}")
        source = Path(__file__).parent / "peers" / self.source
        libraries = [f"-l{library}" for library in self.libraries]
        done = subprocess.run(
            [compiler, "-O2", "-Wall", "-o", str(program), str(source), *libraries],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[0]
            raise CannotRunError(f"{source.name} does not compile ({said}): {self.install}")


class PeerModule(Protocol):
    """The two functions of a Python peer's file; each is used in a process of its own."""

    def serving(self, address: str) -> AbstractAsyncContextManager[str]:
        """Answer calls inside the block; gives the address that clients need."""
        ...

    def calling(self, address: str) -> AbstractAsyncContextManager[Calls]:
        """Be connected inside the block; gives the methods to call."""
        ...
