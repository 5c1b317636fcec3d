"""Started calls: they outlive their client, their server and their broker, and run once per key."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import leveret
from leveret import (
    Busy,
    CallStatus,
    Cancelled,
    ConnectionLost,
    DeadlineExceeded,
    InvalidArgument,
    MaybeExecuted,
    NoServer,
    PermissionDenied,
    Progress,
    Rabbit,
    RemoteError,
    Service,
    Unimplemented,
    current_call,
    method,
)
from leveret.client.calls.life import Event, Pending, State
from leveret.once import OnceUnavailable, Outcome, SqliteOnce
from leveret.testing import FaultProxy
from tests.behaviour.crashing import crash
from tests.behaviour.patience import PATIENCE, at_once, until, until_found
from tests.behaviour.raw import RawPeer


class Reports(Service):
    """Writes reports, once it is let."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.opened = asyncio.Event()

    @method(timeout=30)
    async def write(self, number: int) -> str:
        self.begun.append(number)
        current_call().progress(0.5, "half of \udce9.txt")  # a name of a file that is no UTF-8
        await self.opened.wait()
        if number < 0:
            raise ZeroDivisionError(str(number))
        return f"report {number} for {current_call().metadata.get('who', 'all')}"

    @method(timeout=30, idempotent=True)
    async def read(self, number: int) -> int:
        self.begun.append(number)
        await self.opened.wait()
        return number

    @method(timeout=0.05)
    async def hurry(self, number: int) -> int:
        await self.opened.wait()
        return number


class Older(Service, name="reports"):
    """An older version, which has only one of the methods."""

    @method(timeout=30)
    async def write(self, number: int) -> str:
        return f"report {number}"


class Narrow(Service):
    """Has a short queue."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    @method(timeout=30, concurrency=1, max_length=1)
    async def work(self, number: int) -> int:
        await self.opened.wait()
        return number


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/once.db"


@pytest.fixture
async def reports(host: Rabbit, store: str) -> AsyncIterator[Reports]:
    served = Reports()
    async with host.serving(served, once=store):
        yield served


async def test_a_started_call_is_waited_for_by_another_process_after_its_client_is_gone(
    reports: Reports, rabbitmq_url: str, client: Rabbit
) -> None:
    async with leveret.connect(rabbitmq_url) as starter:
        remote = starter.remote(Reports).with_options(metadata={"who": "me"})
        handle = await starter.start(remote.write, key="report-7")(7)
        assert handle.key == "report-7"
        await until(lambda: reports.begun == [7], "it runs")
    handle = client.attach(client.remote(Reports).write, "report-7")
    status = await handle.peek()
    assert status.state == "running"
    assert status.progress == Progress(fraction=0.5, text="half of ?.txt")
    result = asyncio.create_task(handle.result())
    reports.opened.set()
    assert await result == "report 7 for me"
    assert await handle == "report 7 for me"
    assert await handle.peek() == CallStatus(state="done")


async def test_who_waits_for_a_started_call_is_told_at_once_that_the_client_is_closed(
    reports: Reports, rabbitmq_url: str
) -> None:
    async with leveret.connect(rabbitmq_url) as starter:
        handle = await starter.start(starter.remote(Reports).write, key="report-7")(7)
        result = asyncio.create_task(handle.result())
        peeked = await handle.peek()
        assert peeked.state in {"waiting", "running"}
    async with at_once():
        with pytest.raises(ConnectionLost, match="the client was closed") as caught:
            await result
    assert (caught.value.executed, caught.value.method) == ("maybe", "reports.write")
    reports.opened.set()


async def test_options_of_the_connection_hold_for_what_is_started(
    reports: Reports, client: Rabbit
) -> None:
    reports.opened.set()
    remote = client.remote(Reports).with_options(metadata={"who": "others"}, timeout=20)
    caller = client.with_options(metadata={"who": "me"}, idempotency_key="not this one")
    assert await (await caller.start(remote.write, key="k")(7)) == "report 7 for me"
    assert await client.attach(remote.write, "k") == "report 7 for me"


async def test_a_key_that_was_never_started_is_not_found(reports: Reports, client: Rabbit) -> None:
    handle = client.attach(client.remote(Reports).write, "nothing")
    assert await handle.peek() == CallStatus(state="not found")
    with pytest.raises(InvalidArgument, match="no call was started with the key 'nothing'"):
        await handle.result()
    await handle.cancel()
    assert await handle.peek() == CallStatus(state="not found")


async def test_two_starts_with_one_key_run_once_and_other_arguments_are_refused(
    reports: Reports, client: Rabbit
) -> None:
    start = client.start(client.remote(Reports).write, key="k")
    reports.opened.set()
    first, second = await asyncio.gather(start(1), start(1))
    assert await first == await second == "report 1 for all"
    other = await start(2)
    with pytest.raises(InvalidArgument, match="other arguments"):
        await other
    assert await first == "report 1 for all"
    assert reports.begun == [1]


async def test_a_call_whose_request_the_broker_refused_is_not_found_and_can_be_started(
    host: Rabbit, client: Rabbit, store: str
) -> None:
    narrow = Narrow()
    async with host.serving(narrow, once=store):
        start = [client.start(client.remote(Narrow).work, key=f"k{n}") for n in range(10)]
        handles: list[leveret.CallHandle[int]] = []

        async def fill() -> None:
            while True:
                handles.append(await start[len(handles)](len(handles)))

        with pytest.raises(Busy, match="its queue is full") as caught:
            await fill()
        assert caught.value.executed == "no"
        key = len(handles)
        refused = client.attach(client.remote(Narrow).work, f"k{key}")
        assert await refused.peek() == CallStatus(state="not found")
        narrow.opened.set()
        assert [await handle for handle in handles] == list(range(key))
        assert await (await start[key](key)) == key


async def test_a_call_that_waits_at_a_server_is_not_kept_there_once_its_channel_has_ended(
    client: Rabbit, rabbitmq_url: str, store: str
) -> None:
    """Its request is the broker's again; it could be kept for as long as its outcome, a day."""
    narrow = Narrow()
    async with (
        FaultProxy(rabbitmq_url) as proxy,
        leveret.connect(proxy.url) as host,
        host.serving(narrow, once=store, plain={"narrow": "narrow.work"}) as server,
    ):
        running = asyncio.create_task(client.plain("narrow", result=int, timeout=60).call(0))
        try:
            await until(lambda: len(server.calls()) == 1, "one runs")
            handle = await client.start(client.remote(Narrow).work, key="k")(1)
            await until(lambda: len(server.calls()) == 2, "one waits")
            proxy.refuse()
            proxy.cut()
            await until(lambda: len(server.calls()) == 1, "only the one that runs is there")
            proxy.accept()
        finally:
            narrow.opened.set()
        assert await handle.result(timeout=PATIENCE) == 1
        await asyncio.gather(running, return_exceptions=True)


