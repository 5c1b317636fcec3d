"""One call over a client that only notes what it is given: encoded, sent, awaited, decoded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest
from msgspec import structs

from leveret import (
    Breaker,
    Busy,
    CallError,
    ConnectionLost,
    DeadlineExceeded,
    Hedge,
    InvalidArgument,
    InvalidResult,
    NoServer,
    Retry,
    Service,
    Unimplemented,
    method,
)
from leveret.body_parts import Body
from leveret.client.calls.life import Pending
from leveret.client.calls.request import Request
from leveret.client.calls.route import Route
from leveret.client.calls.sinks import Sink
from leveret.client.calls.upload_channel import UploadChannel
from leveret.client.invocation import Invocation, Terms
from leveret.client.invocations import Invocations, typed_codec
from leveret.client.middleware import CallNext, OutgoingCall
from leveret.client.options import CallOptions
from leveret.client.plain import PlainRemote
from leveret.client.policy.call_policy import Policies
from leveret.client.remote import remote_of
from leveret.client.remote_method import RemoteMethod
from leveret.client.streams.opening import StreamSender
from leveret.contract import spec_of
from leveret.wire.dialect import ClientChannel, ClientDialect
from leveret.wire.failures import encode_failure
from leveret.wire.message import Reply, ReplyAddress
from leveret.wire.native.dialect import NativeClient


class Words(Service):
    @method(timeout=7)
    async def shout(self, text: str) -> str:
        return text.upper()

    @method(timeout=7, once=True)
    async def print_once(self, text: str) -> str:
        return text

    @method(timeout=7, idempotent=True)
    async def look(self) -> None: ...


WORDS = spec_of(Words)
CHANNEL = ClientChannel(
    number=1,
    frame_max=4096,
    reply_to=ReplyAddress(exchange="", key="me"),
    user="ann",
    name="",
)


def reply(body: bytes | None = b'"HI"', **other: Any) -> Reply:
    how: dict[str, Any] = {"is_error": False, "content_type": "application/json", "body_size": 4}
    return Reply(**{**how, "body": body, **other})


def refusal(error: CallError) -> Reply:
    return reply(encode_failure(error), is_error=True)


class Ledger:
    """A client whose replies are written down before the calls."""

    def __init__(self, *answers: Reply | CallError | None) -> None:
        self.held = False
        self.takes_from: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self.follower: StreamSender | None = self
        self.max_message_size = 1000
        self.channel = CHANNEL
        self.sent: list[tuple[Request, Body, float, bytes]] = []
        self.abandoned: list[Pending] = []
        self.doubtful = False
        self.ids: list[str] = []
        self._numbers = count(1)
        self._answers = list(answers)

    def route(self, key: str, dialect: ClientDialect, label: str = "") -> Route:
        return Route(label or key, dialect.queue(key), dialect.control_key(key))

    @property
    def uploads(self) -> UploadChannel:
        raise AssertionError("no call of these tests uploads")

    def here(self) -> StreamSender:
        if self.follower is None:
            raise RuntimeError("another event loop")
        return self.follower

    async def ready(self, request: Request, timeout: float) -> float:
        self.held = False
        return timeout - 1

    def new_id(self) -> str:
        return f"call-{next(self._numbers)}"

    def send(
        self,
        request: Request,
        body: Body,
        timeout: float,
        sink: Sink,
        headers: bytes = b"",
        ids: Iterator[str] | None = None,
    ) -> Pending:
        self.sent.append((request, body, timeout, headers))
        call_id = self.new_id() if ids is None else next(ids)
        self.ids.append(call_id)
        call = Pending(request, call_id, 0.0, timeout, sink, None, headers)
        if self.doubtful:
            call.doubt()
        match self._answers.pop(0):
            case Reply() as answer:
                sink.set_result(answer)
            case CallError() as error:
                sink.set_exception(error)
        return call

    def abandon(self, call: Pending) -> None:
        self.abandoned.append(call)


def invocations(client: Ledger, *middleware: Any, **policies: Any) -> Invocations:
    made = Invocations(client.here, middleware, Policies(**policies))
    made.new_id = client.new_id
    return made


def remote(made: Invocations, name: str, options: CallOptions | None = None) -> RemoteMethod:
    options = options or CallOptions()
    spec = WORDS.methods[name]
    made_by = made, typed_codec
    return RemoteMethod(made.of(spec, options), spec, options, made_by, made.middleware)


def shout(client: Ledger, **options: Any) -> RemoteMethod:
    return remote(invocations(client), "shout", CallOptions().merged(options))


async def test_a_call_is_encoded_sent_awaited_and_decoded() -> None:
    client = Ledger(reply())
    assert await shout(client)("hi") == "HI"
    ((request, body, timeout, headers),) = client.sent
    assert (request.key, body, timeout, headers) == ("words.shout", b'{"text":"hi"}', 7, b"")
    assert client.abandoned == []


async def test_arguments_that_do_not_fit_are_refused_unsent_once_the_call_is_awaited() -> None:
    client = Ledger()
    call = shout(client)("hi", "there")
    with pytest.raises(InvalidArgument) as caught:
        await call
    assert caught.value.method == "words.shout"
    assert client.sent == []


async def test_a_call_waits_until_requests_may_go() -> None:
    client = Ledger(reply())
    client.held = True
    await shout(client)("hi")
    assert client.sent[0][2] == 6


async def test_a_call_that_must_not_wait_asks_each_time_whether_its_request_may_go() -> None:
    client = Ledger(reply())
    await shout(client, if_busy="fail")("hi")
    assert client.sent[0][2] == 6


async def test_a_call_belongs_to_the_loop_of_its_connection() -> None:
    client = Ledger()
    client.follower = None
    with pytest.raises(RuntimeError, match="another event loop"):
        await shout(client)("hi")


async def test_a_client_that_takes_no_calls_is_asked_once_for_the_one_that_does() -> None:
    before, client = Ledger(), Ledger(reply(), reply())
    call = shout(before)
    before.takes_from, before.follower = None, client
    client.channel = structs.replace(CHANNEL, number=2)
    assert await call("hi") == "HI"
    before.follower = None
    assert await call("hi") == "HI"
    assert [request.channel.number for request, *_ in client.sent] == [2, 2]
    assert before.sent == []


async def test_all_attempts_of_a_call_go_by_the_client_of_the_first() -> None:
    client, later = Ledger(NoServer("gone"), reply(b"null")), Ledger(reply(b"null"))
    made = invocations(client, retry=Retry(backoff=0.001))
    call = remote(made, "look")
    invocation = made.of(WORDS.methods["look"], CallOptions())
    send = client.send

    def send_and_follow(*args: Any) -> Pending:
        invocation._sender = later
        return send(*args)

    client.send = send_and_follow  # type: ignore[assignment,method-assign]
    await call()
    assert (len(client.sent), later.sent) == (2, [])
    await call()
    assert (len(client.sent), len(later.sent)) == (2, 1)


async def test_a_cancelled_call_is_abandoned() -> None:
    client = Ledger(None)
    call = asyncio.create_task(shout(client)("hi"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [call.id for call in client.abandoned] == ["call-1"]


async def test_metadata_and_key_travel_as_headers_of_the_call() -> None:
    client = Ledger(reply(), reply())
    await shout(client, metadata={"a": "b"}, idempotency_key="k")("hi")
    dialect = NativeClient()
    assert client.sent[0][3] == dialect.headers(metadata={"a": "b"}, idempotency_key="k")


async def test_what_cannot_be_sent_is_refused_before_the_call() -> None:
    client = Ledger()
    with pytest.raises(InvalidArgument, match="the metadata cannot be sent"):
        shout(client, metadata={"a": "\ud800"})
    with pytest.raises(InvalidArgument, match="priority 3 is more than the 0"):
        shout(client, priority=3)
    with pytest.raises(InvalidArgument, match="text/xml"):
        shout(client, content_type="text/xml")


async def test_reply_metadata_is_handed_over() -> None:
    got: dict[str, str] = {}
    client = Ledger(reply(metadata={"a": "b"}), reply())
    call = shout(client, reply_metadata=got)
    assert await call("hi") == "HI"
    assert await call("hi") == "HI"
    assert got == {"a": "b"}


async def test_an_error_is_raised() -> None:
    body = encode_failure(ConnectionLost("gone", executed="no"))
    client = Ledger(reply(body, is_error=True), reply(encode_failure(NoServer("x")), is_error=True))
    with pytest.raises(CallError, match="gone") as caught:
        await shout(client)("hi")
    assert caught.value.executed == "no"
    client.doubtful = True  # it may be true of one copy of the request only
    with pytest.raises(NoServer) as doubted:
        await shout(client)("hi")
    assert doubted.value.executed == "maybe"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(None, body_size=5000), "takes 5000 bytes, more than the 1000 of max_message_size"),
        (reply(problem="it is compressed"), "it is compressed"),
        (reply(b"7"), "the reply does not fit the contract"),
        (reply(b"\xff"), "the reply does not fit the contract"),
        (reply(b"\xff", content_type="application/msgpack"), "the reply does not fit the contract"),
        (reply(content_type="text/xml"), "text/xml"),
    ],
)
async def test_a_reply_that_cannot_be_read_is_an_invalid_result(answer: Reply, why: str) -> None:
    with pytest.raises(InvalidResult, match=why) as caught:
        await shout(Ledger(answer))("hi")
    assert caught.value.method == "words.shout"


async def test_a_reply_in_another_content_type_is_read() -> None:
    client = Ledger(reply(b"\xa2HI", content_type="application/msgpack"), reply(content_type=None))
    call = shout(client)
    assert await call("hi") == await call("hi") == "HI"


# -- a method whose first server is awaited ----------------------------------------------------


async def test_a_request_is_sent_until_its_first_server_comes_up() -> None:
    client = Ledger(Unimplemented("none"), Unimplemented("none"), reply())
    assert await shout(client, wait_for_server=True)("hi") == "HI"
    assert len(client.sent) == 3
    assert client.sent[0][2] > client.sent[1][2] > client.sent[2][2]
    assert {body for _, body, _, _ in client.sent} == {b'{"text":"hi"}'}


async def test_no_server_in_time_is_a_passed_deadline() -> None:
    missing = Unimplemented("none")
    missing.call_id = "a1"
    with pytest.raises(DeadlineExceeded, match="no server came up in time: none") as caught:
        await shout(Ledger(missing), wait_for_server=True, timeout=0.03)("hi")
    error = caught.value
    assert (error.where, error.executed, error.call_id) == ("queue", "no", "a1")


class HeldOnceSent(Ledger):
    """A client that sends one request, and then no more."""

    def send(self, *args: Any, **kwargs: Any) -> Pending:
        self.held = True
        return super().send(*args, **kwargs)

    async def ready(self, request: Request, timeout: float) -> float:
        error = DeadlineExceeded("not sent", where="client")
        error.attempts = 0
        raise error


async def test_a_request_that_cannot_go_again_was_sent_all_the_same() -> None:
    with pytest.raises(DeadlineExceeded, match="not sent") as caught:
        await shout(HeldOnceSent(Unimplemented("none")), wait_for_server=True, timeout=60)("hi")
    assert caught.value.attempts == 1


async def test_a_method_without_a_queue_fails_at_once_where_nobody_waits() -> None:
    with pytest.raises(Unimplemented):
        await shout(Ledger(Unimplemented("none")))("hi")


async def test_what_only_a_key_keeps_from_running_twice_is_not_sent_under_another() -> None:
    client = Ledger(Unimplemented("none", executed="maybe"))
    options = CallOptions().merged({"wait_for_server": True})
    call = remote(invocations(client), "print_once", options)
    with pytest.raises(Unimplemented):
        await call("hi")


# -- several attempts --------------------------------------------------------------------------


async def test_the_attempts_of_a_call_share_one_key() -> None:
    client = Ledger(NoServer("x"), ConnectionLost("x", executed="maybe"), reply())
    made = invocations(client, retry=Retry(attempts=3, backoff=0))
    assert await remote(made, "print_once")("hi") == "HI"
    headers = [headers for _, _, _, headers in client.sent]
    assert len(set(headers)) == 1
    assert b"idempotency-key" in headers[0]
    assert [b"resent" in request.headers for request, *_ in client.sent] == [False, False, True]


async def test_two_calls_have_two_keys() -> None:
    client = Ledger(reply(), reply())
    made = invocations(client, retry=Retry())
    call = remote(made, "print_once")
    await call("hi")
    await call("hi")
    assert client.sent[0][3] != client.sent[1][3]


async def test_an_idempotent_call_needs_no_key_for_its_attempts() -> None:
    client = Ledger(NoServer("x"), reply(b"null"))
    made = invocations(client, retry=Retry(attempts=2, backoff=0), hedge=Hedge(after=5))
    assert await remote(made, "look")() is None
    assert [headers for _, _, _, headers in client.sent] == [b"", b""]


async def test_a_body_that_is_too_large_is_not_the_services_fault() -> None:
    client = Ledger(NoServer("refused"))
    made = invocations(client, retry=Retry(attempts=3, backoff=0))
    call = remote(made, "shout")
    with pytest.raises(NoServer, match="refused$"):
        await call("x" * 2000)
    assert len(client.sent) == 1


# -- what is shared ----------------------------------------------------------------------------


async def test_options_that_change_no_request_share_an_invocation() -> None:
    made = invocations(Ledger())
    spec = WORDS.methods["shout"]
    plain = made.of(spec, CallOptions())
    alike = CallOptions().merged({"metadata": {"a": "b"}, "timeout": 3.0, "reply_metadata": {}})
    assert made.of(spec, alike) is plain
    for other in (
        {"content_type": "application/msgpack"},
        {"if_busy": "fail"},
        {"wait_for_server": True},
        {"wait_for_connection": False},
        {"idempotency_key": "k"},
        {"retry": Retry()},
    ):
        assert made.of(spec, CallOptions().merged(other)) is not plain
    assert made.of(WORDS.methods["look"], CallOptions()) is not plain


async def test_a_call_with_metadata_of_its_own_needs_no_packer_and_no_codec_of_its_own() -> None:
    client = Ledger(*(reply() for _ in range(3)))
    words = remote_of(Words, invocations(client), CallOptions())
    for number in range(3):
        await words.with_options(metadata={"trace": str(number)}).shout("hi")
    requests = {id(request) for request, *_ in client.sent}
    packers = {id(request.packer) for request, *_ in client.sent}
    assert (len(requests), len(packers)) == (1, 1)
    assert len({headers for *_, headers in client.sent}) == 3


async def test_middleware_that_changes_metadata_needs_no_packer_of_its_own() -> None:
    async def trace(call: OutgoingCall, call_next: CallNext) -> Any:
        call.metadata["trace"] = call.arguments["text"]
        return await call_next(call)

    client = Ledger(reply(), reply())
    call = remote(invocations(client, trace), "shout")
    await call("a")
    await call("b")
    assert client.sent[0][0] is client.sent[1][0]
    assert client.sent[0][3] != client.sent[1][3]


async def test_a_remote_with_another_shape_sends_other_requests() -> None:
    client = Ledger(reply(), reply(b"\xa2HI", content_type="application/msgpack"))
    words = remote_of(Words, invocations(client), CallOptions())
    await words.shout("hi")
    await words.with_options(content_type="application/msgpack", timeout=2).shout("hi")
    assert [request.content_type for request, *_ in client.sent] == [
        "application/json",
        "application/msgpack",
    ]


async def test_a_remote_with_other_options_leaves_the_first_as_it_was() -> None:
    client = Ledger(reply(), reply())
    words = remote_of(Words, invocations(client), CallOptions())
    await words.with_options(metadata={"a": "b"}, timeout=2).shout("hi")
    await words.shout("hi")
    assert [(timeout, bool(headers)) for _, _, timeout, headers in client.sent] == [
        (2, True),
        (7, False),
    ]


# -- middleware --------------------------------------------------------------------------------


async def test_middleware_changes_what_is_sent() -> None:
    async def trace(call: OutgoingCall, call_next: CallNext) -> Any:
        assert (call.method, call.metadata, call.timeout) == ("words.shout", {"a": "b"}, 7)
        call.metadata["trace"] = "1"
        call.arguments["text"] += "!"
        call.timeout = 3.0
        return (await call_next(call)) + "?"

    client = Ledger(reply())
    options = CallOptions().merged({"metadata": {"a": "b"}, "idempotency_key": "k"})
    call = remote(invocations(client, trace), "shout", options)
    assert await call("hi") == "HI?"
    ((_, body, timeout, headers),) = client.sent
    assert (body, timeout) == (b'{"text":"hi!"}', 3.0)
    dialect = NativeClient()
    assert headers == dialect.headers(metadata={"a": "b", "trace": "1"}, idempotency_key="k")


async def test_middleware_that_changes_nothing_changes_nothing() -> None:
    async def look(call: OutgoingCall, call_next: CallNext) -> Any:
        return await call_next(call)

    client = Ledger(reply(), reply())
    options = CallOptions().merged({"metadata": {"a": "b"}})
    await remote(invocations(client, look), "shout", options)("hi")
    await remote(invocations(client), "shout", options)("hi")
    assert client.sent[0][1:] == client.sent[1][1:]


@pytest.mark.parametrize(("name", "value"), [("timeout", 0), ("metadata", {"a": 1})])
async def test_middleware_cannot_send_what_options_refuse(name: str, value: Any) -> None:
    async def spoil(call: OutgoingCall, call_next: CallNext) -> Any:
        setattr(call, name, value)
        return await call_next(call)

    call = remote(invocations(Ledger(), spoil), "shout")
    with pytest.raises(InvalidArgument, match=name):
        await call("hi")


# -- the tutorial's protocol -------------------------------------------------------------------


def plain(made: Invocations, **options: Any) -> PlainRemote[int]:
    return PlainRemote(made, "rpc_queue", int, CallOptions().merged(options))


async def test_a_plain_remote_takes_the_same_way() -> None:
    client = Ledger(reply(b" 42 ", content_type="text/plain"), reply(b"x", is_error=True))
    there = plain(invocations(client), timeout=3)
    assert await there.call(6) == 42
    ((request, body, timeout, headers),) = client.sent
    assert (request.key, body, timeout, headers) == ("rpc_queue", b"6", 2.0, b"")
    with pytest.raises(CallError, match="x") as caught:
        await there.call(6)
    assert caught.value.method == "queue rpc_queue"
    assert caught.value.executed == "maybe"  # the server may have refused it


async def test_an_answer_that_is_not_of_the_type_asked_for_is_shown() -> None:
    there = plain(invocations(Ledger(reply(b"many"))))
    with pytest.raises(InvalidResult, match="the reply b'many' is not text of the type asked for"):
        await there.call(6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metadata": {"a": "b"}}, "no metadata"),
        ({"idempotency_key": "a"}, "no idempotency_key"),
        ({"hedge": 0.1}, "nobody knows whether"),
        ({"if_busy": "fail"}, "drops what it cannot deliver"),
        ({"expires_in": 5}, "expires_in is for one-way requests"),
        ({"idle_timeout": 5}, "idle_timeout is for streams"),
        ({"total_timeout": 5}, "total_timeout is for streams"),
        ({"content_type": "application/json"}, "text/plain"),
        ({"content_type": "what?"}, "text/plain"),
        ({"timeout": 0}, "timeout"),
    ],
)
async def test_a_plain_remote_refuses_what_its_protocol_has_nothing_for(
    options: dict[str, Any], words: str
) -> None:
    there = plain(invocations(Ledger()), content_type="text/plain; charset=utf-8")
    with pytest.raises(InvalidArgument, match=words):
        there.with_options(**options)


@pytest.mark.parametrize("queue", [5, None, b"rpc_queue", "", "q" * 256])
async def test_what_cannot_name_a_queue_is_refused(queue: Any) -> None:
    with pytest.raises(InvalidArgument, match="queue must be text of 1 to 255 bytes; got"):
        PlainRemote(invocations(Ledger()), queue, str, CallOptions())


async def test_what_is_no_type_of_an_answer_is_refused() -> None:
    for result in (5, list[int]):
        wrong: Any = result
        with pytest.raises(InvalidArgument):
            PlainRemote(invocations(Ledger()), "rpc_queue", wrong, CallOptions())


async def test_a_plain_remote_has_the_other_options() -> None:
    busy = Busy("full")
    client = Ledger(busy, reply(b"42"))
    there = plain(invocations(client, breaker=Breaker())).with_options(
        retry=Retry(backoff=0), timeout=3, priority=2, wait_for_server=True
    )
    assert await there.call(6) == 42
    request = client.sent[1][0]
    assert (request.priority, request.wait_for_server, request.repeatable) == (2, True, False)


async def test_middleware_is_around_plain_calls_too() -> None:
    async def shorten(call: OutgoingCall, call_next: CallNext) -> Any:
        assert (call.method, call.metadata) == ("queue rpc_queue", {})
        call.arguments["body"] += "0"
        call.timeout = 2.0
        return await call_next(call)

    async def spoil(call: OutgoingCall, call_next: CallNext) -> Any:
        call.metadata["a"] = "b"
        return await call_next(call)

    client = Ledger(reply(b"42"))
    assert await plain(invocations(client, shorten)).call(6) == 42
    assert client.sent[0][1:3] == (b"60", 1.0)
    with pytest.raises(InvalidArgument, match="no metadata"):
        await plain(invocations(client, spoil)).call(6)


async def test_a_client_is_all_that_a_call_needs_of_it() -> None:
    client: StreamSender = Ledger()
    assert isinstance(client, Ledger)
    assert Invocation.__slots__
    assert Terms(timeout=1.0).headers == b""


# -- the id of a call ----------------------------------------------------------------------------


async def test_an_error_names_the_call_whose_request_was_sent() -> None:
    text = reply(b'"HI"', content_type="text/html")
    client = Ledger(refusal(Busy("full")), reply(b"7"), reply(None, body_size=9), text)
    for expected in (Busy, InvalidResult, InvalidResult, InvalidResult):
        with pytest.raises(expected) as caught:
            await shout(client)("hi")
        assert caught.value.call_id == client.ids[-1]
    assert str(caught.value).endswith(" (call call-4)")
    with pytest.raises(InvalidArgument) as unsent:
        await shout(client)(7)
    assert unsent.value.call_id == ""


async def test_middleware_knows_the_id_before_the_request_is_sent() -> None:
    seen: list[str] = []

    async def note(call: OutgoingCall, call_next: CallNext) -> Any:
        seen.append(call.id)
        return await call_next(call)

    client = Ledger(reply(), reply())
    await remote(invocations(client, note), "shout")("hi")
    await PlainRemote(invocations(client, note), "queue", str, CallOptions()).call("hi")
    assert seen == client.ids == ["call-1", "call-2"]


async def test_all_requests_of_a_call_have_ids_that_begin_with_its_own() -> None:
    async def twice(call: OutgoingCall, call_next: CallNext) -> Any:
        await call_next(call)
        return await call_next(msgspec.structs.replace(call, timeout=3))

    client = Ledger(*(refusal(Busy("full")) for _ in range(2)), reply(), reply())
    made = invocations(client, twice, retry=Retry(attempts=3, backoff=0.001))
    await remote(made, "shout")("hi")
    assert client.ids == ["call-1", "call-1.2", "call-1.3", "call-1.4"]


async def test_retries_without_middleware_share_an_id_as_well() -> None:
    client = Ledger(refusal(Busy("full")), refusal(Busy("full")))
    made = invocations(client, retry=Retry(attempts=2, backoff=0.001))
    with pytest.raises(Busy) as caught:
        await remote(made, "shout")("hi")
    assert client.ids == ["call-1", "call-1.2"]
    assert caught.value.call_id == "call-1.2"


async def test_a_call_that_a_middleware_made_up_has_an_id_of_its_own() -> None:
    async def invent(call: OutgoingCall, call_next: CallNext) -> Any:
        for _ in range(2):
            await call_next(OutgoingCall(call.method, call.arguments, {}, 1, "call-0"))

    client = Ledger(reply(), reply())
    await remote(invocations(client, invent), "shout")("hi")
    assert client.ids == ["call-2", "call-3"]
