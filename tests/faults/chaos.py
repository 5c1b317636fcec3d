"""`python -m tests.faults.chaos`: mixed load, random faults, the oracle; and what it leaves behind.

The last line of its output is one of JSON, with how many calls broke which part of the promise. All
else goes to stderr. It exits with 1 where one did, and with `--flat` where memory, file descriptors
or tasks grew.

The load comes in rounds. After each the faults are mended, the last calls waited for, and all of
them judged; so a run of any length needs no more memory than a round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import leveret
from leveret import Rabbit, Retry
from leveret.once import RedisOnce
from leveret.testing import FaultProxy
from tests.faults.chaos_faults import ChaosFaults, Weights
from tests.faults.diary import Diary
from tests.faults.footprint import Footprint, leaks
from tests.faults.judgement import Verdict
from tests.faults.one_way import Notes, OneWayJudge
from tests.faults.oracle import How, Oracle
from tests.faults.pipes import PipeJudge
from tests.faults.programs import Programs
from tests.faults.scene import SOON
from tests.faults.started import StartedJudge
from tests.faults.streams import Counting, StreamJudge
from tests.faults.work import Errands, Keyed, Stages, Threaded, Work
from tests.once.servers import RedisServer
from tests.rabbitmq.broker import RabbitMQ

_ROUND: Final = 15.0
"""Seconds of load and faults in a round."""
_PATIENT: Final = 45.0
"""Seconds to the deadline of calls that must have a result: enough for a broker to come back on a
busy machine, and after that for a stalled connection, which heartbeats find dead within 20 s."""
_START: Final = 60.0
"""Seconds in which a server process starts though faults meet each of its attempts to connect."""
_CALLERS: Final = 24
_STREAMERS: Final = 8
_STARTERS: Final = 2
_PIPERS: Final = 4
_SENDERS: Final = 2
_PROGRAMS: Final = 2
_KEYED: Final = 0.25
"""How many of the calls have a key, by which they run once."""
_THREADED: Final = 0.2
"""How many have handlers in threads."""
_GIVE_UP: Final = 0.05
"""How many of the callers go away before their calls have ended."""

_RETRY: Final = Retry(attempts=4, backoff=0.05)
_IMPATIENT: Final[tuple[dict[str, Any], ...]] = (
    {"wait_for_server": False},
    {"wait_for_server": True},
    {"wait_for_connection": False},
    {"if_busy": "fail"},
    {"retry": _RETRY},
)


Act = Callable[[Rabbit, random.Random], Awaitable[None]]
"""Something that a client does, as the dice say."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Chaos:
    """A broker, clients and servers with proxies on their ways, and the dice."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.broker = RabbitMQ(private=True)
        self.store = RedisServer()
        self.proxies: list[FaultProxy] = []
        self.clients: list[Rabbit] = []
        self.programs: Programs
        self.verdict = Verdict()
        self.looks: list[Footprint] = []
        self._dice = random.Random(seed)
        self._faults = ChaosFaults(self, random.Random(seed + 1))
        self._diary = Diary(folder / "diary", "inside")
        self._stack = AsyncExitStack()
        self._stopped = False

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        self._stack.callback(self._diary.close)
        await enter(self.broker)
        self._stack.enter_context(self.store)
        url = self.broker.url
        self.proxies = [await enter(FaultProxy(url)) for _ in range(2)]
        to_clients, to_servers = (proxy.url for proxy in self.proxies)
        to_servers += "?heartbeat=2"  # by which servers notice that their broker vanished
        host = await enter(leveret.connect(to_servers, reconnect=SOON))
        store = self.store.url
        kinds = (Work, Keyed, Threaded, Errands, Stages, Notes)
        services = [*(kind(self._diary) for kind in kinds), Counting()]
        await enter(host.serving(*services, grace=5, once=RedisOnce(store)))
        self.programs = await enter(
            Programs(to_servers, self._diary.path, store=store, patience=_START)
        )
        await self.programs.start(_PROGRAMS)
        for address in (to_clients, to_clients, url):
            self.clients.append(await enter(leveret.connect(address, reconnect=SOON)))
        self._stack.push_async_callback(self._mend)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    # -- rounds -------------------------------------------------------------------------------

    async def run(self, seconds: float) -> None:
        """Round after round."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 1:
            await self._round(min(left, _ROUND))

    async def _round(self, seconds: float) -> None:
        streams, started, pipes, sent = StreamJudge(), StartedJudge(), PipeJudge(), OneWayJudge()
        async with Oracle(self._diary) as oracle:
            self._stopped = False
            async with asyncio.TaskGroup() as group:
                for number in range(_CALLERS):
                    group.create_task(self._calls(oracle, number))
                for number in range(_STREAMERS):
                    group.create_task(self._again_and_again(streams.any_stream, number, 0.2))
                for number in range(_STARTERS):
                    group.create_task(self._again_and_again(started.start, number, 0.5))
                for number in range(_PIPERS):
                    group.create_task(self._again_and_again(pipes.call, number, 0.1))
                for number in range(_SENDERS):
                    group.create_task(self._again_and_again(sent.send, number, 0.2))
                try:
                    async with asyncio.TaskGroup() as harm:
                        faults = self._faults
                        harm.create_task(self._harm(oracle, seconds, faults.on_the_network, 0.5))
                        harm.create_task(self._harm(oracle, seconds, faults.on_machines, 2.0))
                    await self._mend()
                finally:
                    self._stopped = True
            verdict = await oracle.verdict()
            await started.judge(self.clients[-1])
            await sent.all_have_run(self._diary.read)
            diary = self._diary.read()
            started.compare(diary)
            pipes.compare(diary)
            sent.compare(diary)
            worst = oracle.lag.worst
        verdict.add_streams(streams.verdict)
        verdict.add_started(started)
        verdict.add_pipes(pipes)
        verdict.add_one_way(sent)
        self.verdict.add(verdict)
        self._diary.clear()
        self.looks.append(await self._footprint())
        _say(f"{verdict}\n  worst lag of the loop: {worst:.3f} s; holds {self.looks[-1]}")

    async def _calls(self, oracle: Oracle, number: int) -> None:
        dice = random.Random(self._dice.random())
        client = self.clients[number % len(self.clients)]
        while not self._stopped:
            call = oracle.begin(client, **_any_call(dice))
            if dice.random() < _GIVE_UP:
                await asyncio.wait((call,), timeout=dice.uniform(0, 0.1))
                call.cancel()
            await asyncio.wait((call,))
            await asyncio.sleep(dice.uniform(0, 0.05))

    async def _again_and_again(self, act: Act, number: int, pause: float) -> None:
        """One after the other, with pauses of up to `pause` seconds."""
        dice = random.Random(self._dice.random())
        client = self.clients[number % len(self.clients)]
        while not self._stopped:
            await act(client, dice)
            await asyncio.sleep(dice.uniform(0, pause))

    async def _harm(self, oracle: Oracle, seconds: float, kind: Weights, pause: float) -> None:
        """One fault after the other, with pauses of up to `pause` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            name, fault = self._faults.next(kind)
            _say(f"  {name}")
            oracle.faults += 1
            await _tried(fault(), name)
            await asyncio.sleep(self._dice.uniform(0, pause))

    async def _mend(self) -> None:
        for proxy in self.proxies:
            proxy.heal()

    async def _footprint(self) -> Footprint:
        """With new connections, so that no half-open one counts."""
        for proxy in self.proxies:
            proxy.cut()
        async with Oracle(self._diary) as oracle:
            for client in self.clients:
                call = await oracle.call(client, idempotent=True, timeout=_PATIENT)
                assert call.error is None, f"after the round, nothing goes: {call}"
        await asyncio.sleep(1)  # what ends with a connection has ended
        return Footprint.now()


def _any_call(dice: random.Random) -> How:
    """Mixed load."""
    idempotent = dice.random() < 0.6
    how: How = {"idempotent": idempotent, "timeout": _PATIENT}
    how["seconds"] = dice.choice((0.0, 0.0, 0.01, 0.05, 0.4))
    if dice.random() < 0.3:
        how["timeout"] = dice.choice((0.02, 0.1, 0.3, 1.0))
        how["kept"] = False
        how["options"] = dice.choice(_IMPATIENT)
    elif not idempotent:
        how["timeout"] = dice.choice((2.0, 3.0, 5.0))
        how["options"] = dice.choice(({}, {"retry": _RETRY}))
    else:
        how["options"] = dice.choice(({}, {}, {"retry": _RETRY}, {"hedge": 0.1}))
    kind = dice.random()
    if kind < _KEYED:
        how["service"] = Keyed
        how["kept"] = False  # while the store is away such calls are `Busy`
    elif kind < _KEYED + _THREADED:
        how["service"] = Threaded
    if dice.random() < 0.05:
        how["padding"] = dice.randint(1, 400_000)
        how["reply"] = dice.randint(100, 400_000)
    return how


async def _tried(fault: Awaitable[object], name: str) -> None:
    """A fault may fail where another one strikes at the same time: that is no news."""
    try:
        await fault
    except leveret.LeveretError as error:
        _say(f"  {name} was not possible: {error}")


async def _main(seconds: float, seed: int, *, flat: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="leveret-chaos-") as folder:
        async with Chaos(Path(folder), seed) as chaos:
            await chaos.run(seconds)
    verdict = chaos.verdict
    grown = leaks(chaos.looks, seconds / 60) if flat else []
    for complaint in (*verdict.complaints, *grown):
        _say(complaint)
    _say(f'{verdict.results} results, {verdict.maybe} "maybe", {dict(verdict.errors)}')
    print(json.dumps(verdict.counts()))
    return 0 if verdict.kept and not grown else 1


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (1)")
    parser.add_argument("--seed", type=int, help="of all that happens by chance")
    parser.add_argument("--flat", action="store_true", help="and nothing may grow")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    _say(f"seed {seed}: repeat it with --seed {seed}")
    logging.disable(logging.WARNING)
    return leveret.run(_main(options.minutes * 60, seed, flat=options.flat))


if __name__ == "__main__":
    sys.exit(main())
