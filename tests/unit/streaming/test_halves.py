"""Both halves of a stream over a line that loses, repeats and cuts: every item, once, in order."""

from __future__ import annotations

import random
from collections import deque

import pytest

from leveret.streaming import ReceivingHalf, SendingHalf, SendingState
from leveret.streaming.credit import Credit
from leveret.streaming.receiving import Act

ITEMS = 200


def size_of(number: int) -> int:
    """Bytes of an item's body."""
    return number * 7 % 30


class Scene:
    """A sender, a receiver, and what is on its way between them: in order, and lost at times."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        window = self.random.choice([1, 2, 3, 8, 64])
        self.sender: SendingHalf[bytes] = SendingHalf(upto=window, size=50)
        self.receiver = ReceivingHalf(window, 50)
        self.there: deque[bytes] = deque()
        self.back: deque[Credit] = deque()
        self.waiting: deque[int] = deque()
        self.taken: list[int] = []
        self.ends = 0
        self.clock = 0.0

    def now(self) -> float:
        """Sometimes the receiver speaks soon after, sometimes not."""
        self.clock += self.random.choice([0.001, 1.0])
        return self.clock

    def send(self) -> None:
        sender = self.sender
        if sender.state is not SendingState.OPEN:
            return
        if sender.number == ITEMS:
            sender.end(b"end 200")
            self.there.append(b"end 200")
        elif sender.may_send:
            first, size = sender.number + 1, 0
            for _ in range(self.random.choice([1, 1, 2, 5])):
                if self.may_send():
                    sender.count(size_of(sender.number + 1))
                    size += size_of(sender.number)
            frames = b"items %d %d" % (first, sender.number + 1 - first)
            sender.keep(frames, size, sender.number + 1 - first)
            self.there.append(frames)

    def may_send(self) -> bool:
        return self.sender.may_send and self.sender.number < ITEMS

    def arrive(self) -> None:
        if not self.there:
            return
        word, first, *count = self.there.popleft().split()
        number = int(first)
        numbers = [number]
        if word == b"items":
            act, had = self.receiver.items(number, int(count[0]))
            numbers = list(range(number + had, number + int(count[0])))
        else:
            act = self.receiver.end(number)
        assert act is not Act.BREAK
        self.ends += act is Act.FINISH
        if act is Act.TAKE:
            self.waiting += numbers
        elif act is not Act.DROP:
            self.back.append(self.receiver.credit(self.now()))

    def take(self) -> None:
        if self.waiting:
            number = self.waiting.popleft()
            self.taken.append(number)
            if self.receiver.took(size_of(number)):
                self.back.append(self.receiver.credit(self.now()))

    def hear(self) -> None:
        if self.back:
            self.there.extend(self.sender.credit(self.back.popleft()))

    def cut(self) -> None:
        """Cut the line at times; each side that was cut off, or hears nothing, says what it has."""
        if self.random.random() < 0.05:
            for way in (self.there, self.back):
                for _ in range(self.random.randrange(len(way) + 1)):
                    way.pop()
        elif self.there or self.back:
            return
        self.there.extend(self.sender.unacknowledged())
        self.back.append(self.receiver.credit(self.now(), again=True))


@pytest.mark.parametrize("seed", range(12))
def test_all_items_arrive_once_and_in_order(seed: int) -> None:
    scene = Scene(seed)
    moves = scene.send, scene.arrive, scene.take, scene.hear, scene.cut

    for _ in range(100_000):
        scene.random.choice(moves)()
        if scene.sender.state is SendingState.DONE and not scene.waiting:
            break

    assert scene.sender.state is SendingState.DONE
    assert scene.taken == list(range(1, ITEMS + 1))
    assert scene.ends == 1
