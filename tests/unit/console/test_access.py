"""Who may see the console, and who may write by it."""

from __future__ import annotations

from leveret.console.access import COOKIE, LOOPBACK, SECURITY_HEADERS, Access


def test_without_log_in_anybody_gets_in() -> None:
    assert Access().is_open
    assert Access().user_of({}) == ""
    assert not Access().is_right("")


def test_a_token_opens_and_its_cookie_does_for_as_long_as_it_is_the_token() -> None:
    access = Access(token="open sesame")
    assert access.is_right("open sesame")
    assert not access.is_right("open")
    assert access.user_of({}) is None
    cookie = f"other=1; {COOKIE}={access.cookie}"
    assert access.user_of({"cookie": cookie}) == ""
    assert Access(token="another").user_of({"cookie": cookie}) is None
    assert access.user_of({"cookie": f"{COOKIE}=ä"}) is None
    assert access.user_of({"cookie": "\x00;=;"}) is None
    assert "sesame" not in access.cookie


def test_a_proxy_says_who_it_is() -> None:
    access = Access(user_header="X-User")
    assert access.user_of({"x-user": "ann"}) == "ann"
    assert access.user_of({"x-user": " "}) is None
    assert access.user_of({}) is None


def test_it_answers_to_the_names_of_its_own_machine_alone() -> None:
    access = Access(hosts=LOOPBACK)
    for name in ("localhost:8420", "127.0.0.1", "[::1]:8420", "LOCALHOST"):
        assert access.is_host_known({"host": name}), name
    for name in ("evil.example", "localhost.evil.example:8420", "", "[bad"):
        assert not access.is_host_known({"host": name}), name
    assert Access().is_host_known({"host": "evil.example"})


def test_only_its_own_pages_write() -> None:
    own = {"host": "here:8420", "origin": "http://here:8420"}
    assert Access.may_write("POST", own)
    for origin in ("http://evil.example", "http://here", "null", "", "http://[bad"):
        assert not Access.may_write("POST", own | {"origin": origin}), origin
        assert Access.may_write("GET", own | {"origin": origin})
    assert not Access.may_write("POST", {"host": "here:8420"})
    assert not Access.may_write("POST", {"host": ""})


def test_pages_may_have_nothing_inline_and_nothing_from_elsewhere() -> None:
    policy = SECURITY_HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert SECURITY_HEADERS["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in policy
