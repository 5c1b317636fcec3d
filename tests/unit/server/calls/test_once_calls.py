"""What a request's key is called in the store."""

from __future__ import annotations

from msgspec import structs

from leveret.once import MemoryOnce
from leveret.server.calls.once_calls import OnceCalls
from tests.unit.server.calls.making import SPECS, request


def keys(name: str = "pay") -> OnceCalls:
    return OnceCalls(MemoryOnce(), SPECS[name], "server", lambda: 0.0)


def test_a_method_with_keys_of_its_own_has_one_for_each_stage_of_a_pipe() -> None:
    assert keys().key(request("1"), "ann") == "desk.pay ann replies/1"
    stage = structs.replace(request("1"), stage=2)
    assert keys().key(stage, "ann") == "desk.pay ann replies/1/2"
    assert keys("work").key(stage, "ann") is None
    one_way = structs.replace(request("1"), reply_to=None)
    assert keys().key(one_way, "ann") == "desk.pay ann /1"
    assert keys().key(structs.replace(one_way, call_id=""), "ann") is None


def test_users_whom_nobody_can_verify_do_not_share_keys() -> None:
    found = set()
    for published_by, behalf in (("red", "ann"), ("red", "bob"), ("blue", "ann"), ("", "ann")):
        stage = structs.replace(
            request("1"), stage=2, user=published_by, on_behalf_of=behalf, idempotency_key="k/2"
        )
        found.add(keys().key(stage, ""))
    assert len(found) == 4
    assert keys().key(structs.replace(request("1"), idempotency_key="k/2"), "red") not in found
