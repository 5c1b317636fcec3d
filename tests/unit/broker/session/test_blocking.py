from __future__ import annotations

from leveret.amqp.events import Ack
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.properties import Properties
from leveret.broker.session.blocking import Blocking
from leveret.broker.session.received import Published

PUBLISHED = Published(1, "", "q", False, False, Properties(), b"\0\0", b"", 0)


class Blocked:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.reading = True
        self.blocking = Blocking(self._tell, self._read)

    def _tell(self, method: AMQPMethod) -> None:
        self.told.append(method.name)

    def _read(self, wanted: bool) -> None:
        self.reading = wanted


def test_the_first_publish_blocks_and_waits() -> None:
    blocked = Blocked()
    assert blocked.blocking.holds(PUBLISHED)
    assert (blocked.told, blocked.reading) == (["connection.blocked"], False)


def test_all_that_comes_after_it_waits_too_and_is_told_once() -> None:
    blocked = Blocked()
    for event in (PUBLISHED, Ack(1, 1, False), PUBLISHED):
        assert blocked.blocking.holds(event)
    assert blocked.told == ["connection.blocked"]


def test_a_client_that_only_consumes_is_never_blocked() -> None:
    blocked = Blocked()
    assert not blocked.blocking.holds(Ack(1, 1, False))
    assert (blocked.told, blocked.reading) == ([], True)
    assert not blocked.blocking.release()
    assert blocked.told == []


def test_a_blocked_client_is_told_that_it_may_go_on() -> None:
    blocked = Blocked()
    blocked.blocking.holds(PUBLISHED)
    assert blocked.blocking.release()
    assert not blocked.blocking.blocked
    assert blocked.told == ["connection.blocked", "connection.unblocked"]