async def test_a_call_that_was_lost_with_its_queue_can_be_started_again(
    host: Rabbit, client: Rabbit, raw: RawPeer, store: str
) -> None:
    reports = Reports()
    async with host.serving(reports, once=store, concurrency=1):
        write = client.remote(Reports).with_options(wait_for_server=True).write
        first = await client.start(write, key="first")(1)
        await until(lambda: reports.begun == [1], "it runs")
        await client.start(write, key="k")(2)
        await raw.delete("leveret.reports.write")
        again = await client.start(write, key="k")(2)
        reports.opened.set()
        assert await again == "report 2 for all"
        assert await first == "report 1 for all"
    assert reports.begun == [1, 2]


async def test_a_second_start_takes_no_place_while_the_first_runs(
    host: Rabbit, client: Rabbit, store: str
) -> None:
    reports = Reports()
    async with host.serving(reports, once=store, concurrency=2):
        write = client.remote(Reports).write
        handles = [await client.start(write, key="k")(1) for _ in range(4)]
        await client.start(write, key="another")(2)
        await until(lambda: sorted(reports.begun) == [1, 2], "both run")
        reports.opened.set()
        assert [await handle for handle in handles] == ["report 1 for all"] * 4
    assert sorted(reports.begun) == [1, 2]


async def test_an_error_is_the_outcome_of_a_started_call(reports: Reports, client: Rabbit) -> None:
    reports.opened.set()
    handle = await client.start(client.remote(Reports).write, key="k")(-1)
    with pytest.raises(RemoteError, match="-1"):
        await handle
    late = await client.start(client.remote(Reports).hurry, key="k")(1)
    assert await late == 1


async def test_the_methods_own_timeout_bounds_the_handler_and_that_of_result_only_the_wait(
    reports: Reports, client: Rabbit
) -> None:
    handle = await client.start(client.remote(Reports).hurry, key="k")(1)
    with pytest.raises(DeadlineExceeded) as caught:
        await handle
    assert (caught.value.where, caught.value.executed) == ("handler", "yes")
    handle2 = await client.start(client.remote(Reports).read, key="k")(1)
    with pytest.raises(DeadlineExceeded, match="it goes on"):
        await handle2.result(timeout=0.01)
    reports.opened.set()
    assert await handle2 == 1


