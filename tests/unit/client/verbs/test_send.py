"""`send` makes a method send: it takes the same arguments, and is refused for what it is not."""

from __future__ import annotations

import pytest

from leveret import InvalidArgument
from leveret.client.verbs.send import send


def test_what_is_no_method_of_a_remote_cannot_be_sent() -> None:
    async def local() -> None: ...

    with pytest.raises(InvalidArgument, match=r"rabbit\.send\(rabbit\.remote\(Service\)\.method\)"):
        send(local, {})
