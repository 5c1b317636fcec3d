"""A server written from docs/protocol.md alone, on pika: nothing of Leveret is imported here."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import pika


class DeclaredError(Exception):
    """An error of a method's own."""

    def __init__(self, code: str, message: str, **data: Any) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


@dataclass(kw_only=True)
class Method:
    """One method: parameters by name with their types, and what it does in a thread."""

    handler: Callable[..., Any]
    parameters: dict[str, type] = field(default_factory=dict)
    idempotent: bool = False
    concurrency: int = 10
    timeout: float = 10.0
    arguments: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the request queue."""


@dataclass(eq=False)
class Request:
    """One delivery, until it is acknowledged."""

    key: str
    tag: int
    properties: Any
    body: bytes
    until: float
    """Its deadline, on the monotonic clock."""
    answered: bool = False
    accepted: bool = False


class BareServer:
    """Serves one service from a thread of its own; JSON bodies only."""

    def __init__(self, url: str, service: str, methods: dict[str, Method]) -> None:
        self.service = service
        self.user = unquote(urlsplit(url).username or "guest")
        self.methods = methods
        self.instance = secrets.token_hex(4)
        self.controlled: list[tuple[str, Any]] = []
        """The control messages that came: type and properties."""
        self.running: dict[tuple[str, str], Request] = {}
        self._claimed: dict[tuple[str, str], Request] = {}
        self._old: dict[str, int] = {}
        self._cancelled: set[tuple[str, str]] = set()
        self._replied: deque[tuple[Request, str, bytes]] = deque(maxlen=1000)
        self._records: dict[tuple[str, str, str], tuple[str, Any]] = {}
        """By method, user and key: this server's own, which no other one sees."""
        self._tags: dict[str, str] = {}
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channels = {name: self.connection.channel() for name in methods}
        self._control = self.connection.channel()
        self._declare()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.do(self._stop)
        self._thread.join()

    def do(self, what: Callable[[], None]) -> None:
        """Have the server's thread do something, and wait until it is done."""
        done = threading.Event()

        def work() -> None:
            what()
            done.set()

        self.connection.add_callback_threadsafe(work)
        assert done.wait(10), "the server's thread is stuck"

    # -- topology -----------------------------------------------------------------------------

    def _declare(self) -> None:
        self._control.exchange_declare("leveret", "direct", durable=True)
        self._control.exchange_declare("leveret.control", "topic", durable=True)
        for name, method in self.methods.items():
            key, queue = f"{self.service}.{name}", f"leveret.{self.service}.{name}"
            arguments = {"x-dead-letter-exchange": "", **method.arguments}
            channel = self._channels[name]
            declared = channel.queue_declare(queue, durable=True, arguments=arguments)
            self._old[name] = declared.method.message_count
            channel.queue_bind(queue, "leveret", key)
            channel.basic_qos(prefetch_count=method.concurrency)
        queue = self._control.queue_declare("", exclusive=True).method.queue
        for key in ("all", self.service, f"{self.service}.{self.instance}"):
            self._control.queue_bind(queue, "leveret.control", key)
        self._control.basic_consume(queue, self._on_control, auto_ack=True)
        for name, channel in self._channels.items():
            self._tags[name] = channel.basic_consume(
                f"leveret.{self.service}.{name}",
                lambda ch, method, properties, body, name=name: self._on_request(
                    name, method, properties, body
                ),
            )

    def _serve(self) -> None:
        while self.connection.is_open:
            self.connection.process_data_events(0.05)

    def _stop(self) -> None:
        self.connection.close()

    # -- requests -----------------------------------------------------------------------------

    def _on_request(self, name: str, delivery: Any, properties: Any, body: bytes) -> None:
        method = self.methods[name]
        left = _time_left(properties, method.timeout)
        until = time.monotonic() + left
        request = Request(name, delivery.delivery_tag, properties, body, until)
        old = self._old[name] > 0
        self._old[name] -= old
        if delivery.redelivered and self._again(request, method, left):
            return
        if left <= 0:
            self._fail(request, "DEADLINE_EXCEEDED", "too late", where="queue", executed="no")
        elif (properties.reply_to, properties.correlation_id) in self._cancelled:
            self._fail(request, "CANCELLED", "cancelled before it came", executed="no")
        elif old and properties.reply_to:
            self._claim(request, left)
        else:
            self._run(request)

    def _again(self, request: Request, method: Method, left: float) -> bool:
        """Deal with a request that was delivered before; False if it is to be run."""
        headers = dict(request.properties.headers or {})
        times = headers.get("x-delivery-count", headers.get("attempt", 0) + 1)
        doubtful = _key_of(request) is None or _key_of(request) not in self._records
        if not method.idempotent and doubtful:
            self._fail(request, "ABORTED", "another server died with it", executed="maybe")
        elif method.idempotent and times > 5:
            answer = {"code": "ABORTED", "message": "servers died with it", "executed": "maybe"}
            self._answer(request, "error", answer)
            self._channels[request.key].basic_nack(request.tag, requeue=False)
        elif method.idempotent and "x-delivery-count" not in headers and left > 0:
            self._publish_again(request, {**headers, "attempt": times}, left)
            self._acknowledge(request)
        else:
            return False
        return True

    def _publish_again(self, request: Request, headers: dict[str, Any], left: float) -> None:
        properties = request.properties
        headers.pop("on-behalf-of", None)
        if properties.user_id and properties.user_id != self.user:
            headers["on-behalf-of"] = properties.user_id
        properties.headers = headers
        properties.user_id = self.user if properties.user_id else None
        if properties.expiration != "0":
            properties.expiration = str(int(left * 1000))
        self._channels[request.key].basic_publish(
            "leveret", f"{self.service}.{request.key}", request.body, properties
        )

    def _claim(self, request: Request, left: float) -> None:
        """Ask whether anybody still waits for a request that was there before this server."""
        key = request.properties.reply_to, request.properties.correlation_id
        self._claimed[key] = request
        self._publish(request, "claim", b"")
        if self.methods[request.key].idempotent and left > 0.5:
            self.connection.call_later(0.5, lambda: self._go(key))
        else:
            self.connection.call_later(min(left, 2.0), lambda: self._drop(key))

    def _go(self, key: tuple[str, str]) -> None:
        request = self._claimed.pop(key, None)
        if request is not None:
            self._run(request)

    def _drop(self, key: tuple[str, str]) -> None:
        request = self._claimed.pop(key, None)
        if request is not None:
            self._fail(request, "CANCELLED", "nobody waits for it", executed="no")

    def _run(self, request: Request) -> None:
        method = self.methods[request.key]
        own = _key_of(request)
        if own in self._records:
            self._answer(request, *self._records[own])
            self._acknowledge(request)
            return
        if own is not None and request.properties.headers.get("resent") and not method.idempotent:
            self._fail(request, "ABORTED", "another server may have run it", executed="maybe")
            return
        try:
            arguments = json.loads(request.body)
            wrong = set(arguments) ^ set(method.parameters)
            assert not wrong, f"these arguments are missing or unknown: {sorted(wrong)}"
            for parameter, kind in method.parameters.items():
                assert type(arguments[parameter]) is kind, f"{parameter} is no {kind.__name__}"
        except (AssertionError, TypeError, ValueError) as error:
            self._fail(request, "INVALID_ARGUMENT", str(error), executed="no")
            return
        key = request.properties.reply_to, request.properties.correlation_id
        self.running[key] = request
        # A thread cannot be stopped: at the deadline its caller is told, and it runs on.
        left = max(request.until - time.monotonic(), 0)
        timer = self.connection.call_later(left, lambda: self._expire(request))
        self.connection.call_later(0.25, lambda: self._accept(request))

        def work() -> None:
            ended = _outcome(method.handler, arguments)
            # Where the server was closed meanwhile, nobody can be answered any more.
            with contextlib.suppress(pika.exceptions.ConnectionWrongStateError):
                self.connection.add_callback_threadsafe(lambda: finish(*ended))

        def finish(kind: str, answer: Any) -> None:
            self.connection.remove_timeout(timer)
            del self.running[key]
            if own is not None:
                self._records[own] = kind, answer
            self._answer(request, kind, answer)
            self._acknowledge(request)

        threading.Thread(target=work, daemon=True).start()

    def _expire(self, request: Request) -> None:
        error = {"code": "DEADLINE_EXCEEDED", "message": "too slow", "where": "handler"}
        self._answer(request, "error", error | {"executed": "yes"})

    def _accept(self, request: Request) -> None:
        """Tell the caller that its handler runs."""
        if not (request.answered or request.accepted):
            request.accepted = True
            self._publish(request, "accepted", b"")

    def _fail(self, request: Request, code: str, message: str, **fields: Any) -> None:
        self._answer(request, "error", {"code": code, "message": message, **fields})
        self._acknowledge(request)

    def _answer(self, request: Request, kind: str, answer: Any) -> None:
        """One answer per request, and before its acknowledgement."""
        if request.answered or not request.properties.reply_to:
            return
        request.answered = True
        body = json.dumps(answer).encode()
        self._replied.append((request, kind, body))
        self._publish(request, kind, body)

    def _publish(self, request: Request, kind: str, body: bytes) -> None:
        self._channels[request.key].basic_publish(
            "",
            request.properties.reply_to,
            body,
            pika.BasicProperties(
                content_type="application/json",
                correlation_id=request.properties.correlation_id,
                type=kind,
                headers=_echoed(request.properties) if kind in ("result", "error") else None,
                reply_to=f"{self.service}.{self.instance}" if kind == "claim" else None,
            ),
        )

    def _acknowledge(self, request: Request) -> None:
        self._channels[request.key].basic_ack(request.tag)

    # -- drain --------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take no more requests; those that run go on.

        What still arrives pika gives back by a nack; it has no way to hand it back as new.
        """
        for request in self.running.values():
            self._accept(request)
        for name, channel in self._channels.items():
            channel.basic_cancel(self._tags[name])

    # -- control ------------------------------------------------------------------------------

    def _on_control(self, channel: Any, delivery: Any, properties: Any, body: bytes) -> None:
        self.controlled.append((properties.type, properties))
        if properties.type == "ask":
            self._tell_what_became(properties.reply_to, set(json.loads(body)))
            return
        key = properties.reply_to, properties.correlation_id
        if properties.type == "go":
            self._go(key)
        elif properties.type == "cancel" and key in self._claimed:
            self._drop(key)
        elif properties.type == "cancel":
            request = self.running.get(key)
            if request is None:
                self._cancelled.add(key)
            else:
                error = {"code": "CANCELLED", "message": "cancelled", "executed": "maybe"}
                self._answer(request, "error", error)
        elif properties.type == "ping":
            answer = {"instance": self.instance, "name": "bare", "services": [self.service]}
            channel.basic_publish(
                "",
                properties.reply_to,
                json.dumps(answer).encode(),
                pika.BasicProperties(
                    content_type="application/json",
                    correlation_id=properties.correlation_id,
                    type="result",
                ),
            )

    def _tell_what_became(self, reply_to: str, call_ids: set[str]) -> None:
        for request in self.running.values():
            properties = request.properties
            if properties.reply_to == reply_to and properties.correlation_id in call_ids:
                request.accepted = True
                self._publish(request, "accepted", b"")
        for request, kind, body in self._replied:
            properties = request.properties
            if properties.reply_to == reply_to and properties.correlation_id in call_ids:
                self._publish(request, kind, body)


def _key_of(request: Request) -> tuple[str, str, str] | None:
    """The method's, the user's and the caller's own: all three make the key."""
    properties = request.properties
    given = (properties.headers or {}).get("idempotency-key")
    return None if given is None else (request.key, properties.user_id or "", given)


def _time_left(properties: Any, timeout: float) -> float:
    """The table of docs/protocol.md, row by row."""
    deadline = (properties.headers or {}).get("deadline")
    expiration = properties.expiration or ""
    budget = int(expiration) / 1000 if expiration.isdecimal() else 0
    if isinstance(deadline, int):
        left = deadline / 1000 - time.time()
        return min(left, budget) if budget else left
    return budget or timeout


def _outcome(handler: Callable[..., Any], arguments: dict[str, Any]) -> tuple[str, Any]:
    try:
        return "result", handler(**arguments)
    except DeclaredError as error:
        return "error", {
            "code": error.code,
            "message": str(error),
            "executed": "yes",
            "data": error.data,
        }
    except Exception as error:
        return "error", {
            "code": "INTERNAL",
            "message": str(error),
            "executed": "yes",
            "type": type(error).__name__,
        }


def _echoed(properties: Any) -> dict[str, Any] | None:
    """This server sends back the metadata it got."""
    metadata = (properties.headers or {}).get("metadata")
    return {"metadata": metadata} if metadata else None
