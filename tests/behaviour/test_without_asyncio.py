"""Leveret without asyncio: `leveret.blocking`."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import secrets
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

import leveret
import leveret.blocking
from leveret import CallError, Cancelled, NoServer, Progress, Service, State, current_call, method
from leveret.observe import PROCESS
from tests.behaviour.patience import PATIENCE
from tests.behaviour.spawned_caller import doubled
from tests.brokers import Broker, Loop


class Desk(Service):
    """What programs without asyncio call."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = threading.Event()

    @method(idempotent=True)
    async def double(self, n: int) -> int:
        return 2 * n

    @method(timeout=60)
    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    @method
    async def count(self, to: int) -> AsyncIterator[int]:
        try:
            for number in range(to):
                yield number
        finally:
            if to > 100:
                self.cancelled.set()

    @method
    async def work(self) -> str:
        call = current_call()
        call.progress(0.5)
        return call.metadata.get("from", "")

    @method(executor="thread", timeout=5)
    def nested(self, url: str) -> float:
        """The deadline of a call that a handler in a thread makes without asyncio."""
        with leveret.blocking.connect(url) as rabbit:
            return rabbit.run(rabbit.remote(Desk).left())

    @method(timeout=60)
    async def left(self) -> float:
        return current_call().remaining()

    @method
    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    @method
    async def doubles(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    @method
    async def note(self) -> None:
        self.begun.set()


@pytest.fixture
def desk(rabbitmq_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Served by a thread of its own, with a store that started calls are kept in."""
    desk = Desk()

    async def serve() -> Any:
        rabbit = await leveret.connect(rabbitmq_url)
        await rabbit.serving(desk, once=f"sqlite:///{tmp_path}/once.db")
        return rabbit

    with Loop() as loop:
        rabbit = loop.run(serve())
        yield desk
        loop.run(rabbit.close())


@pytest.fixture
def rabbit(rabbitmq_url: str, desk: Desk) -> Iterator[leveret.blocking.Rabbit]:
    with leveret.blocking.connect(rabbitmq_url, name="script") as rabbit:
        yield rabbit


def test_calls_are_waited_for(rabbit: leveret.blocking.Rabbit) -> None:
    desk = rabbit.remote(Desk)
    assert rabbit.state is State.CONNECTED
    assert rabbit.run(desk.double(21)) == 42
    assert rabbit.run(desk.double(1), desk.work()) == (2, "")
    assert rabbit.call("desk.double", n=4) == 8
    assert rabbit.run(desk.with_options(metadata={"from": "me"}).work()) == "me"
    assert rabbit.run(rabbit.with_options(timeout=3).remote(Desk).double(2)) == 4
    assert rabbit.run(rabbit.pipe(desk.double, desk.double)(1)) == 4
    assert list(rabbit.run(rabbit.ask_all(desk.double)(3)).results.values()) == [6]
    (server,) = rabbit.servers(Desk).servers
    assert rabbit.run(rabbit.ask_one(desk.double, server.instance)(3)) == 6
    assert rabbit.run(rabbit.discover("desk").double(n=2)) == 4
    assert [server.services for server in rabbit.servers(Desk).servers] == [["desk"]]
    assert rabbit.stats("desk").methods()["desk.double"].ended > 3
    assert len(rabbit.ping().servers) == 1
    assert rabbit.running_calls().servers[0].calls == []
    assert rabbit.stop_calls(["none"], timeout=0.1) == []


def test_errors_come_as_they_are_and_one_ends_the_others(
    rabbit: leveret.blocking.Rabbit, desk: Desk
) -> None:
    with pytest.raises(leveret.InvalidArgument):
        rabbit.run(rabbit.remote(Desk).double("x"))  # type: ignore[arg-type]
    with pytest.raises(leveret.Unimplemented):
        rabbit.run(rabbit.remote(Desk).wait(), _later(desk))
    assert desk.cancelled.wait(PATIENCE)
    with pytest.raises(leveret.Unimplemented):
        rabbit.call("nobody.home")


async def _later(desk: Desk) -> None:
    assert await asyncio.to_thread(desk.begun.wait, PATIENCE)
    raise leveret.Unimplemented("nobody", method="x.y")


def test_streams_are_iterated_over(rabbit: leveret.blocking.Rabbit, desk: Desk) -> None:
    remote = rabbit.remote(Desk)
    assert list(rabbit.each(remote.count(5))) == [0, 1, 2, 3, 4]
    assert list(rabbit.stream("desk.count", to=2)) == [0, 1]
    for number in rabbit.each(remote.count(1_000_000)):
        if number == 3:
            break
    assert desk.cancelled.wait(PATIENCE)


def test_uploads_and_dialogues_take_plain_iterables(rabbit: leveret.blocking.Rabbit) -> None:
    desk = rabbit.remote(Desk)
    assert rabbit.run(desk.total(range(100))) == 4950  # type: ignore[arg-type]
    assert list(rabbit.each(desk.doubles([1, 2, 3]))) == [2, 4, 6]  # type: ignore[arg-type]


def test_the_source_of_an_upload_may_wait_and_holds_up_nobody(
    rabbit: leveret.blocking.Rabbit,
) -> None:
    desk: Any = rabbit.remote(Desk)
    numbers: SimpleQueue[int | None] = SimpleQueue()
    closed = threading.Event()

    def waits() -> Iterator[int]:
        try:
            while (number := numbers.get()) is not None:
                yield number
        finally:
            closed.set()

    total = rabbit.submit(desk.total(waits()))
    numbers.put(1)
    assert rabbit.run(desk.double(1)) == 2, "while the source waits"
    numbers.put(2)
    numbers.put(None)
    assert total.result(PATIENCE) == 3

    numbers.put(1)
    doubles = []
    for double in rabbit.each(desk.doubles(waits())):
        doubles.append(double)
        numbers.put(double if double < 100 else None)
    assert doubles == [2, 4, 8, 16, 32, 64, 128], "each item was made of the result before it"

    closed.clear()
    with pytest.raises(leveret.DeadlineExceeded):
        rabbit.run(desk.with_options(total_timeout=0.2).total(waits()))
    rabbit.close()
    assert not closed.is_set()
    numbers.put(1)
    assert closed.wait(PATIENCE), "as soon as it no longer waits"


def test_the_source_of_an_upload_may_call_and_its_errors_are_those_of_the_call(
    rabbit: leveret.blocking.Rabbit,
) -> None:
    desk: Any = rabbit.remote(Desk)

    def calls(fail: bool) -> Iterator[int]:
        yield rabbit.run(desk.double(1))
        if fail:
            raise KeyError("missing")
        yield from rabbit.each(desk.count(3))

    assert rabbit.run(desk.total(calls(fail=False))) == 5
    with pytest.raises(KeyError, match="missing"):
        rabbit.run(desk.total(calls(fail=True)))
    assert rabbit.run(desk.total(rabbit.each(desk.count(100)))) == 4950
    assert rabbit.run(desk.total(number for number in range(1000))) == 499_500


def test_a_stream_may_be_given_up_without_its_end(
    rabbit: leveret.blocking.Rabbit, desk: Desk
) -> None:
    items = rabbit.each(rabbit.remote(Desk).count(1_000_000))
    assert next(items) == 0
    items.close()
    assert desk.cancelled.wait(PATIENCE)


@pytest.mark.parametrize("where", ["in the connection's own thread", "where a loop runs"])
def test_a_stream_that_is_dropped_anywhere_is_given_up_in_silence(
    rabbit: leveret.blocking.Rabbit, desk: Desk, where: str
) -> None:
    items = [rabbit.each(rabbit.remote(Desk).count(1_000_000))]
    assert next(items[0]) == 0

    async def drop() -> None:
        items.clear()
        gc.collect()

    if where == "where a loop runs":
        asyncio.run(drop())  # as a web framework does, which iterates in a thread
    else:
        rabbit.submit(drop()).result(PATIENCE)
    assert desk.cancelled.wait(PATIENCE)


def test_one_way_requests_and_started_calls_outlive_who_made_them(
    rabbit: leveret.blocking.Rabbit, desk: Desk
) -> None:
    remote = rabbit.remote(Desk)
    rabbit.run(rabbit.send(remote.note)())
    assert desk.begun.wait(PATIENCE)
    key = secrets.token_hex(8)
    assert rabbit.run(rabbit.start(remote.double, key=key)(8)).key == key
    rabbit.close()
    assert rabbit.run(rabbit.attach(remote.double, key)) == 16


def test_a_future_is_of_use_anywhere_and_cancels_its_call(
    rabbit: leveret.blocking.Rabbit, desk: Desk
) -> None:
    assert rabbit.submit(rabbit.remote(Desk).double(4)).result(PATIENCE) == 8
    waiting = rabbit.submit(rabbit.remote(Desk).wait())
    assert desk.begun.wait(PATIENCE)
    assert waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result()
    assert desk.cancelled.wait(PATIENCE)


def test_threads_share_a_connection(rabbit: leveret.blocking.Rabbit) -> None:
    desk = rabbit.remote(Desk)
    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(lambda n: rabbit.run(desk.double(n)), range(200)))
    assert found == [2 * n for n in range(200)]
    assert len([one for one in threading.enumerate() if one.name == "leveret"]) == 1


def test_progress_is_told_in_the_thread_of_the_connection(
    rabbit: leveret.blocking.Rabbit,
) -> None:
    told: list[Progress] = []
    seen = threading.Event()

    def listen(progress: Progress) -> None:
        told.append(progress)
        seen.set()

    rabbit.run(rabbit.remote(Desk).with_options(on_progress=listen).work())
    assert seen.wait(PATIENCE)
    assert told[0].fraction == 0.5


def test_a_call_inside_of_a_call_has_its_deadline(
    rabbit: leveret.blocking.Rabbit, rabbitmq_url: str
) -> None:
    left = rabbit.run(rabbit.remote(Desk).nested(rabbitmq_url))
    assert 0 < left <= 5


def test_the_first_call_connects_and_a_closed_one_connects_again(
    rabbitmq_url: str, desk: Desk
) -> None:
    rabbit = leveret.blocking.connect(rabbitmq_url)
    remote = rabbit.remote(Desk)
    assert rabbit.state is State.CLOSED
    assert rabbit.run(remote.double(1)) == 2
    rabbit.close()
    rabbit.close()
    assert rabbit.state is State.CLOSED
    assert rabbit.run(remote.double(2)) == 4
    rabbit.close()


def test_a_connection_that_is_closed_while_threads_call_is_of_use_again(
    rabbitmq_url: str, desk: Desk
) -> None:
    rabbit = leveret.blocking.connect(rabbitmq_url)
    remote = rabbit.remote(Desk)
    over = threading.Event()

    def call() -> int:
        answers = 0
        while not over.is_set():
            try:
                answers += rabbit.run(remote.double(1))
            except CallError:  # it was closed at that moment
                pass
        return answers

    with ThreadPoolExecutor(4) as threads:
        calling = [threads.submit(call) for _ in range(4)]
        for _ in range(5):
            rabbit.run(remote.double(1))
            rabbit.close()
        over.set()
        assert all(one.result(PATIENCE) >= 0 for one in calling)
    assert rabbit.run(remote.double(2)) == 4
    rabbit.close()


def test_a_call_that_a_close_overtakes_ends_and_is_not_reported_as_forgotten(
    rabbit: leveret.blocking.Rabbit,
) -> None:
    hold = threading.Event()

    async def occupy_the_loop() -> None:
        hold.wait(PATIENCE)

    rabbit.submit(occupy_the_loop())
    overtaken = rabbit.submit(rabbit.with_options(timeout=5).call("desk.double", n=1))
    with ThreadPoolExecutor(1) as threads:
        closing = threads.submit(rabbit.close)
        while rabbit.state is not State.CLOSED and not closing.done():
            time.sleep(0.001)
        hold.set()
        closing.result(PATIENCE)
    with pytest.raises(leveret.ConnectionLost) as caught:
        overtaken.result(PATIENCE)
    assert caught.value.executed == "no", "it was never sent"
    gc.collect()  # it is then that a coroutine that nobody awaited is told of


def test_several_calls_that_a_close_overtakes_end_as_calls_do(
    rabbit: leveret.blocking.Rabbit, desk: Desk
) -> None:
    remote = rabbit.remote(Desk).with_options(timeout=1)
    with ThreadPoolExecutor(1) as threads:
        for _ in range(5):
            desk.begun.clear()
            waiting = threads.submit(rabbit.run, remote.wait(), remote.wait(), remote.wait())
            assert desk.begun.wait(PATIENCE)
            rabbit.close()
            with pytest.raises(CallError) as caught:
                waiting.result(PATIENCE)
            assert caught.value.executed == "maybe"


def test_a_call_that_is_cancelled_before_it_begins_is_not_reported_as_forgotten(
    rabbit: leveret.blocking.Rabbit,
) -> None:
    remote = rabbit.remote(Desk)
    futures = [rabbit.submit(remote.double(n)) for n in range(20)]
    assert sum(future.cancel() for future in futures) > 0
    assert rabbit.run(remote.double(1)) == 2
    gc.collect()  # it is then that a coroutine that nobody awaited is told of


def test_a_connection_that_nobody_refers_to_any_more_is_closed(
    rabbitmq_url: str, desk: Desk
) -> None:
    before = set(threading.enumerate())
    states: list[State] = []

    def ask(n: int) -> int:
        rabbit = leveret.blocking.connect(
            rabbitmq_url, on_connection=lambda event: states.append(event.state)
        )
        return rabbit.run(rabbit.remote(Desk).double(n))

    assert [ask(n) for n in range(3)] == [0, 2, 4]
    gc.collect()
    threads = [one for one in set(threading.enumerate()) - before if one.name == "leveret"]
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert states.count(State.CLOSED) == 3


def test_a_stream_of_a_connection_that_was_closed_is_broken(
    rabbit: leveret.blocking.Rabbit, desk: Desk
) -> None:
    for ends in (next, Generator.close):
        items = rabbit.each(rabbit.remote(Desk).count(1_000_000))
        assert [next(items), next(items)] == [0, 1]
        rabbit.close()
        assert rabbit.run(rabbit.remote(Desk).double(1)) == 2
        if ends is next:
            with pytest.raises(leveret.StreamBroken, match="closed") as caught:
                next(items)
            assert caught.value.received == 2
        else:
            items.close()


def test_what_is_no_call_and_no_stream_is_refused_in_words(
    rabbit: leveret.blocking.Rabbit,
) -> None:
    remote = rabbit.remote(Desk)
    wrong: Any = rabbit
    with pytest.raises(TypeError, match=r"run takes a call, as in .*; got <remote method"):
        wrong.run(remote.double(1), remote.double)
    with pytest.raises(TypeError, match=r"; of several calls write rabbit\.run\(\*calls\)"):
        wrong.run([remote.double(1), remote.double(2)])
    for nothing in ((None,), (remote.double(1), None)):  # as of a function that forgot to return it
        with pytest.raises(TypeError, match="run takes a call, as in .*; got None"):
            wrong.run(*nothing)
    with pytest.raises(TypeError, match="submit takes a call"):
        wrong.submit(3)
    with pytest.raises(TypeError, match="each takes a stream"):
        wrong.each(remote.double(1))
    with pytest.raises(TypeError, match=r"rabbit\.each"):
        wrong.run(remote.count(3))
    gc.collect()  # it is then that a coroutine that nobody awaited is told of


def test_who_calls_a_stream_by_name_or_streams_a_call_is_told_how_to(
    rabbit: leveret.blocking.Rabbit,
) -> None:
    with pytest.raises(leveret.InvalidArgument, match=r"by `rabbit\.stream`"):
        rabbit.call("desk.count", to=3)
    with pytest.raises(leveret.InvalidArgument, match=r"by `rabbit\.call`"):
        list(rabbit.stream("desk.double", n=1))


def test_a_call_is_for_its_own_connection_to_wait_for(
    rabbit: leveret.blocking.Rabbit, rabbitmq_url: str
) -> None:
    with leveret.blocking.connect(rabbitmq_url) as other:
        rabbit.open()
        with pytest.raises(RuntimeError, match=r"leveret\.blocking is for `run` of its own"):
            other.run(rabbit.remote(Desk).double(1))
        with pytest.raises(RuntimeError, match=r"leveret\.blocking is for `run` of its own"):
            asyncio.run(rabbit.with_options(timeout=1).call("desk.double", n=1))

        async def twice(n: int) -> int:
            return await other.remote(Desk).double(await other.remote(Desk).double(n))

        assert other.run(twice(1)) == 4


def test_in_its_own_thread_it_says_what_to_do(rabbit: leveret.blocking.Rabbit) -> None:
    remote = rabbit.remote(Desk)
    told: list[str] = []

    def calls(_: Progress) -> None:
        try:
            rabbit.run(remote.double(1))
        except RuntimeError as error:
            told.append(str(error))

    rabbit.run(remote.with_options(on_progress=calls).work())
    assert "rabbit.submit" in told[0]
    gc.collect()  # it is then that a coroutine that nobody awaited is told of


class Shelf(Service):
    """Served without asyncio."""

    def __init__(self, rabbit: leveret.blocking.Rabbit) -> None:
        self.rabbit = rabbit
        self.entered: list[str] = []
        self.begun = threading.Event()
        self.may_end = threading.Event()

    async def __aenter__(self) -> None:
        self.entered.append("entered")

    async def __aexit__(self, *error: object) -> None:
        self.entered.append("left")

    @method
    async def triple(self, n: int) -> int:
        return 3 * n

    @method(timeout=30)
    def nested(self, n: int) -> int:
        return self.rabbit.run(self.rabbit.remote(Shelf).triple(n))

    @method(timeout=30)
    def wait(self) -> str:
        self.begun.set()
        self.may_end.wait(PATIENCE)
        return "finished"


@pytest.mark.parametrize("where", ["a broker", "embedded://"])
def test_services_are_served_for_a_block_and_drained_at_its_end(
    broker_url: str, where: str
) -> None:
    with leveret.blocking.connect(broker_url if where == "a broker" else where) as rabbit:
        shelf, remote = Shelf(rabbit), rabbit.remote(Shelf)
        with rabbit.serving(shelf, grace=PATIENCE) as serving:
            assert rabbit.run(remote.triple(1), remote.nested(2)) == (3, 6)
            waiting = rabbit.submit(remote.wait())
            assert shelf.begun.wait(PATIENCE)
            threading.Timer(0.05, shelf.may_end.set).start()
        assert waiting.result(PATIENCE) == "finished", "it was drained"
        assert shelf.entered == ["entered", "left"]
        serving.close()
        with pytest.raises(NoServer):
            rabbit.run(remote.triple(1))
        with pytest.raises(leveret.ContractError):
            rabbit.serving(object())  # type: ignore[arg-type]


def test_the_end_of_the_connection_ends_what_it_serves(broker_url: str) -> None:
    rabbit = leveret.blocking.connect(broker_url)
    shelf = Shelf(rabbit)
    with rabbit.serving(shelf):
        rabbit.close()
        assert shelf.entered == ["entered", "left"]
        rabbit.open()
    rabbit.close()
    assert shelf.entered == ["entered", "left"]


def test_a_signals_handler_that_calls_as_it_interrupts_a_close_is_told_so(broker_url: str) -> None:
    told: SimpleQueue[BaseException] = SimpleQueue()
    rabbit = leveret.blocking.connect(broker_url)

    class Leaves(Shelf):
        async def __aexit__(self, *error: object) -> None:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            self.entered.append(str(await asyncio.to_thread(told.get, timeout=PATIENCE)))

    def calls(*_: object) -> None:
        try:
            rabbit.call("leaves.triple", n=1)
        except RuntimeError as error:
            told.put(error)

    before = signal.signal(signal.SIGUSR1, calls)
    try:
        shelf = Leaves(rabbit)
        rabbit.serving(shelf)
        rabbit.close()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "opened or closed" in shelf.entered[1]
    rabbit.open()  # it is of use again
    rabbit.close()


def test_where_no_broker_is_the_error_says_so_and_the_next_use_tries_again() -> None:
    rabbit = leveret.blocking.connect("amqp://guest:guest@127.0.0.1:1/")
    for _ in range(2):
        with pytest.raises(leveret.ConnectionLost):
            rabbit.run(rabbit.remote(Desk).double(1))
    rabbit.close()


async def test_in_an_event_loop_it_says_what_to_do() -> None:
    rabbit = leveret.blocking.connect("embedded://")
    with pytest.raises(RuntimeError, match="await"):
        rabbit.run(rabbit.remote(Desk).double(1))


def _doubled_in_child(rabbit: leveret.blocking.Rabbit, n: int, pipe: Any) -> None:
    pipe.send(rabbit.run(rabbit.remote(Desk).double(n)))
    counted = PROCESS.snapshot().called_of("desk.double")
    assert (counted.started, counted.in_flight) == (1, 0), "it counts what this process does"


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # that is the point
def test_a_forked_process_has_a_connection_of_its_own_and_closes_it_at_its_end(
    rabbit: leveret.blocking.Rabbit, broker: Broker
) -> None:
    remote = rabbit.remote(Desk)
    assert rabbit.run(remote.double(1)) == 2
    queues = broker.queues()
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    children = [
        context.Process(target=_doubled_in_child, args=(rabbit, n, there)) for n in range(3)
    ]
    for child in children:
        child.start()
    found = {here.recv() for child in children if here.poll(PATIENCE)}
    for child in children:
        child.join(PATIENCE)
    assert found == {0, 2, 4}
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert sorted(broker.queues()) == sorted(queues), "no reply queue of a child is left"
    assert rabbit.run(remote.double(5)) == 10  # the parent's goes on


def test_a_spawned_process_makes_a_connection_of_its_own_and_gives_back_errors_whole(
    rabbitmq_url: str, desk: Desk
) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        assert processes.submit(doubled, rabbitmq_url, 4).result(PATIENCE * 3) == 8
        with pytest.raises(leveret.InvalidArgument) as caught:
            processes.submit(doubled, rabbitmq_url, "x").result(PATIENCE)
    assert (caught.value.method, caught.value.executed) == ("desk.double", "no")


def test_a_connection_says_that_it_cannot_be_pickled(rabbit: leveret.blocking.Rabbit) -> None:
    with pytest.raises(TypeError, match="connect in the other process"):
        pickle.dumps(rabbit)


PROGRAM = """
    import sys, threading
    import leveret.blocking
    {first}

    rabbit = leveret.blocking.connect(sys.argv[1])

    def main():
        {body}

    if __name__ == "__main__":
        main()
"""


def program(url: str, body: str, first: str = "", **how: Any) -> subprocess.Popen[str]:
    text = textwrap.dedent(PROGRAM).format(first=textwrap.dedent(first), body=body)
    return subprocess.Popen(
        [sys.executable, "-c", text, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def test_a_script_ends_without_close(rabbitmq_url: str, desk: Desk) -> None:
    child = program(rabbitmq_url, "print(rabbit.call('desk.double', n=4))")
    out, err = child.communicate(timeout=3 * PATIENCE)
    assert (out, err, child.returncode) == ("8\n", "", 0)


def test_a_script_ends_in_the_middle_of_a_call_and_of_a_stream(
    rabbitmq_url: str, desk: Desk
) -> None:
    child = program(
        rabbitmq_url,
        "global items; items = rabbit.stream('desk.count', to=1_000_000); print(next(items));"
        " rabbit.submit(rabbit.with_options(timeout=60).call('desk.double', n=1))",
    )
    out, err = child.communicate(timeout=3 * PATIENCE)
    assert (out, err, child.returncode) == ("0\n", "", 0)


@pytest.mark.parametrize("use", ["call('desk.double', n=1)", "close()", "submit(nothing())"])
@pytest.mark.parametrize("opened", ["never", "as the program ran", "once it was closed at its end"])
def test_what_is_collected_after_the_end_of_a_script_is_told_that_threads_have_ended(
    rabbitmq_url: str, desk: Desk, use: str, opened: str
) -> None:
    first = f"""
import atexit

async def nothing():
    pass

class Late:
    def __init__(self, rabbit):
        self.rabbit, self.nothing = rabbit, nothing

    def __del__(self, nothing=nothing):
        try:
            self.rabbit.{use}
        except RuntimeError as error:
            print(error)
        print("collected")
"""
    if opened == "once it was closed at its end":
        first += "\natexit.register(lambda: rabbit.call('desk.double', n=3))"
    body = "global late; late = Late(rabbit)"
    if opened == "as the program ran":
        body += "; rabbit.open()"
    child = program(rabbitmq_url, body, first)
    out, err = child.communicate(timeout=3 * PATIENCE)
    assert out.splitlines()[-1] == "collected"
    assert ("the interpreter ends" in out) == (use != "close()")
    assert (err, child.returncode) == ("", 0)


def test_ctrl_c_cancels_the_call_at_its_server(rabbitmq_url: str, desk: Desk) -> None:
    child = program(rabbitmq_url, "rabbit.call('desk.wait')", start_new_session=True)
    assert desk.begun.wait(PATIENCE)
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=3 * PATIENCE)
    assert "KeyboardInterrupt" in err
    assert desk.cancelled.wait(PATIENCE)


def test_under_gevent_it_says_what_to_do(rabbitmq_url: str) -> None:
    first = "from gevent import monkey; monkey.patch_all()"
    child = program(rabbitmq_url, "rabbit.call('desk.double', n=4)", first)
    _, err = child.communicate(timeout=3 * PATIENCE)
    assert child.returncode == 1
    assert "gevent" in err
    assert "thread=False" in err


def test_a_call_that_nobody_serves_fails_as_any_other(rabbit: leveret.blocking.Rabbit) -> None:
    class Nobody(Service):
        @method
        async def home(self) -> None: ...

    with pytest.raises((NoServer, CallError)) as caught:
        rabbit.run(rabbit.remote(Nobody).home())
    assert not isinstance(caught.value, Cancelled)