async def test_the_result_is_waited_for_while_no_broker_can_be_reached(
    reports: Reports, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FaultProxy(rabbitmq_url) as proxy, leveret.connect(proxy.url) as far:
        remote = far.remote(Reports)
        handle = await far.start(remote.read, key="k")(1)
        pipe = await far.start(far.pipe(remote.read, remote.read), key="p")(2)
        with monkeypatch.context() as shorter:
            shorter.setattr("leveret.client.verbs.handle._WAIT", 0.02)
            shorter.setattr("leveret.client.verbs.handle.TIMEOUT", 0.02)
            results = [asyncio.create_task(one.result()) for one in (handle, pipe)]
            proxy.refuse()
            proxy.cut()
            await until(lambda: far.state == "reconnecting", "the client has noticed it")
            with pytest.raises(DeadlineExceeded, match=r"nobody told in 0\.2 s"):
                await handle.result(timeout=0.2)
            assert not any(result.done() for result in results)
        proxy.accept()
        reports.opened.set()
        assert await asyncio.gather(*results) == [1, 2]


async def test_who_waits_for_so_many_seconds_does_not_wait_longer_without_a_server(
    client: Rabbit,
) -> None:
    handle = client.attach(client.remote(Reports).read, "k")
    async with at_once():
        with pytest.raises(DeadlineExceeded, match="nobody told") as caught:
            await handle.result(timeout=0.01)
    assert isinstance(caught.value.__cause__, NoServer)


async def test_a_start_whose_servers_have_gone_says_that_there_is_none(
    host: Rabbit, client: Rabbit, store: str
) -> None:
    """They did not answer, as they had gone; nothing says that their store is at fault."""
    served, remote = Reports(), client.remote(Reports)
    served.opened.set()
    async with host.serving(served, once=store):
        assert await (await client.start(remote.read, key="k1")(1)) == 1
    with pytest.raises(NoServer, match="there is no server that could take the call") as caught:
        await client.with_options(timeout=3).start(remote.read, key="k2")(2)
    assert caught.value.executed == "no"


async def test_a_started_call_waits_for_a_server_and_can_be_cancelled_before_it_begins(
    host: Rabbit, client: Rabbit, other_host: Rabbit, store: str
) -> None:
    started = Reports()
    remote = client.remote(Reports)
    async with host.serving(started, once=store, concurrency=1):
        handles = [await client.start(remote.read, key=f"k{n}")(n) for n in range(3)]
        await until(lambda: started.begun == [0], "the first one runs")
        assert (await handles[1].peek()).state == "waiting"
        await handles[1].cancel()
        await handles[0].cancel()
        with pytest.raises(Cancelled):
            await handles[0]
        with pytest.raises(Cancelled):
            await handles[1]
        started.opened.set()
        assert await handles[2] == 2
    assert started.begun == [0, 2]


async def test_a_new_method_is_started_at_once_where_most_servers_have_an_older_version(
    host: Rabbit, other_host: Rabbit, client: Rabbit, store: str
) -> None:
    newer = Reports()
    newer.opened.set()
    remote = client.remote(Reports)
    async with other_host.serving(Older(), once=store), other_host.serving(Older()):
        async with host.serving(newer, once=store):
            for number in range(6):  # an older server that is asked would be waited for
                handle = await client.with_options(timeout=1.5).start(remote.read, key=f"{number}")(
                    number
                )
                assert await handle == number
                assert (await handle.peek()).state == "done"
        with pytest.raises(NoServer, match=r"of 'reports' that are there \(2\) has this") as caught:
            await client.with_options(timeout=0.1).start(remote.hurry, key="k")(1)
        assert (caught.value.executed, caught.value.method) == ("no", "reports.hurry")
        with pytest.raises(DeadlineExceeded, match="nobody told") as late:
            await client.attach(remote.hurry, "k").result(timeout=0.1)
        assert isinstance(late.value.__cause__, NoServer)
    assert newer.begun == list(range(6))


async def test_servers_without_a_store_that_outlives_them_refuse_before_anything_is_sent(
    host: Rabbit, client: Rabbit
) -> None:
    served = Reports()
    async with host.serving(served):
        with pytest.raises(Unimplemented, match="once='sqlite:///path'") as caught:
            await client.start(client.remote(Reports).write, key="k")(1)
        assert caught.value.executed == "no"
    assert served.begun == []


async def test_a_started_call_whose_server_dies_runs_again_only_if_that_does_no_harm(
    mortal_host: Rabbit, other_host: Rabbit, client: Rabbit, tmp_path: Path
) -> None:
    path = tmp_path / "once.db"
    one, two = Reports(), Reports()
    remote = client.remote(Reports)
    two.opened.set()
    async with mortal_host.serving(one, once=SqliteOnce(path), grace=0, concurrency=1):
        harmless = await client.start(remote.read, key="k")(1)
        harmful = await client.start(remote.write, key="k")(2)
        not_begun = await client.start(remote.write, key="another")(3)
        await until(lambda: sorted(one.begun) == [1, 2], "both run")
        crash(mortal_host)
        end_leases(path)
        async with other_host.serving(two, once=SqliteOnce(path)):
            assert await harmless == 1
            with pytest.raises(MaybeExecuted):
                await harmful
            assert await not_begun == "report 3 for all"
    assert sorted(two.begun) == [1, 3]


def end_leases(path: Path) -> None:
    """Have the time of all claims be over, as if it had passed."""
    file = sqlite3.connect(path)
    file.execute(
        "UPDATE leveret_once SET lease_until = 0 WHERE key NOT LIKE CAST('started%' AS BLOB)"
    )
    file.commit()
    file.close()


@pytest.mark.parametrize("step", [Event.SEND, Event.TAKEN], ids=["sends", "hears the confirm"])
async def test_a_client_that_dies_while_it_starts_a_call_can_start_it_again(
    reports: Reports, mortal_client: Rabbit, client: Rabbit, step: Event
) -> None:
    def die(call: Pending, _before: State, event: Event, *_: object) -> None:
        if event is step:
            crash(mortal_client)

    reports.opened.set()
    mortal_client.calls.table.on_transition = die
    start = mortal_client.start(mortal_client.remote(Reports).write, key="k")
    await asyncio.gather(start(7), return_exceptions=True)  # nobody knows whether it was started
    again = await client.start(client.remote(Reports).write, key="k")(7)
    assert await again == "report 7 for all"
    assert reports.begun == [7]


async def test_a_drained_server_hands_started_calls_on(
    host: Rabbit, other_host: Rabbit, client: Rabbit, store: str
) -> None:
    one, two = Reports(), Reports()
    two.opened.set()
    server = await host.serving(one, once=store, concurrency=1, grace=0.0)
    handles = [
        await client.start(client.remote(Reports).read, key=f"k{n}", keep=600)(n) for n in range(3)
    ]
    await until(lambda: len(one.begun) == 1, "one runs")
    await server.close()
    async with other_host.serving(two, once=store):
        assert [await handle for handle in handles] == [0, 1, 2]
    await until_found(lambda: asyncio.sleep(0, sorted(two.begun)), [0, 1, 2], "all ran there")


async def test_what_is_no_remote_method_no_key_and_no_time_is_refused(client: Rabbit) -> None:
    remote = client.remote(Reports)

    async def write(number: int) -> str:
        return str(number)

    with pytest.raises(InvalidArgument, match=r"start takes a method of a remote"):
        client.start(write, key="k")
    with pytest.raises(InvalidArgument, match="idempotency_key must be text"):
        client.start(remote.write, key="")
    for keep in (0, float("nan"), float("inf"), "60", None, True, 10**400):
        with pytest.raises(InvalidArgument, match="keep is a number of seconds"):
            client.start(remote.write, key="k", keep=keep)  # type: ignore[arg-type]
    for timeout in (float("nan"), "5", True, 10**400):
        with pytest.raises(InvalidArgument, match="timeout must be a number of seconds, or None"):
            await client.attach(remote.write, "k").result(timeout)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="Expected `int`, got `str`"):
        await client.start(remote.write, key="k")("seven")  # type: ignore[arg-type]


