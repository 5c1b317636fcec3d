from __future__ import annotations

from leveret.broker.session.batch import Batch


def test_what_is_due_is_done_once() -> None:
    batch = Batch()
    done: list[str] = []
    batch.confirms.append(lambda: done.append("confirm"))
    batch.cancels.append(lambda: done.append("cancel"))
    batch.writes.append(lambda: done.append("write"))
    for _ in range(2):
        batch.send_cancels()
        batch.send_confirms()
        batch.write()
    assert done == ["cancel", "confirm", "write"]


def test_what_a_write_causes_waits_for_the_next() -> None:
    batch = Batch()
    done: list[str] = []
    batch.writes.append(lambda: batch.writes.append(lambda: done.append("second")))
    batch.write()
    assert (done, len(batch.writes)) == ([], 1)
    batch.write()
    assert done == ["second"]
