from __future__ import annotations

import pytest

from leveret.broker.permissions import Permissions, Rights, User, log_in
from leveret.broker.refusals import Refused

USERS = {"bob": User(password="ß", permissions={"own": Permissions(write="^q", read="")})}


@pytest.mark.parametrize(
    ("name", "password", "found"), [("bob", "ß", True), ("bob", "s", False), ("eve", "", False)]
)
def test_a_user_logs_in_with_its_password(name: str, password: str, found: bool) -> None:
    assert (log_in(USERS, name, password) is not None) is found


def test_permissions_are_by_vhost_and_none_are_all() -> None:
    assert USERS["bob"].permissions_in("/") is None
    assert User(password="").permissions_in("/") == Permissions()


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        (".*", "any", True),
        ("b", "abc", True),
        ("^b", "abc", False),
        ("", "any", False),
        ("default", "", True),
    ],
)
def test_a_pattern_may_match_anywhere_in_a_name(pattern: str, name: str, allowed: bool) -> None:
    assert Permissions(write=pattern).allow("write", name) is allowed


def test_a_right_that_is_missing_is_refused_in_rabbitmqs_words() -> None:
    rights = Rights("bob", "own", Permissions(write="^q", read=""))
    rights.check("write", "queue", "q")
    with pytest.raises(Refused) as refused:
        rights.check("write", "exchange", "")
    assert refused.value.reply_text == (
        "ACCESS_REFUSED - access to exchange 'amq.default' in vhost 'own' refused for user 'bob'"
    )


def test_exchanges_that_were_allowed_are_remembered_for_the_hot_path() -> None:
    rights = Rights("bob", "own", Permissions())
    rights.check("write", "exchange", "x")
    rights.check("read", "exchange", "y")
    rights.check("write", "queue", "z")
    assert rights.writable == {"x"}
