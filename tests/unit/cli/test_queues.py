"""Which queues nobody serves."""

from __future__ import annotations

from leveret.cli.commands.queues import orphans_of
from leveret.cli.listed_queue import ListedQueue


def queue(name: str, consumers: int | None = 0, messages: int | None = 0) -> ListedQueue:
    return ListedQueue(name=name, consumers=consumers, messages=messages, messages_ready=messages)


def test_orphans_are_queues_of_requests_that_nobody_serves() -> None:
    found = orphans_of(
        [
            queue("leveret.shop.order", 3),
            queue("leveret.shop.order.failed", 0, 2),
            queue("leveret.shop.live"),
            queue("leveret.old.empty"),
            queue("leveret.old.waiting", 0, 7),
            queue("leveret.old.waiting.failed"),
            queue("leveret.not.counted", None, None),
            ListedQueue(name="leveret.old.strong", type="quorum", consumers=0, messages=0),
            ListedQueue(name="leveret.old.mine", exclusive=True, consumers=0, messages=0),
            queue("leveret.reply.client.x"),
            queue("leveret.reply.x"),
            queue("leveret.one"),
            queue("leveret.a-b.c"),
            queue("others.old.one"),
        ],
        ["leveret.shop.live"],
    )
    assert [one.name for one in found] == [
        "leveret.old.waiting",
        "leveret.old.empty",
        "leveret.old.strong",
        "leveret.old.waiting.failed",
    ]
    notes = {one.name: one.note for one in found}
    assert notes["leveret.old.empty"] == notes["leveret.old.waiting.failed"] == ""
    assert "has requests" in notes["leveret.old.waiting"]
    assert "quorum" in notes["leveret.old.strong"]
