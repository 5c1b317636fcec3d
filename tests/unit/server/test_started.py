"""What a server says of started calls, from a store alone: no broker, no handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from leveret import Service, method
from leveret.contract import MethodSpec, Progress
from leveret.once import MemoryOnce, OnceUnavailable, Recorded, SqliteOnce
from leveret.server.calls.once_calls import SAME, mark_of, name_in_store, was_begun_by
from leveret.server.started import StartedCalls
from leveret.wire.control import AboutStarted
from leveret.wire.failures import decode_failure
from leveret.wire.message import ReplyAddress
from leveret.wire.started import Standing, StartedQuestion, read_standing

HASH = "0" * 64
REPLY = Recorded(kind="result", content_type="application/json", body=b"7")
ASKER = ReplyAddress(exchange="", key="asker")


class Desk(Service):
    @method
    async def write(self, n: int) -> int:
        return n

    @method(idempotent=True)
    async def read(self, n: int) -> int:
        return n


class Method:
    """What serves a method, and has one started call or none."""

    def __init__(self, spec: MethodSpec) -> None:
        self.spec = spec
        self.here: str | None = None
        self.cancelled: list[str] = []

    def cancel_started(self, name: str) -> bool:
        self.cancelled.append(name)
        return name == self.here

    def progress_of_started(self, name: str) -> Progress | None:
        return Progress(fraction=0.5, text="half") if name == self.here else None


class Scene:
    def __init__(self, store: SqliteOnce) -> None:
        self.store = store
        specs = Desk.__leveret__.methods.values()
        self.methods = {spec.key: Method(spec) for spec in specs}
        self._answers: dict[str, asyncio.Future[Standing]] = {}
        loop = asyncio.get_running_loop()
        self.calls = StartedCalls(store, "here", self.methods, self._answer, loop)

    def _answer(self, reply_to: ReplyAddress, name: str, body: bytes) -> None:
        assert reply_to == ASKER
        self._answers[name].set_result(read_standing(body))

    def asked(self, question: StartedQuestion, user: str = "guest") -> asyncio.Future[Standing]:
        name = f"question {len(self._answers)}"
        answer = self._answers[name] = asyncio.get_running_loop().create_future()
        self.calls.asked(
            AboutStarted(question=question, user=user, reply_to=ASKER, correlation_id=name)
        )
        return answer

    async def look(
        self, start: str = "", wait: float = 0.0, method: str = "desk.write", user: str = "guest"
    ) -> Standing:
        question = StartedQuestion(ask="look", method=method, key="k", start=start, wait=wait)
        return await self.asked(question, user)

    async def expect(self, start: str, method: str = "desk.write") -> Standing:
        return await self.asked(
            StartedQuestion(ask="expect", method=method, key="k", start=start, keep=60)
        )

    async def withdraw(self, start: str) -> Standing:
        return await self.asked(
            StartedQuestion(ask="withdraw", method="desk.write", key="k", start=start)
        )

    async def cancel(self, method: str = "desk.write") -> Standing:
        return await self.asked(StartedQuestion(ask="cancel", method=method, key="k"))

    async def claim(self, owner: str, *, lease: float = 60, method: str = "desk.write") -> None:
        name = name_in_store(method, "guest", "k")
        await self.store.begin(name, owner=owner, lease=lease, keep=60)

    async def record(
        self, owner: str, *about: str, reply: Recorded = REPLY, method: str = "desk.write"
    ) -> None:
        name = name_in_store(method, "guest", "k", *about)
        await self.store.begin(name, owner=owner, lease=60, keep=60)
        await self.store.finish(name, owner=owner, recorded=reply, keep=60)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with SqliteOnce(tmp_path / "once.db") as store:
        scene = Scene(store)
        yield scene
        await scene.calls.close()


async def test_who_asks_once_it_is_closed_is_not_answered(scene: Scene) -> None:
    await scene.calls.close()
    before = asyncio.all_tasks()
    scene.asked(StartedQuestion(ask="look", method="desk.write", key="k"))
    assert asyncio.all_tasks() == before


async def test_a_call_is_unknown_then_waits_runs_and_is_done(scene: Scene) -> None:
    assert (await scene.look()).state == "unknown"
    assert (await scene.expect("one")).state == "waiting"
    assert (await scene.look()).state == "waiting"
    await scene.claim(f"there.0.{mark_of('one')}.{HASH}")
    running = await scene.look()
    assert (running.state, running.runs_at, running.text) == ("running", "there", "")
    await scene.record(f"there.0.{mark_of('one')}.{HASH}")
    done = await scene.look("one")
    assert (done.state, done.kind, done.body) == ("done", "result", b"7")
    assert (await scene.look(user="another")).state == "unknown"


async def test_what_runs_here_tells_how_far_it_is(scene: Scene) -> None:
    await scene.claim("here.0")
    scene.methods["desk.write"].here = name_in_store("desk.write", "guest", "k")
    standing = await scene.look()
    assert (standing.fraction, standing.text) == (0.5, "half")


async def test_who_waits_is_told_of_the_end_and_of_the_beginning_before_it(scene: Scene) -> None:
    await scene.expect("one")
    waiting = asyncio.create_task(scene.look(wait=25))
    await asyncio.sleep(0)
    await scene.record("there.0")
    assert (await waiting).state == "done"


@pytest.mark.parametrize(("method", "state"), [("write", "done"), ("read", "waiting")])
async def test_a_claim_whose_server_died_is_the_end_unless_the_call_runs_again(
    scene: Scene, method: str, state: str
) -> None:
    await scene.claim("dead.0", lease=1e-6, method=f"desk.{method}")
    standing = await scene.look(method=f"desk.{method}")
    assert standing.state == state
    if state == "done":
        error = msgspec.json.decode(standing.body)
        assert (standing.kind, error["code"]) == ("error", "ABORTED")
        assert error.get("executed", "maybe") == "maybe"


async def test_another_start_with_the_key_is_told_of_its_end_only_once_a_server_compared_it(
    scene: Scene,
) -> None:
    await scene.expect("one")
    await scene.expect("two")
    await scene.record(f"there.0.{mark_of('one')}.{HASH}")
    assert (await scene.look("one")).state == "done"
    assert (await scene.look("two")).state == "waiting"
    same = Recorded(kind=SAME, content_type="", body=b"")
    await scene.record("there.1", "refused", "two", reply=same)
    assert (await scene.look("two")).body == b"7"
    refusal = Recorded(kind="error", content_type="application/json", body=b"{}")
    await scene.record("there.2", "refused", "three", reply=refusal)
    assert (await scene.look("three")).kind == "error"


async def test_a_refusal_is_told_to_all_until_the_call_is_started_anew(scene: Scene) -> None:
    await scene.expect("one")
    refusal = Recorded(kind="error", content_type="application/json", body=b"{}")
    await scene.record("there.0", "refused", "one", reply=refusal)
    assert (await scene.look()).kind == "error"
    await scene.expect("two")
    assert (await scene.look()).state == "waiting"


@pytest.mark.parametrize("is_released", [False, True], ids=["its server died", "it drained"])
async def test_the_refusal_of_one_start_is_not_told_to_who_waits_for_the_other_that_runs_again(
    scene: Scene, is_released: bool
) -> None:
    await scene.expect("one", "desk.read")
    await scene.expect("two", "desk.read")  # its request is the first to reach a server
    owner = f"there.0.{mark_of('two')}.{HASH}"
    await scene.claim(owner, lease=1e-6, method="desk.read")
    refusal = Recorded(kind="error", content_type="application/json", body=b"{}")
    await scene.record("there.1", "refused", "one", reply=refusal, method="desk.read")
    if is_released:
        name = name_in_store("desk.read", "guest", "k")
        await scene.store.release(name, owner=owner)
    assert (await scene.look(method="desk.read")).state == "waiting"
    assert (await scene.look("two", method="desk.read")).state == "waiting"
    assert (await scene.look("one", method="desk.read")).kind == "error"


@pytest.mark.parametrize("start", ["one", "two"])
async def test_a_start_that_is_cancelled_after_its_server_died_has_ended(
    scene: Scene, start: str
) -> None:
    await scene.expect("one", "desk.read")
    await scene.expect("two", "desk.read")
    owner = f"there.0.{mark_of(start)}.{HASH}"
    await scene.claim(owner, lease=1e-6, method="desk.read")
    same = Recorded(kind=SAME, content_type="", body=b"")
    other = "two" if start == "one" else "one"
    await scene.record("there.1", "refused", other, reply=same, method="desk.read")
    assert (await scene.look(method="desk.read")).state == "waiting"
    refusal = Recorded(kind="error", content_type="application/json", body=b"{}")
    await scene.record("there.2", "refused", start, reply=refusal, method="desk.read")
    assert (await scene.look(method="desk.read")).kind == "error"


async def test_a_refusal_is_told_where_the_start_that_has_the_key_was_cancelled_before(
    scene: Scene,
) -> None:
    await scene.expect("two", "desk.read")
    owner = f"there.0.{mark_of('one')}.{HASH}"  # its server died, and then it was cancelled
    await scene.claim(owner, lease=1e-6, method="desk.read")
    assert (await scene.look(method="desk.read")).state == "waiting"
    refusal = Recorded(kind="error", content_type="application/json", body=b"{}")
    await scene.record("there.1", "refused", "two", reply=refusal, method="desk.read")
    assert (await scene.look(method="desk.read")).kind == "error"


async def test_a_start_that_is_cancelled_while_no_server_has_it_ends_its_repetition(
    scene: Scene,
) -> None:
    await scene.expect("one")
    await scene.expect("two")
    same = Recorded(kind=SAME, content_type="", body=b"")
    await scene.record("there.1", "refused", "two", reply=same)
    assert (await scene.look()).state == "waiting"
    refusal = Recorded(kind="error", content_type="application/json", body=b"{}")
    await scene.record("there.2", "refused", "one", reply=refusal)
    assert (await scene.look()).kind == "error"


async def test_where_both_starts_are_refused_that_is_told(scene: Scene) -> None:
    await scene.expect("one")
    await scene.expect("two")
    refusal = Recorded(kind="error", content_type="application/json", body=b"{}")
    for start in ("one", "two"):
        await scene.record(f"there.{start}", "refused", start, reply=refusal)
    assert (await scene.look()).kind == "error"


async def test_a_call_that_is_withdrawn_is_unknown_and_can_be_expected_anew(scene: Scene) -> None:
    await scene.expect("one")
    assert (await scene.withdraw("two")).state == "waiting"
    assert (await scene.withdraw("one")).state == "unknown"
    assert (await scene.expect("two")).state == "waiting"
    assert (await scene.withdraw("two")).state == "unknown"


async def test_a_call_still_waits_if_one_of_two_starts_with_its_key_is_withdrawn(
    scene: Scene,
) -> None:
    await scene.expect("one")
    await scene.expect("two")
    assert (await scene.withdraw("one")).state == "waiting"
    assert (await scene.look()).state == "waiting"


async def test_a_start_that_is_expected_while_another_is_withdrawn_still_waits(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.expect("one")
    release = scene.store.release

    async def release_late(key: str, *, owner: str) -> None:
        await scene.expect("two")
        await release(key, owner=owner)

    monkeypatch.setattr(scene.store, "release", release_late)
    assert (await scene.withdraw("one")).state == "waiting"


async def test_a_cancel_ends_what_is_here_or_what_waits_and_nothing_else(scene: Scene) -> None:
    assert (await scene.cancel()).state == "unknown"
    await scene.expect("one")
    done = await scene.cancel()
    assert msgspec.json.decode(done.body)["code"] == "CANCELLED"
    assert (await scene.look("one")).state == "done"
    other = scene.methods["desk.read"]
    other.here = name_in_store("desk.read", "guest", "k")
    assert (await scene.cancel("desk.read")).runs_at == "here"
    assert other.cancelled == [other.here]


@pytest.mark.parametrize(("method", "executed"), [("write", "no"), ("read", "maybe")])
async def test_a_cancelled_call_of_an_idempotent_method_may_have_run_at_a_server_that_stopped(
    scene: Scene, method: str, executed: str
) -> None:
    key = f"desk.{method}"
    await scene.expect("one", key)
    if method == "read":
        await scene.claim("there.0", method=key)
        name = name_in_store(key, "guest", "k")
        await scene.store.release(name, owner="there.0")
    done = await scene.cancel(key)
    assert decode_failure(done.body, {}, key).executed == executed


async def test_a_store_that_fails_is_told_of(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(_: str) -> None:
        raise OnceUnavailable("it is away")

    monkeypatch.setattr(scene.store, "look", look)
    assert (await scene.look()).state == "refused"


async def test_without_a_store_that_lasts_nobody_is_answered() -> None:
    loop = asyncio.get_running_loop()
    answers: list[object] = []
    spec = Desk.__leveret__.methods["write"]
    calls = StartedCalls(
        MemoryOnce(), "here", {spec.key: Method(spec)}, lambda *a: answers.append(a), loop
    )
    assert not calls.are_taken
    question = StartedQuestion(ask="look", method=spec.key, key="k")
    calls.asked(AboutStarted(question=question, user="", reply_to=ASKER, correlation_id="1"))
    await calls.close()
    assert answers == []


def test_the_owner_of_a_claim_says_whose_it_is() -> None:
    ours = f"there.0.{mark_of('one')}.{HASH}"
    assert was_begun_by(ours, "one")
    assert not was_begun_by(ours, "two")
    assert not was_begun_by(f"there.0.{HASH}", "one")
    assert was_begun_by("there.0", "one")
