"""What a verb takes: a method of a remote, and nothing else."""

from __future__ import annotations

import pytest

import leveret
from leveret import InvalidArgument, Service, method
from leveret.client.calls.request import Request
from leveret.client.invocations import Invocations
from leveret.client.options import CallOptions
from leveret.client.policy.call_policy import Policies
from leveret.client.remote import remote_of
from leveret.client.remote_method import RemoteMethod
from leveret.client.verbs.remote_methods import remote_method_of, startable
from tests.behaviour.services import Echo


class Shop(Service):
    @method
    async def pack(self, order: str) -> int:
        return len(order)


def _nobody() -> Request:
    raise AssertionError("nothing is sent")


def test_a_method_of_a_remote_is_given_back() -> None:
    invocations = Invocations(_nobody, (), Policies())  # type: ignore[arg-type]
    pack = remote_of(Shop, invocations, CallOptions()).pack
    assert isinstance(pack, RemoteMethod)
    assert remote_method_of(pack, "send") is pack
    assert repr(pack.one_way()) == "<remote method shop.pack>"


@pytest.mark.parametrize("given", [Shop().pack, Shop, "shop.pack", None, len])
def test_anything_else_is_refused_with_what_to_give(given: object) -> None:
    with pytest.raises(InvalidArgument, match=r"start takes a method of a remote, as in rabbit"):
        remote_method_of(given, "start")


async def test_a_pipe_can_be_started_and_nothing_else_is_done_with_it() -> None:
    async with leveret.connect("embedded://") as rabbit:
        echo = rabbit.remote(Echo).echo
        pipe = rabbit.pipe(echo, echo)
        assert startable(pipe, "start") is pipe
        assert startable(echo, "start") is echo
        for given in (pipe, None):
            with pytest.raises(InvalidArgument, match="takes a method of a remote"):
                remote_method_of(given, "send")
        with pytest.raises(InvalidArgument, match="takes a method of a remote"):
            startable(None, "start")
        with pytest.raises(InvalidArgument, match="at most 252 bytes"):
            rabbit.start(pipe, key="k" * 253)
