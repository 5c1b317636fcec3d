"""Which servers are asked about started calls, and what becomes of what they say."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from leveret import (
    Busy,
    CallError,
    CallStatus,
    ConnectionLost,
    DeadlineExceeded,
    InvalidArgument,
    InvalidResult,
    NoServer,
    Unimplemented,
)
from leveret.client.calls.inquiries import Inquiries, Inquiry
from leveret.client.verbs import started_servers
from leveret.client.verbs.handle import CallHandle
from leveret.client.verbs.started_servers import StartedServers
from leveret.wire.started import Standing, StartedQuestion

LOOK = StartedQuestion(ask="look", method="desk.write", key="k")


def info(instance: str, *, starts: bool = True, methods: tuple[str, ...] = ()) -> bytes:
    told: dict[str, object] = {"instance": instance, "name": instance, "starts": starts}
    if methods:
        told["schemas"] = {"desk": {"methods": {key: {} for key in methods}}}
    return msgspec.json.encode(told)


def standing(state: str = "waiting", **fields: object) -> bytes:
    return msgspec.msgpack.encode({"instance": "one", "state": state} | fields)


class Servers:
    """A client whose questions these answer: by word, the bodies for each time it is asked."""

    def __init__(self, **answers: list[list[bytes]]) -> None:
        self.answers = answers
        self.closed: ConnectionLost | None = None
        self.asked: list[str] = []
        self.inquiries = Inquiries(ask=self._ask, ready=self._ready)
        self.inquiry = self.inquiries.open
        self.servers = StartedServers(lambda: self)

    async def _ready(self, _inquiry: Inquiry, timeout: float) -> float:
        if self.closed is not None:
            raise self.closed
        return timeout

    def _ask(self, word: str, key: str, name: str, _seconds: float, _body: bytes) -> None:
        self.asked.append(f"{word} {key}")
        answers = self.answers[word]
        bodies = answers.pop(0) if len(answers) > 1 else answers[0]
        for body in bodies:
            self.inquiries.answered(name, body)
        if not bodies:
            self.inquiries.unbound(name)

    def handle(self, read: Callable[[Standing], int] = lambda _: 7) -> CallHandle[int]:
        return CallHandle("desk.write", "k", "", self.servers, read)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(started_servers, "_SETTLED", 0.0)
    monkeypatch.setattr(started_servers, "_TRIED_EVERY", 0.001)


async def test_the_servers_are_found_once_and_one_of_them_is_asked() -> None:
    there = Servers(info=[[info("one")]], started=[[standing()]])
    assert (await there.servers.ask(LOOK, 5)).state == "waiting"
    assert (await there.servers.ask(LOOK, 5)).state == "waiting"
    assert there.asked == ["info desk", "started desk.one", "started desk.one"]


@pytest.mark.parametrize("body", [b"", b"[", b"[" * 100_000], ids=["too large", "cut", "deep"])
async def test_a_server_whose_answer_cannot_be_read_is_an_error_of_the_call(body: bytes) -> None:
    there = Servers(info=[[info("one"), body]], started=[[standing()]])
    with pytest.raises(InvalidResult, match="the answer of a server cannot be read") as caught:
        await there.servers.ask(LOOK, 5)
    assert (caught.value.executed, caught.value.method) == ("no", "desk.write")
    assert there.asked == ["info desk"]


async def test_a_cancel_goes_to_all_servers() -> None:
    there = Servers(info=[[info("one")]], started=[[standing()]])
    await there.servers.ask(StartedQuestion(ask="cancel", method="desk.write", key="k"), 5)
    assert there.asked == ["info desk", "started desk"]


async def test_where_a_server_is_gone_the_others_are_found_anew() -> None:
    there = Servers(info=[[info("one")], [], [info("two")]], started=[[], [standing()]])
    assert (await there.servers.ask(LOOK, 5)).state == "waiting"
    assert there.asked == [
        *("info desk", "started desk.one", "info desk", "info desk", "started desk.two")
    ]


async def test_if_one_server_cannot_remember_nothing_is_asked() -> None:
    there = Servers(info=[[info("one"), info("old", starts=False)]], started=[[standing()]])
    with pytest.raises(Unimplemented, match=r"desk.write: not all .* \(old\)"):
        await there.servers.ask(LOOK, 5)
    assert there.asked == ["info desk"]


async def test_only_servers_that_have_the_method_are_asked_and_must_remember() -> None:
    older = [info(f"old {n}", starts=False, methods=("read",)) for n in range(9)]
    there = Servers(info=[[*older, info("new", methods=("read", "write"))]], started=[[standing()]])
    assert (await there.servers.ask(LOOK, 5)).state == "waiting"
    assert there.asked == ["info desk", "started desk.new"]


async def test_servers_of_one_method_are_not_those_of_another() -> None:
    there = Servers(
        info=[[info("one", methods=("read",))], [info("two", methods=("write",))]],
        started=[[standing()]],
    )
    await there.servers.ask(StartedQuestion(ask="look", method="desk.read", key="k"), 5)
    await there.servers.ask(LOOK, 5)
    assert there.asked == ["info desk", "started desk.one", "info desk", "started desk.two"]


async def test_a_server_that_has_the_method_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(started_servers, "_ASKED_EVERY", 0.001)
    old, new = info("old", methods=("read",)), info("new", methods=("write",))
    there = Servers(info=[[old], [old, new]], started=[[standing()]])
    assert (await there.servers.ask(LOOK, 5)).state == "waiting"
    assert there.asked == ["info desk", "info desk", "started desk.new"]
    with pytest.raises(NoServer, match=r"none of the servers of 'desk' that are there \(1\) has"):
        await Servers(info=[[old]]).servers.ask(LOOK, 0.01)


async def test_nobody_there_is_an_error_in_time() -> None:
    with pytest.raises(NoServer, match="there is no server"):
        await Servers(info=[[]]).servers.ask(LOOK, 0.01)
    silent = Servers(info=[[info("one")]], started=[[standing()], []])
    await silent.servers.ask(LOOK, 5)
    with pytest.raises(NoServer, match="can they reach their store of keys"):
        await silent.servers.ask(LOOK, 0.01)
    assert await silent.servers.ask_at("two", LOOK) is None


async def test_an_error_names_the_method_and_not_the_server_that_was_asked() -> None:
    there = Servers(info=[[info("one")]], started=[[standing()]])
    await there.servers.ask(LOOK, 5)
    there.closed = ConnectionLost("not sent", executed="no", method="desk.one")
    with pytest.raises(ConnectionLost, match="not sent") as caught:
        await there.servers.ask(LOOK, 5)
    assert caught.value.method == "desk.write"


async def test_a_look_at_the_server_that_runs_a_call_tells_nothing_of_it_if_it_fails() -> None:
    there = Servers(
        info=[[info("one")]],
        started=[[standing("running", runs_at="two")], [standing("refused")]],
    )
    with pytest.raises(Busy) as caught:
        await there.handle().peek()
    assert caught.value.executed == "maybe"


@pytest.mark.parametrize(("body", "error"), [(standing("refused"), Busy), (b"\xc1", InvalidResult)])
async def test_an_answer_that_is_of_no_use_is_an_error(body: bytes, error: type) -> None:
    with pytest.raises(error):
        await Servers(info=[[info("one")]], started=[[body]]).servers.ask(LOOK, 5)


async def test_a_handle_reads_what_is_done_and_waits_for_the_rest() -> None:
    there = Servers(
        info=[[info("one")]], started=[[standing()], [standing("running")], [standing("done")]]
    )
    assert await there.handle() == 7
    assert await there.handle().result(timeout=0) == 7
    with pytest.raises(InvalidArgument, match="no call was started with the key 'k'"):
        await Servers(info=[[info("one")]], started=[[standing("unknown")]]).handle()
    with pytest.raises(DeadlineExceeded, match="it goes on"):
        await Servers(info=[[info("one")]], started=[[standing()]]).handle().result(timeout=0)


@pytest.mark.parametrize(
    ("info_of", "body", "error"),
    [
        (info("old", starts=False), standing(), Unimplemented),
        (info("one"), b"\xc1", InvalidResult),
        (info("one"), standing("unknown"), InvalidArgument),
    ],
)
async def test_who_is_not_told_how_a_started_call_stands_does_not_hear_that_it_did_not_run(
    info_of: bytes, body: bytes, error: type[CallError]
) -> None:
    there = Servers(info=[[info_of]], started=[[body]])
    with pytest.raises(error) as caught:
        await there.handle()
    assert (caught.value.executed, caught.value.method) == ("maybe", "desk.write")


async def test_a_handle_waits_for_servers_and_for_their_store() -> None:
    there = Servers(info=[[info("one")]], started=[[standing("refused")], [], [standing("done")]])
    assert await there.handle().result(timeout=5) == 7


async def test_peek_asks_the_server_that_runs_the_call_how_far_it_is() -> None:
    running = standing("running", runs_at="two")
    there = Servers(
        info=[[info("one")]],
        started=[[running], [standing("running", instance="two", runs_at="two", text="page 4")]],
    )
    status = await there.handle().peek()
    assert (status.state, status.server) == ("running", "two")
    assert status.progress is not None
    assert status.progress.text == "page 4"
    assert there.asked[-1] == "started desk.two"
    gone = Servers(info=[[info("one")]], started=[[running], []])
    assert await gone.handle().peek() == CallStatus(state="running", server="two")
    unknown = Servers(info=[[info("one")]], started=[[standing("unknown")]])
    assert await unknown.handle().peek() == CallStatus(state="not found")
