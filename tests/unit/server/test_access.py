"""The rules of `allow=`: which of them counts, whom a pattern means, and what is no rule."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
from msgspec import structs

from leveret import ContractError, CurrentCall, InvalidArgument, PermissionDenied, Service, method
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.contract import spec_of
from leveret.server.access import Access, Allow, Guard
from leveret.wire.message import Incoming
from leveret.wire.native.headers import ON_BEHALF_OF
from leveret.wire.native.request import read_request


class Orders(Service):
    @method
    async def show(self) -> None: ...

    @method
    async def cancel(self) -> None: ...


class Stock(Service):
    @method
    async def show(self) -> None: ...


SPECS = [spec_of(Orders), spec_of(Stock)]
METHODS = {method.key: method for spec in SPECS for method in spec.methods.values()}


def access(allow: Any = None, trusted: Iterable[str] = (), own_user: str = "server") -> Access:
    made = Access(allow, trusted, SPECS)
    made.check_own_user(own_user)
    return made


def request(properties: Properties) -> Incoming:
    delivery = Delivery(1, "", 1, False, "leveret", "orders.show", properties, b"{}", 2)
    return read_request(delivery, 0.0, 1.0)


def call(key: str, user: str) -> CurrentCall:
    return CurrentCall(request(Properties(user_id=user or None)), method=key, deadline=0.0)


def guard_of(allow: Allow, key: str = "orders.show") -> Guard:
    guard = access(allow).guard(METHODS[key])
    assert guard is not None
    return guard


def may(allow: Allow, key: str, user: str) -> bool:
    guard = access(allow).guard(METHODS[key])
    if guard is None:
        return True
    try:
        guard(call(key, user))
    except PermissionDenied:
        return False
    return True


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("orders.cancel", {"admin"}),
        ("orders.show", {"shop-1", "shop-2"}),
        ("stock.show", {"admin", "auditor"}),
    ],
)
def test_the_most_specific_rule_counts_alone(key: str, allowed: set[str]) -> None:
    rules: Allow = {
        "*": ["admin", "auditor"],
        "orders": ["shop-*"],
        "orders.cancel": ["admin"],
    }
    users = {"admin", "auditor", "shop-1", "shop-2", "guest", ""}
    assert {user for user in users if may(rules, key, user)} == allowed


def test_a_method_that_no_rule_names_is_open() -> None:
    assert access({"orders.cancel": ["admin"]}).guard(METHODS["orders.show"]) is None
    assert access({"orders": ["admin"]}).guard(METHODS["stock.show"]) is None
    assert access().guard(METHODS["orders.show"]) is None


def test_none_opens_what_a_wider_rule_closes() -> None:
    rules: Allow = {"*": ["admin"], "orders.show": None}
    assert access(rules).guard(METHODS["orders.show"]) is None
    assert not may(rules, "orders.cancel", "guest")


@pytest.mark.parametrize(
    ("pattern", "users"),
    [
        ("shop", {"shop"}),
        ("shop-*", {"shop-", "shop-1", "shop-1.eu"}),
        ("shop-?", {"shop-1"}),
        ("shop-[0-9]", {"shop-1"}),
        ("*", {"shop", "shop-", "shop-1", "shop-1.eu", "Shop", "x\nshop", "shop\n"}),
        ("[*]", set()),
    ],
)
def test_patterns_match_whole_names_with_their_case(pattern: str, users: set[str]) -> None:
    everybody = {"shop", "shop-", "shop-1", "shop-1.eu", "Shop", "x\nshop", "shop\n", ""}
    assert {user for user in everybody if may({"*": [pattern]}, "orders.show", user)} == users


def test_an_empty_list_is_nobody() -> None:
    assert not may({"orders": []}, "orders.show", "admin")
    assert not may({"orders": iter(())}, "orders.show", "admin")


def test_whoever_is_nobody_is_named_by_no_rule() -> None:
    guard = guard_of({"*": ["*"]})
    with pytest.raises(PermissionDenied, match="does not say which user") as caught:
        guard(call("orders.show", ""))
    assert caught.value.executed == "no"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"order": ["admin"]}, "nothing of that name is served; there are .*orders.cancel"),
        ({"orders.delete": ["admin"]}, "nothing of that name is served"),
        ({"orders.*": ["admin"]}, "nothing of that name is served"),
        ({"orders": "admin"}, "takes a list of users' names"),
        ({"orders": 7}, "takes a list of users' names"),
        ({"orders": ["admin", None]}, "must be names or patterns"),
        ({"orders": [""]}, "must be names or patterns"),
        (["admin"], "takes a mapping or a function"),
        ("admin", "takes a mapping or a function"),
    ],
)
def test_what_is_no_rule_is_refused_at_the_start(rules: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        access(rules)


def test_the_names_of_trusted_servers_are_a_list() -> None:
    with pytest.raises(ContractError, match="trusted_servers is 'blue'"):
        access(trusted="blue")


def test_rules_need_to_know_the_servers_own_user() -> None:
    with pytest.raises(InvalidArgument, match=r"connect\(user_id=...\)"):
        access({"*": ["admin"]}, own_user="")
    access(lambda call: True, own_user="")


# -- a function of one's own -----------------------------------------------------------------------


def test_a_function_is_asked_for_each_call() -> None:
    asked: list[tuple[str, str]] = []

    def allow(call: CurrentCall) -> bool:
        asked.append((call.method, call.user))
        return call.user == "admin"

    assert may(allow, "orders.show", "admin")
    assert not may(allow, "stock.show", "guest")
    assert asked == [("orders.show", "admin"), ("stock.show", "guest")]


@pytest.mark.parametrize("answer", [1, "yes", None, object(), [True]])
def test_only_true_is_a_yes(answer: Any) -> None:
    assert not may(lambda call: answer, "orders.show", "admin")


def test_a_function_that_fails_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    def allow(call: CurrentCall) -> bool:
        raise KeyError(call.user)

    assert not may(allow, "orders.show", "admin")
    assert "allow= failed for orders.show, which is refused" in caplog.text


def test_a_function_may_say_why() -> None:
    def allow(call: CurrentCall) -> bool:
        raise PermissionDenied("closed on Sundays")

    guard = guard_of(allow)
    with pytest.raises(PermissionDenied, match="closed on Sundays"):
        guard(call("orders.show", "admin"))


def test_a_coroutine_would_always_look_like_a_yes_and_is_refused() -> None:
    async def allow(call: CurrentCall) -> bool:
        return True

    with pytest.raises(ContractError, match="plain function"):
        access(allow)
    hidden: Any = partial(allow)
    assert not may(partial(lambda ask, call: ask(call), hidden), "orders.show", "admin")


# -- on whose behalf -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_id", "header", "user"),
    [
        ("server", "alice", "alice"),
        ("blue-1", "alice", "alice"),
        ("mallory", "alice", "mallory"),
        ("", "alice", ""),
        ("server", "", ""),
        ("server", None, "server"),
        ("server", 7, "server"),
        ("server", b"\xff", "server"),
    ],
)
def test_only_servers_are_believed(user_id: str, header: Any, user: str) -> None:
    properties = Properties(user_id=user_id or None, headers={ON_BEHALF_OF: header})
    assert access(trusted=["blue-*"]).user_of(request(properties), "server") == user


@pytest.mark.parametrize(
    ("user_id", "header", "user"),
    [("blue-1", "alice", "alice"), ("red-1", "alice", ""), ("red-1", None, "red-1")],
)
def test_a_stage_of_a_pipe_is_never_that_of_the_server_which_passed_it_on(
    user_id: str, header: str | None, user: str
) -> None:
    """A caller could have that act with rights of its own."""
    properties = Properties(user_id=user_id, headers={ON_BEHALF_OF: header})
    passed = structs.replace(request(properties), stage=2)
    assert access(trusted=["blue-*"]).user_of(passed, "server") == user


def test_a_server_that_does_not_know_its_own_user_believes_nobody() -> None:
    properties = Properties(headers={ON_BEHALF_OF: "admin"})
    assert access(own_user="").user_of(request(properties), "") == ""


# -- the log ---------------------------------------------------------------------------------------


def test_a_refusal_is_logged_once_for_each_user_and_method(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = guard_of({"*": []})
    for user in ("alice", "alice", "bob", "alice", ""):
        with pytest.raises(PermissionDenied):
            guard(call("orders.show", user))
    assert [record.getMessage() for record in caplog.records] == [
        "refused: user 'alice' may not call orders.show (logged once)",
        "refused: user 'bob' may not call orders.show (logged once)",
        "refused: a caller without a user may not call orders.show (logged once)",
    ]


def test_the_log_of_refusals_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    guard = guard_of({"*": []})
    caplog.set_level(logging.WARNING)
    for number in range(1_100):
        with pytest.raises(PermissionDenied):
            guard(call("orders.show", f"user-{number}"))
    assert len(caplog.records) == 1_000


def test_operators_are_the_servers_own_user_and_those_that_are_named() -> None:
    access = Access(None, (), [], ["ops-*"])
    assert access.operates("server", "server")
    assert access.operates("ops-1", "server")
    assert not access.operates("other", "server")
    assert not access.operates("", "")  # nobody knows who asks
    with pytest.raises(ContractError, match="operators is 'ops'"):
        Access(None, (), [], "ops")