async def test_calls_are_started_by_name_and_from_a_handler_with_the_middleware_of_the_client(
    reports: Reports, rabbitmq_url: str, host: Rabbit
) -> None:
    seen: list[str] = []

    async def tells(call: leveret.OutgoingCall, call_next: leveret.ClientCallNext) -> object:
        seen.append(call.method)
        call.metadata["who"] = "you"
        return await call_next(call)

    reports.opened.set()
    async with leveret.connect(rabbitmq_url, middleware=[tells]) as client:
        discovered = await client.discover("reports")
        handle = await client.start(discovered.write, key="k")(number=3)
        assert await handle == "report 3 for you"
        assert repr(handle) == "<started call 'k' of reports.write>"
    assert seen == ["reports.write"]


async def test_middleware_sees_the_time_of_a_start_and_may_change_it(
    rabbitmq_url: str, reports: Reports
) -> None:
    seen: list[float] = []
    given: list[Any] = []

    async def changes(call: leveret.OutgoingCall, call_next: leveret.ClientCallNext) -> object:
        seen.append(call.timeout)
        if given:
            call.timeout = given.pop()
        return await call_next(call)

    async with leveret.connect(rabbitmq_url, middleware=[changes]) as client:
        remote = client.remote(Reports)
        await client.start(remote.write, key="k")(1)
        await client.with_options(timeout=7).start(remote.write, key="k")(1)
        assert seen == [10, 7]  # of a start, not the 30 s of the handler
        given.append("3")
        with pytest.raises(InvalidArgument, match="timeout must be a number .*; got '3'"):
            await client.start(remote.write, key="other")(2)
        given.append(0.2)
        nowhere = client.with_options(timeout=3600).start(client.remote(Narrow).work, key="k")
        with pytest.raises(NoServer):
            await asyncio.wait_for(nowhere(1), PATIENCE)
    reports.opened.set()


