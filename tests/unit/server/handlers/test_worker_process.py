"""A worker process whose server was killed ends as quietly as one whose server has closed it."""

from __future__ import annotations

import multiprocessing
import os
import pickle

import pytest

from leveret import Service, method
from leveret.server.handlers import worker_process
from tests.behaviour.patience import PATIENCE


class Sums(Service):
    @method(executor="process")
    def double(self, number: int) -> int:
        return 2 * number


@pytest.mark.parametrize("is_read", [True, False])
def test_a_worker_ends_in_order_when_its_server_is_gone(*, is_read: bool) -> None:
    context = multiprocessing.get_context("spawn")
    own, its = context.Pipe()
    service = pickle.dumps((Sums(), "double"))
    process = context.Process(
        target=worker_process._work, args=(its, service, os.getpid()), daemon=True
    )
    process.start()
    its.close()
    assert own.poll(3 * PATIENCE), "the worker does not say that it is ready"
    if is_read:
        assert own.recv_bytes()
    own.close()  # what was not read makes that a reset of the pipe
    process.join(3 * PATIENCE)
    assert process.exitcode == 0
