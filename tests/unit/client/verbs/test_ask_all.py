"""What `ask_all` refuses, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest

from leveret import (
    Answers,
    InvalidArgument,
    InvalidResult,
    OutgoingCall,
    RemoteError,
    Service,
    Unimplemented,
    method,
)
from leveret.client.calls.asking import Question
from leveret.client.calls.gathering import Gathering
from leveret.client.calls.route import Route
from leveret.client.invocations import Invocations
from leveret.client.middleware import CallNext
from leveret.client.options import CallOptions
from leveret.client.policy.call_policy import Policies
from leveret.client.remote import remote_of
from leveret.client.streams.opening import StreamSender
from leveret.client.verbs.ask_all import ask_all
from leveret.wire.failures import encode_failure
from leveret.wire.message import Reply


class Cache(Service):
    @method(idempotent=True, timeout=7)
    async def drop(self, key: str) -> int: ...  # type: ignore[empty-body]

    @method
    async def count(self) -> int: ...  # type: ignore[empty-body]


def reply(body: bytes | None = b"1", **fields: Any) -> Reply:
    given: dict[str, Any] = {
        "is_error": False,
        "content_type": "application/json",
        "body": body,
        "body_size": 0 if body is None else len(body),
    }
    return Reply(**given | fields)


class Client:
    """Answers as it was told."""

    def __init__(self, **replies: Reply) -> None:
        self.replies = replies
        self.unable: set[str] = set()
        self.expected = len(replies)
        self.asked: list[tuple[Question, float]] = []
        self.takes_from = asyncio.get_running_loop()

    def route(self, key: str, _dialect: object, _label: str = "") -> Route:
        return Route(key, "leveret." + key, "cache")

    async def ask_all(self, question: Question, timeout: float) -> Gathering:
        self.asked.append((question, timeout))
        gathering = Gathering(self.expected, 0.0, 1.0)
        for instance in self.unable:
            gathering.pinged(instance, able=False, now=0.0)
        for instance, said in self.replies.items():
            gathering.replied(instance, said, 0.0)
        return gathering


def remote(client: Client, *middleware: Any, **options: Any) -> Any:
    here = cast("StreamSender", client)
    invocations = Invocations(lambda: here, middleware, Policies())
    return remote_of(Cache, invocations, CallOptions().merged(options))


def asking(client: Client, given: Any, **options: Any) -> Any:
    options = {"timeout": None, "stall": 2.0, "allow_effects": False, **options}
    return ask_all(given, lambda: client, {}, **options)


async def test_it_takes_methods_that_may_run_everywhere() -> None:
    client = Client()
    with pytest.raises(InvalidArgument, match=r"rabbit\.ask_all\(rabbit\.remote"):
        asking(client, Cache().drop)
    with pytest.raises(InvalidArgument, match="allow_effects=True"):
        asking(client, remote(client).count)
    asking(client, remote(client).count, allow_effects=True)
    for stall in (0, -1, float("inf"), "1", True, 10**400):
        with pytest.raises(InvalidArgument, match="stall"):
            asking(client, remote(client).drop, stall=stall)
    with pytest.raises(InvalidArgument, match="allow_effects must be True or False; got 'no'"):
        asking(client, remote(client).count, allow_effects="no")
    for name, value in (("idempotency_key", "k"), ("if_busy", "fail")):
        with pytest.raises(InvalidArgument, match=f"does not take {name}"):
            asking(client, remote(client, **{name: value}).drop)
    with pytest.raises(InvalidArgument):
        await asking(client, remote(client).drop)(7)
    with pytest.raises(InvalidArgument):
        await asking(client, remote(client).drop)()
    assert client.asked == []


async def test_answers_are_read_each_by_itself() -> None:
    client = Client(
        a=reply(b"1"),
        b=reply(b"\x02", content_type="application/msgpack"),
        c=reply(encode_failure(RemoteError("no", type_name="KeyError")), is_error=True),
        d=reply(b'"x"'),
        e=reply(None, body_size=5000),
        f=reply(problem="it is compressed"),
        g=reply(content_type="text/xml"),
    )
    client.unable = {"h"}
    client.expected = 9
    answers = await asking(client, remote(client).drop)("k")
    assert isinstance(answers, Answers)
    assert answers.results == {"a": 1, "b": 2}
    assert {name: type(error) for name, error in answers.errors.items()} == {
        "c": RemoteError,
        **dict.fromkeys("defg", InvalidResult),
        "h": Unimplemented,
    }
    assert answers.errors["h"].executed == "no"
    ((question, timeout),) = client.asked
    assert {error.call_id for error in answers.errors.values()} == {question.id}
    assert (answers.missing, answers.missing_instances) == (1, ())
    assert (question.method, question.body, timeout) == ("drop", b'{"key":"k"}', 7)


async def test_options_of_the_remote_and_middleware_hold() -> None:
    async def adds(call: OutgoingCall, call_next: CallNext) -> Any:
        call.metadata["trace"] = "1"
        answers = await call_next(call)
        assert isinstance(answers, Answers)
        return answers

    client = Client(a=reply())
    heard: list[Any] = []
    drop = remote(client, adds, metadata={"a": "b"}, on_progress=heard.append).drop
    assert (await asking(client, drop, timeout=0.5)(key="k")).results == {"a": 1}
    ((question, timeout),) = client.asked
    assert question.headers == {"metadata": {"a": "b", "trace": "1"}, "progress": True}
    assert question.listener is not None
    assert timeout == 0.5


def test_answers_are_a_record() -> None:
    answers: Answers[int] = Answers(results={"a": 1}, errors={}, missing=0)
    assert answers == Answers(results={"a": 1}, errors={}, missing=0, missing_instances=())
    assert msgspec.to_builtins(answers)["results"] == {"a": 1}
