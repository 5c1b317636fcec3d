"""A report of progress is a record of what its handler said, and of no more."""

from __future__ import annotations

import msgspec
import pytest

from leveret.contract import Progress


def test_what_a_handler_does_not_say_does_not_travel() -> None:
    assert msgspec.json.encode(Progress()) == b"{}"
    assert msgspec.json.encode(Progress(fraction=0.0)) == b'{"fraction":0.0}'
    assert msgspec.json.encode(Progress(text="page 4")) == b'{"text":"page 4"}'


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Progress().fraction = 0.5  # type: ignore[misc]
