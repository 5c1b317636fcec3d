"""The broker's URL: what it may hold, what each mistake is told, and that no password shows."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leveret.errors import InvalidURL
from leveret.transport.address import Address
from leveret.transport.tls import TLS
from leveret.transport.url import parse_url

FAST = settings(max_examples=200, deadline=None, derandomize=True)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
names = texts.filter(bool)
hosts = st.sampled_from(("localhost", "rabbit-1.example.org", "10.0.0.7", "::1", "fe80::1%eth0"))
addresses = st.builds(
    Address,
    hosts=st.lists(st.tuples(hosts, st.integers(1, 65_535)), min_size=1, max_size=3).map(tuple),
    username=names,
    password=texts,
    vhost=names,
    tls=st.none()
    | st.builds(TLS, cafile=st.none() | names, verify=st.booleans(), server_name=st.none() | names)
    | st.builds(TLS, certfile=names, keyfile=st.none() | names),
    heartbeat=st.integers(0, 65_535),
    connection_timeout=st.integers(100, 86_400_000).map(lambda ms: ms / 1000),
    auth=st.sampled_from(("plain", "external")),
)


def url_of(address: Address) -> str:
    """The URL that `str` gives, with the password put back."""
    user = quote(address.username, safe="")
    return str(address).replace(f"//{user}@", f"//{user}:{quote(address.password, safe='')}@", 1)


# What a URL may hold


@FAST
@given(addresses)
def test_an_address_comes_back_from_its_url(address: Address) -> None:
    assert parse_url(url_of(address)) == address


@FAST
@given(names, texts, names)
def test_credentials_and_vhost_may_hold_any_character(user: str, password: str, vhost: str) -> None:
    encoded = [quote(text, safe="") for text in (user, password, vhost)]
    address = parse_url("amqp://{}:{}@host/{}".format(*encoded))
    assert (address.username, address.password, address.vhost) == (user, password, vhost)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://host", {}),
        ("amqp://host/", {}),
        ("AMQP://host", {}),
        ("  amqp://host\n", {}),
        ("amqp://host//", {"vhost": "/"}),
        ("amqp://host/%2F", {"vhost": "/"}),
        ("amqp://host/%2f", {"vhost": "/"}),
        ("amqp://host/vhost", {"vhost": "vhost"}),
        ("amqp://host/a%2Fb%20c", {"vhost": "a/b c"}),
        ("amqp://host/a+b", {"vhost": "a+b"}),
        ("amqp://host?heartbeat=5", {"heartbeat": 5}),
        ("amqp://host/?heartbeat=0", {"heartbeat": 0}),
        ("amqp://host/?", {}),
        ("amqp://host/?connection_timeout=2500", {"connection_timeout": 2.5}),
        ("amqp://host/?auth_mechanism=EXTERNAL", {"auth": "external"}),
        ("amqp://host/?auth_mechanism=plain&heartbeat=9", {"heartbeat": 9}),
        ("amqp://me@host", {"username": "me", "password": ""}),
        ("amqp://me:@host", {"username": "me", "password": ""}),
        ("amqp://me:a:b@host", {"username": "me", "password": "a:b"}),
        ("amqp://m%40e:p%2Fw%3F@host", {"username": "m@e", "password": "p/w?"}),
        ("amqp://zoë:naïve@host", {"username": "zoë", "password": "naïve"}),
        ("amqps://host", {"hosts": (("host", 5671),), "tls": TLS()}),
        ("amqps://host:5672", {"tls": TLS()}),
        ("amqp://host:1", {"hosts": (("host", 1),)}),
        ("amqp://host:65535", {"hosts": (("host", 65_535),)}),
        ("amqp://[::1]", {"hosts": (("::1", 5672),)}),
        ("amqp://[::1]:5673/v", {"hosts": (("::1", 5673),), "vhost": "v"}),
        ("amqp://[fe80::1%25eth0]", {"hosts": (("fe80::1%eth0", 5672),)}),
    ],
)
def test_a_url_is_read(url: str, expected: dict[str, Any]) -> None:
    assert parse_url(url) == Address(**{"hosts": (("host", 5672),), **expected})


def test_several_hosts_are_one_cluster() -> None:
    address = parse_url("amqp://u:p@a:5673,b,[::1]:5674/vhost")
    assert address.hosts == (("a", 5673), ("b", 5672), ("::1", 5674))
    assert parse_url("amqps://a,b:5672").hosts == (("a", 5671), ("b", 5672))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cacertfile=/etc/ca.pem", TLS(cafile="/etc/ca.pem")),
        ("cafile=/etc/ca.pem", TLS(cafile="/etc/ca.pem")),
        ("certfile=c.pem", TLS(certfile="c.pem")),
        ("certfile=c%20d.pem&keyfile=k+1.pem", TLS(certfile="c d.pem", keyfile="k+1.pem")),
        ("verify=verify_peer", TLS()),
        ("verify=true", TLS()),
        ("verify=verify_none", TLS(verify=False)),
        ("verify=False", TLS(verify=False)),
        ("server_name_indication=rabbit", TLS(server_name="rabbit")),
        ("server_name=rabbit", TLS(server_name="rabbit")),
    ],
)
def test_tls_options_are_taken_in_rabbitmqs_spelling_and_ours(query: str, expected: TLS) -> None:
    assert parse_url(f"amqps://host/?{query}").tls == expected


def test_the_defaults_are_those_of_the_documentation() -> None:
    address = parse_url("amqp://localhost")
    assert (address.username, address.password, address.vhost) == ("guest", "guest", "/")
    assert (address.heartbeat, address.connection_timeout, address.auth) == (10, 10.0, "plain")
    assert address.tls is None


# What a mistake is told

_FORM = "The right form: amqp://user:password@host:5672/vhost?heartbeat=30"
_ONE_AT = (
    "only one '@' may stand in it, between the password and the first host; "
    "in names and passwords write '@' %40, '/' %2F, '?' %3F"
)
_OPTIONS = (
    "heartbeat, connection_timeout, auth_mechanism, cafile, certfile, keyfile, verify, server_name"
)
_PORT = "the port of host 'host' is not a number from 1 to 65535"
_HEARTBEAT = "heartbeat is in seconds, a whole number from 0 to 65535, not "
_TIMEOUT = "connection_timeout is in milliseconds, a whole number from 100 to 86400000, not "
_BRACKETS = "a host cannot be read; an IPv6 address stands in brackets, [::1]:5672"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("", "it does not begin with amqp:// or amqps://"),
        ("host", "it does not begin with amqp:// or amqps://"),
        ("host:5672", "it does not begin with amqp:// or amqps://"),
        ("amqp:/host", "it does not begin with amqp:// or amqps://"),
        ("user:secret://host", "it does not begin with amqp:// or amqps://"),
        ("redis://host", "the scheme is 'redis', not amqp or amqps"),
        ("embedded://", "embedded:// is for leveret.connect() alone, and has no address"),
        ("amqp://", "a host is missing"),
        ("amqp:///vhost", "a host is missing"),
        ("amqp://me:secret@/", "a host is missing"),
        ("amqp://a,,b", "a host is missing"),
        ("amqp://:5672", "a host is missing"),
        ("amqp://host:", _PORT),
        ("amqp://host:0", _PORT),
        ("amqp://host:65536", _PORT),
        ("amqp://host:amqp", _PORT),
        ("amqp://host:5672:1", _PORT),
        ("amqp://::1", "a host is missing"),
        ("amqp://fe80::1", "the port of host 'fe80' is not a number from 1 to 65535"),
        ("amqp://[::1", _BRACKETS),
        ("amqp://[::1]x", _BRACKETS),
        ("amqp://[host]", "the host in brackets is not an IPv6 address"),
        ("amqp://ho st", "a host name holds a character that none may have"),
        ("amqp://ho%20st", "a host name holds a character that none may have"),
        ("amqp://one,a..b", "between the dots of a host name stand 1 to 63 characters"),
        ("amqp://" + "h" * 64, "between the dots of a host name stand 1 to 63 characters"),
        ("amqp://host/a/b", "the vhost holds a '/'; write it %2F"),
        ("amqp://host/" + "v" * 256, "the vhost is longer than 255 bytes"),
        ("amqp://" + "u" * 256 + "@host", "the user name is longer than 255 bytes"),
        ("amqp://@host", "there is an '@' but no user name before it"),
        ("amqp://:secret@host", "there is a password but no user name"),
        ("amqp://me:sec@ret@host", _ONE_AT),
        ("amqp://me:sec/ret@host", _ONE_AT),
        ("amqp://me:sec?ret@host", _ONE_AT),
        ("amqp://me:p1@one,me:p2@two", _ONE_AT),
        ("amqp://me:sec#ret@host", "it has a '#'; in a name or password, write it %23"),
        (
            "amqp://me:100%secret@host",
            "the password has a '%' that two hexadecimal digits do not follow; write it %25",
        ),
        (
            "amqp://%me@host",
            "the user name has a '%' that two hexadecimal digits do not follow; write it %25",
        ),
        (
            "amqp://me:secret%ff@host",
            "the password is not UTF-8 once its percent-encoding is undone",
        ),
        ("amqp://host/%ff", "the vhost is not UTF-8 once its percent-encoding is undone"),
        ("amqp://me:\udcff@host", "the password is not UTF-8 once its percent-encoding is undone"),
        ("amqp://me:secret%00@host", "the password holds the character NUL"),
        ("amqp://host/?heartbeat=-1", f"{_HEARTBEAT}'-1'"),
        ("amqp://host/?heartbeat=65536", f"{_HEARTBEAT}'65536'"),
        ("amqp://host/?heartbeat=1.5", f"{_HEARTBEAT}'1.5'"),
        ("amqp://host/?heartbeat=٣", f"{_HEARTBEAT}'٣'"),
        ("amqp://host/?connection_timeout=10", f"{_TIMEOUT}'10'"),
        ("amqp://host/?connection_timeout=10s", f"{_TIMEOUT}'10s'"),
        ("amqp://host/?connection_timeout=0", f"{_TIMEOUT}'0'"),
        (
            "amqp://host/?auth_mechanism=amqplain",
            "auth_mechanism is plain or external, not 'amqplain'",
        ),
        ("amqp://host/?timeout=5", f"there is no option 'timeout'; the options are {_OPTIONS}"),
        (
            "amqp://host/?Heartbeat=5",
            f"there is no option of such a name; the options are {_OPTIONS}",
        ),
        ("amqp://host/?heartbeat", "the option heartbeat has no value"),
        ("amqp://host/?heartbeat=", "the option heartbeat has no value"),
        ("amqp://host/?heartbeat=1&heartbeat=2", "the option heartbeat is given twice"),
        ("amqps://host/?cafile=a&cacertfile=b", "the option cafile is given twice"),
        ("amqp://host/?cafile=a", "cafile needs an encrypted connection; begin with amqps://"),
        ("amqp://host/?verify=false", "verify needs an encrypted connection; begin with amqps://"),
        ("amqps://host/?keyfile=k", "there is a keyfile but no certfile"),
        (
            "amqps://host/?verify=maybe",
            "verify is verify_peer (true) or verify_none (false), not 'maybe'",
        ),
    ],
)
def test_a_wrong_url_is_told_what_is_wrong_and_the_right_form(url: str, what: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        parse_url(url)
    assert str(caught.value) == f"the broker URL is not valid: {what}. {_FORM}"
    assert "sec" not in str(caught.value).replace("seconds", "")


# No password shows

_secrets = st.text("ab/@?#%:[],&= é", max_size=12).map(lambda text: f"Zq{text}7Xw")


@FAST
@given(_secrets)
def test_no_error_shows_a_password_however_it_is_mistyped(secret: str) -> None:
    for url in (
        f"amqp://me:{secret}@host/vhost",
        f"amqp://me:{secret}@host:x",
        f"amqp://me:{secret}@host/?no=1",
        f"redis://me:{secret}@host",
        f"me:{secret}@host",
    ):
        try:
            address = parse_url(url)
        except InvalidURL as error:
            shown = f"{error!s} {error!r}"
        else:
            shown = f"{address!s} {address!r}"
        assert "Zq" not in shown
        assert "7Xw" not in shown
