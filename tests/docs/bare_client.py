"""A client written from docs/protocol.md alone, on pika: nothing of Leveret is imported here."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import pika
from pika.exceptions import NackError, UnroutableError

SPARE = 0.2
"""Seconds after its deadline for which a call still waits for the broker's or the server's word."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call ended; `code` is "" for a result."""

    code: str = ""
    executed: str = "yes"
    where: str = ""
    message: str = ""
    type: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def value(self) -> Any:
        """The result of a call in JSON."""
        assert not self.code, f"the call failed: {self}"
        return json.loads(self.body)


class BareClient:
    """One channel, one reply queue, calls by name."""

    def __init__(self, url: str, name: str = "") -> None:
        self.name = name
        self.ignored = 0
        self.accepted: list[str] = []
        self.user = unquote(urlsplit(url).username or "guest")
        self.reply_queue = f"leveret.reply.{self.user}.{secrets.token_urlsafe(16)}"
        self._pending: dict[str, Outcome | None] = {}
        self._without_waiting: set[str] = set()
        self.answers: list[dict[str, Any]] = []
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self.connection.channel()
        self._channel.confirm_delivery()
        self._channel.queue_declare(self.reply_queue, durable=True, arguments={"x-expires": 60_000})
        self._channel.basic_consume(self.reply_queue, self._on_message, auto_ack=True)

    def close(self) -> None:
        self._channel.queue_delete(self.reply_queue)
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- calls --------------------------------------------------------------------------------

    def call(self, key: str, arguments: dict[str, Any], **options: Any) -> Outcome:
        """One call with a JSON body, to its end; the options are those of `send` and `wait`."""
        timeout = options.get("timeout", 5.0)
        call_id = self.send(key, json.dumps(arguments).encode(), **options)
        return self.wait(call_id, timeout)

    def send(
        self,
        key: str,
        body: bytes,
        *,
        timeout: float = 5.0,
        content_type: str = "application/json",
        unless_busy: bool = False,
        metadata: dict[str, str] | None = None,
        priority: int | None = None,
        key_of_its_own: str | None = None,
        resent: bool = False,
        attempt: int = 0,
    ) -> str:
        """Send a request; returns the call id. `attempt` is what only servers should say."""
        call_id = secrets.token_urlsafe(12)
        self._pending[call_id] = None  # before it is published
        if unless_busy:
            self._without_waiting.add(call_id)
        milliseconds = max(int(timeout * 1000), 1)
        headers: dict[str, Any] = {
            "CC": [self.reply_queue],
            "deadline": int(time.time() * 1000) + milliseconds,
        }
        if metadata:
            headers["metadata"] = metadata
        if key_of_its_own is not None:
            headers["idempotency-key"] = key_of_its_own
        if resent:
            headers["resent"] = True
        if attempt:
            headers["attempt"] = attempt
        try:
            self._channel.basic_publish(
                "leveret",
                key,
                body,
                pika.BasicProperties(
                    content_type=content_type,
                    headers=headers,
                    priority=priority,
                    correlation_id=call_id,
                    reply_to=self.reply_queue,
                    expiration="0" if unless_busy else str(milliseconds),
                    type="call",
                    user_id=self.user,
                    app_id=self.name or None,
                ),
                mandatory=True,
            )
        except UnroutableError:
            self._end(call_id, Outcome(code="UNIMPLEMENTED", executed="no"))
        except NackError:
            self._end(call_id, Outcome(code="RESOURCE_EXHAUSTED", executed="no"))
        return call_id

    def wait(self, call_id: str, timeout: float) -> Outcome:
        """The call's outcome; at the latest a little after its deadline."""
        self._until(lambda: self._pending[call_id] is not None, timeout + SPARE)
        outcome = self._pending.pop(call_id)
        self._without_waiting.discard(call_id)
        if outcome is None and call_id in self.accepted:
            return Outcome(code="DEADLINE_EXCEEDED", executed="yes", where="handler")
        return outcome or Outcome(code="DEADLINE_EXCEEDED", executed="maybe", where="unknown")

    def give_up(self, call_id: str) -> None:
        """Forget a call, without a word to anybody."""
        del self._pending[call_id]

    def cancel(self, key: str, call_id: str, timeout: float = 5.0) -> None:
        """Tell the servers that nobody waits for this call."""
        self._tell(key.partition(".")[0], "cancel", call_id, str(int(timeout * 1000)))

    def ask_after(self, service: str, call_ids: list[str]) -> None:
        """Ask the servers of a service what became of these calls."""
        self._tell(service, "ask", None, body=json.dumps(call_ids).encode())

    def _tell(
        self,
        key: str,
        kind: str,
        call_id: str | None,
        expiration: str | None = None,
        body: bytes = b"",
    ) -> None:
        self._channel.basic_publish(
            "leveret.control",
            key,
            body,
            pika.BasicProperties(
                type=kind,
                correlation_id=call_id,
                reply_to=self.reply_queue,
                expiration=expiration,
            ),
        )

    def ask(self, kind: str, key: str = "all", body: bytes = b"") -> dict[str, Any]:
        """The first answer to a question about servers."""
        self.answers.clear()
        self._channel.basic_publish(
            "leveret.control",
            key,
            body,
            pika.BasicProperties(type=kind, correlation_id="ask", reply_to=self.reply_queue),
        )
        self._until(lambda: bool(self.answers), 10)
        assert self.answers, f"no answer to {kind}"
        return self.answers[0]

    def look(self, key: str) -> tuple[int, int]:
        """How many requests wait for a method, and how many servers listen."""
        channel = self.connection.channel()
        found = channel.queue_declare(f"leveret.{key}", passive=True).method
        channel.close()
        return found.message_count, found.consumer_count

    def listen(self, seconds: float) -> None:
        """Take what comes, for so long."""
        self._until(lambda: False, seconds)

    def _until(self, true: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not true() and (left := end - time.monotonic()) > 0:
            self.connection.process_data_events(min(left, 0.05))

    # -- what comes ---------------------------------------------------------------------------

    def _on_message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        call_id = properties.correlation_id
        if call_id == "ask":
            assert (properties.type, properties.content_type) == ("result", "application/json")
            self.answers.append(json.loads(body))
        elif properties.type == "claim":
            waits = call_id in self._pending and self._pending[call_id] is None
            if waits:
                self.accepted.append(call_id)
            self._tell(properties.reply_to, "go" if waits else "cancel", call_id)
        elif self._pending.get(call_id, self) is not None:
            self.ignored += 1  # late, a duplicate, or of no call of ours
        elif properties.type == "accepted":
            self.accepted.append(call_id)
        elif properties.type == "call":
            reason = properties.headers["x-death"][0]["reason"]
            if reason == "maxlen" and properties.headers.get("handed-back"):
                return  # a copy; its server has the request
            self._end(call_id, self._bounced(call_id, reason, method))
        elif properties.type == "error":
            self._end(call_id, _failed(properties, body))
        else:
            assert properties.type == "result", f"a reply of the type {properties.type}"
            self._end(
                call_id,
                Outcome(
                    body=body,
                    content_type=properties.content_type,
                    metadata=_metadata(properties),
                ),
            )

    def _bounced(self, call_id: str, reason: str, method: Any) -> Outcome:
        executed = "maybe" if call_id in self.accepted else "no"
        if reason == "expired" and call_id in self._without_waiting:
            _, consumers = self.look(method.routing_key)
            code = "RESOURCE_EXHAUSTED" if consumers else "UNAVAILABLE"
            return Outcome(code=code, executed=executed)
        if reason == "expired":
            return Outcome(code="DEADLINE_EXCEEDED", executed=executed, where="queue")
        if reason == "maxlen":
            return Outcome(code="RESOURCE_EXHAUSTED", executed="no")
        return Outcome(code="ABORTED", executed="maybe", message=reason)

    def _end(self, call_id: str, outcome: Outcome) -> None:
        self._pending[call_id] = outcome


def _failed(properties: Any, body: bytes) -> Outcome:
    assert properties.content_type == "application/json"
    error = json.loads(body)
    return Outcome(
        code=error["code"],
        message=error["message"],
        executed=error.get("executed", "maybe"),
        type=error.get("type", ""),
        where=error.get("where", "unknown") if error["code"] == "DEADLINE_EXCEEDED" else "",
        data=error.get("data", {}),
        body=body,
        content_type=properties.content_type,
        metadata=_metadata(properties),
    )


def _metadata(properties: Any) -> dict[str, str]:
    return dict((properties.headers or {}).get("metadata", {}))
