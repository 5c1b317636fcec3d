"""A question takes the answers that have its name, and knows when nobody is there to give one."""

from __future__ import annotations

import asyncio

from leveret.client.calls.inquiries import Inquiries, Inquiry


class Scene:
    """Inquiries, and what they sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str, float, bytes]] = []
        self.waited: list[tuple[bool, str, float]] = []
        self.inquiries = Inquiries(
            ask=lambda *question: self.sent.append(question), ready=self._ready
        )

    async def _ready(self, inquiry: Inquiry, timeout: float) -> float:
        self.waited.append((inquiry.wait_for_connection, inquiry.route.key, timeout))
        return timeout / 2


async def test_an_answer_is_for_the_question_of_its_name() -> None:
    scene = Scene()
    with (
        scene.inquiries.open("info", "echo") as one,
        scene.inquiries.open("ping", "all", wait_for_connection=False) as two,
    ):
        assert await one.ask(8.0) == 4.0
        assert await two.ask(2.0) == 1.0
        assert scene.waited == [(True, "echo", 8.0), (False, "all", 2.0)]
        (word, key, name, seconds, _), (other_word, _, other, _, _) = scene.sent
        assert (word, key, seconds, other_word) == ("info", "echo", 1.0, "ping")
        assert name != other
        assert scene.inquiries.answered(name, b"1")
        assert not scene.inquiries.answered("another", b"2")
        assert await one.news(60)
        assert not await one.news(0)
        assert (one.answers, two.answers) == ([b"1"], [])
    assert not scene.inquiries.answered(name, b"late")
    assert not scene.inquiries.unbound(name)
    assert one.answers == [b"1"]


async def test_a_question_hears_that_nobody_listens_until_it_is_asked_again() -> None:
    scene = Scene()
    with scene.inquiries.open("info", "echo") as inquiry:
        await inquiry.ask(1.0)
        news = asyncio.create_task(inquiry.news(60))
        assert scene.inquiries.unbound(scene.sent[0][2])
        assert await news
        assert inquiry.is_unbound
        await inquiry.ask(1.0)
        assert not inquiry.is_unbound


async def test_a_question_takes_a_hundred_answers() -> None:
    scene = Scene()
    with scene.inquiries.open("info", "echo") as inquiry:
        await inquiry.ask(1.0)
        for number in range(200):
            assert scene.inquiries.answered(scene.sent[0][2], b"%d" % number)
        assert len(inquiry.answers) == 100
        assert not await inquiry.news(60)
