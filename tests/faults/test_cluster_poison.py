"""Requests in a quorum queue that kill each of their servers: RabbitMQ counts the deliveries."""

from __future__ import annotations

from typing import Final

import pytest

import leveret
from leveret import MaybeExecuted
from leveret.server.calls.intake import MAX_REDELIVERIES
from tests.behaviour.crashing import crash
from tests.behaviour.patience import at_once, until
from tests.faults.cluster_scene import Replicated, declare
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle

_TIMEOUT: Final = 30.0
_FOR_EVER: Final = 60.0


@pytest.mark.parametrize(
    ("idempotent", "most"), [(True, MAX_REDELIVERIES + 1), (False, 1)], ids=["idempotent", "other"]
)
async def test_a_request_whose_servers_all_die_is_given_up(
    idempotent: bool, most: int, rabbitmq_url: str, oracle: Oracle, diary: Diary
) -> None:
    await declare(rabbitmq_url, diary, (Replicated,))
    async with leveret.connect(rabbitmq_url) as client:
        poison = oracle.begin(
            client,
            idempotent=idempotent,
            timeout=_TIMEOUT,
            service=Replicated,
            seconds=_FOR_EVER,
            kept=False,
            options={"wait_for_server": True},
        )
        for run in range(1, most + 1):
            async with (
                leveret.connect(rabbitmq_url, reconnect=False) as mortal,
                mortal.serving(Replicated(diary), grace=0),
            ):
                await until(lambda: _runs(diary) == run, "another server takes it")  # noqa: B023
                crash(mortal)
                oracle.faults += 1
        async with (
            leveret.connect(rabbitmq_url) as host,
            host.serving(Replicated(diary), grace=0),
            at_once(),
        ):
            call = await poison
            assert isinstance(call.error, MaybeExecuted), call
            assert call.error.executed == "maybe"
            assert _runs(diary) == most
            # The others are served as ever.
            for kind in (True, False):
                other = await oracle.call(
                    client, idempotent=kind, timeout=_TIMEOUT, service=Replicated
                )
                assert other.error is None, other
    print(await oracle.fair())


def _runs(diary: Diary) -> int:
    return sum(len(entry.began) for entry in diary.read().values())