async def test_a_call_that_no_server_may_run_tells_whoever_asks_why(
    host: Rabbit, client: Rabbit, store: str
) -> None:
    async with host.serving(Reports(), once=store, allow={"reports.write": ["nobody"]}):
        remote = client.remote(Reports)
        handle = await client.start(remote.write, key="k")(1)
        with pytest.raises(PermissionDenied):
            await handle
        with pytest.raises(PermissionDenied):
            await client.attach(remote.write, "k")


async def test_a_server_that_cannot_remember_leaves_a_started_call_to_one_that_can(
    host: Rabbit, other_host: Rabbit, client: Rabbit, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leveret.server.method.unawaited._LEFT_AFTER", 0.01)
    # A server that is only slow must not have the client look for others: it finds the unable one.
    monkeypatch.setattr("leveret.client.verbs.started_servers._SILENT", 60.0)
    able, unable = Reports(), Reports()
    able.opened.set()
    server = await host.serving(able, once=store)
    handle = await client.start(client.remote(Reports).read, key="warm")(0)
    assert await handle == 0
    async with other_host.serving(unable):
        handles = [
            await client.start(client.remote(Reports).read, key=f"k{n}")(n) for n in range(6)
        ]
        assert [await handle for handle in handles] == list(range(6))
    await server.close()
    assert unable.begun == []


class Failing(SqliteOnce):
    """Cannot note the first time that a started call is refused."""

    failed = False

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        if key.startswith("refused ") and not self.failed:
            self.failed = True
            raise OnceUnavailable("it is away")
        return await super().begin(key, owner=owner, lease=lease, keep=keep, takeover=takeover)


class OtherReports(Service, name="reports"):
    """As a client knows them whose contract is another one."""

    @method(timeout=30)
    async def write(self, number: str) -> str:
        return number


@pytest.mark.parametrize(("contract", "number"), [(Reports, 2), (OtherReports, "two")])
async def test_a_started_call_whose_refusal_cannot_be_noted_comes_again(
    host: Rabbit,
    client: Rabbit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    contract: type[Any],
    number: object,
) -> None:
    """Else it would be told as waiting, with no request that anybody could run."""
    monkeypatch.setattr("leveret.server.calls.once_calls._STORE_AWAY", 0.01)
    served = Reports()
    served.opened.set()
    store = Failing(tmp_path / "once.db")
    async with host.serving(served, once=store):
        await client.start(client.remote(Reports).write, key="k")(1)
        await until(lambda: served.begun == [1], "the first one runs")
        second = await client.start(client.remote(contract).write, key="k")(number)
        with pytest.raises(InvalidArgument):
            await second.result(timeout=PATIENCE)
    assert store.failed
    assert served.begun == [1]


async def test_the_store_of_started_calls_may_go_away_and_come_back(
    host: Rabbit, client: Rabbit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leveret.server.calls.once_calls._STORE_AWAY", 0.01)
    away = True

    class Away(SqliteOnce):
        async def begin(self, key: str, **options: Any) -> Outcome:
            if away and not key.startswith(("started", "refused")):
                failed.set()
                raise OnceUnavailable("it is away")
            return await super().begin(key, **options)

    failed = asyncio.Event()
    served = Reports()
    served.opened.set()
    async with host.serving(served, once=Away(tmp_path / "once.db")):
        handle = await client.start(client.remote(Reports).read, key="k")(1)
        await failed.wait()
        away = False
        assert await handle == 1
    assert served.begun == [1]
