"""Publisher confirms against a plain model: a list of what is open, searched from end to end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leveret.amqp.confirms import Confirms
from tests.unit.amqp.strategies import FAST

steps = st.lists(
    st.one_of(
        st.just(("add", 0)),
        st.just(("skip", 0)),
        st.tuples(st.sampled_from(("one", "up to")), st.integers(0, 40)),
    ),
    max_size=60,
)


@FAST
@given(steps)
def test_confirms_settle_what_a_plain_list_settles(steps: list[tuple[str, int]]) -> None:
    confirms: Confirms[str] = Confirms()
    published = 0
    model: list[tuple[int, str]] = []
    for step, number in steps:
        if step == "add":
            published += 1
            assert confirms.add(f"note {published}") == published
            model.append((published, f"note {published}"))
        elif step == "skip":
            published += 1
            confirms.skip()
        else:
            multiple = step == "up to"
            # With `multiple`, 0 is "all so far" (section 1.8.3.13).
            settled = [
                (n, note)
                for n, note in model
                if n == number or (multiple and (n < number or number == 0))
            ]
            assert confirms.settle(number, multiple) == [note for _, note in settled]
            model = [item for item in model if item not in settled]
        assert confirms.open() == [note for _, note in model]
        assert len(confirms) == len(model)


def test_a_confirm_comes_once() -> None:
    confirms: Confirms[str] = Confirms()
    confirms.add("a")
    assert confirms.settle(1, multiple=False) == ["a"]
    assert confirms.settle(1, multiple=False) == []
    assert confirms.settle(1, multiple=True) == []


def test_what_was_confirmed_out_of_order_is_not_confirmed_again_by_all_up_to() -> None:
    confirms: Confirms[str] = Confirms()
    for note in "abcd":
        confirms.add(note)
    assert confirms.settle(2, multiple=False) == ["b"]
    assert confirms.settle(3, multiple=True) == ["a", "c"]
    assert confirms.open() == ["d"]


def test_a_confirm_of_what_was_never_published_settles_nothing() -> None:
    confirms: Confirms[str] = Confirms()
    confirms.add("a")
    assert confirms.settle(7, multiple=False) == []
    assert confirms.settle(7, multiple=True) == ["a"]
    confirms.add("b")
    assert confirms.open() == ["b"]


def test_a_publish_that_nobody_waits_for_counts_all_the_same() -> None:
    confirms: Confirms[str] = Confirms()
    confirms.skip()
    assert confirms.add("a") == 2
    assert confirms.settle(1, multiple=False) == []
    assert confirms.settle(2, multiple=False) == ["a"]


def test_a_million_skipped_numbers_do_not_slow_down_one_confirm() -> None:
    """Settling goes by what is open, not by the numbers between: this would take minutes else."""
    confirms: Confirms[str] = Confirms()
    for _ in range(100):
        for _ in range(10_000):
            confirms.skip()
        confirms.add("a")
        assert confirms.settle(10**9, multiple=True) == ["a"]
    assert len(confirms) == 0
