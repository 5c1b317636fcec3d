"""Bytes that are nearly right: what Hypothesis makes of the seeds."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st

FEW = settings(max_examples=100, deadline=None, derandomize=True)
"""The same examples in every run; atheris is for those that nobody has seen yet."""

_TELLING = (b"\x00", b"\xff", b"\xce", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"F", b'"', b"{")


@st.composite
def spoiled(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with some bytes changed, added, left out, or taken from another seed."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(start + 8, len(data))))
        put = draw(st.sampled_from(_TELLING) | st.binary(max_size=8))
        data = data[:start] + put + data[stop:]
    if draw(st.integers(0, 3)) == 0:
        other = draw(st.sampled_from(seeds))
        data = data[: draw(st.integers(0, len(data)))] + other[draw(st.integers(0, len(other))) :]
    return data
