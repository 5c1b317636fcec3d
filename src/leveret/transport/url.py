"""Reads a broker's URL into an `Address`.

The form is RabbitMQ's (https://www.rabbitmq.com/docs/uri-spec), with its query options
(https://www.rabbitmq.com/docs/uri-query-parameters), and it differs from them in two ways:

- `amqp://host/` means the vhost "/". The URI spec reads it as the vhost with an empty name, but
  every Python client, and so every user, means the default one.
- There may be several hosts, `amqp://user:password@one:5672,two/vhost`: they are one cluster.

As there, `heartbeat` is in seconds and `connection_timeout` in *milliseconds*, so that one URL
works for every client. A raw "@", "/", "?" or "#" inside a name or password can be read in two ways
and is refused: a guess would connect somewhere else, or show a part of the password.

`urllib.parse.urlsplit` is not used. It knows one host only, drops tabs and line ends silently, and
its errors show the text of a port, where a mistyped URL has its password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv6Address
from typing import Final, Literal
from urllib.parse import unquote

from leveret.errors import InvalidURL
from leveret.transport.address import Address
from leveret.transport.credentials import from_environment
from leveret.transport.tls import TLS

__all__ = ["FORM", "embedded_name", "parse_url"]

FORM: Final = "amqp://user:password@host:5672/vhost?heartbeat=30"
"""The right form, as every error shows it."""

_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_SPELLINGS: Final = {"cacertfile": "cafile", "server_name_indication": "server_name"}
"""Our short name of an option, by RabbitMQ's name."""
_TLS_OPTIONS: Final = ("cafile", "certfile", "keyfile", "verify", "server_name")
_OPTIONS: Final = ("heartbeat", "connection_timeout", "auth_mechanism", *_TLS_OPTIONS)
_VERIFY: Final = {"verify_peer": True, "true": True, "verify_none": False, "false": False}
_MIN_TIMEOUT_MS: Final = 100
"""Whoever writes `connection_timeout=10` means seconds. 10 ms would only fail, without a reason."""


def parse_url(url: str, environ: Mapping[str, str] | None = None) -> Address:
    """Read a broker's URL, `amqp://user:password@host:port/vhost?option=value`, or `amqps`.

    The defaults are user guest, password guest, port 5672 (`amqps` 5671) and vhost "/". User,
    password, vhost and the options' values are percent-encoded. The options are `heartbeat` (s),
    `connection_timeout` (ms), `auth_mechanism` (plain or external) and, for `amqps`, `cafile` (or
    `cacertfile`), `certfile`, `keyfile`, `verify` (verify_peer or true, verify_none or false) and
    `server_name` (or `server_name_indication`).

    :param environ: where LEVERET_USERNAME and LEVERET_PASSWORD or LEVERET_PASSWORD_FILE may stand,
        for a URL that names no user, or no password.
    :raises InvalidURL: saying what is wrong; the message never holds the password.
    """
    scheme, rest = _scheme(url.strip())
    authority, path, query = _split(rest)
    userinfo, at, named = authority.rpartition("@")
    username, password = _credentials(userinfo) if userinfo else (None, None)
    if at and not userinfo:
        raise _invalid("there is an '@' but no user name before it")
    hosts = tuple(_host(host, _PORTS[scheme]) for host in named.split(","))
    options = _query(query)
    heartbeat = _whole_number(options, "heartbeat", "seconds", 0, 65_535, 10)
    timeout = _whole_number(
        options, "connection_timeout", "milliseconds", _MIN_TIMEOUT_MS, 86_400_000, 10_000
    )
    return Address(
        hosts=hosts,
        username=username or "guest",
        password=password or ("guest" if username is None else ""),
        credentials=from_environment(environ or {}, username) if password is None else None,
        vhost=_vhost(path),
        tls=_tls(scheme, options),
        heartbeat=heartbeat,
        connection_timeout=timeout / 1000,
        auth=_auth(options),
    )


def embedded_name(url: str) -> str | None:
    """The name in `embedded://name`, "" where there is none; None for URLs of another scheme.

    :raises InvalidURL: if more than a name follows.
    """
    scheme, separator, name = url.strip().partition("://")
    if not separator or scheme.lower() != "embedded":
        return None
    if not re.fullmatch(r"[\w.-]*", name):
        raise InvalidURL(
            "the broker URL is not valid: after embedded:// comes nothing, or a name of letters,"
            " digits and '_', '.', '-', as in embedded://orders"
        )
    return name


def _scheme(url: str) -> tuple[str, str]:
    """The scheme and what follows "://"."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise _invalid("it does not begin with amqp:// or amqps://")
    if scheme == "embedded":
        raise _invalid("embedded:// is for leveret.connect() alone, and has no address")
    if scheme not in _PORTS:
        raise _invalid(f"the scheme is {scheme!r}, not amqp or amqps")
    return scheme, rest


def _split(rest: str) -> tuple[str, str, str]:
    """Split it into authority, path without its first slash, and query.

    :raises InvalidURL: if a raw delimiter allows two readings.
    """
    if "#" in rest:
        raise _invalid("it has a '#'; in a name or password, write it %23")
    parts = re.fullmatch(r"([^/?]*)/?([^?]*)\??(.*)", rest, re.DOTALL)
    assert parts is not None  # it matches any text
    authority, path, query = parts.groups()
    if rest.count("@") > 1 or ("@" in rest and "@" not in authority):
        raise _invalid(
            "only one '@' may stand in it, between the password and the first host; "
            "in names and passwords write '@' %40, '/' %2F, '?' %3F"
        )
    return authority, path, query


def _credentials(userinfo: str) -> tuple[str, str | None]:
    """User and password; None if there is no ":" between them."""
    user, colon, password = userinfo.partition(":")
    decoded = _decode(user, "the user name"), _decode(password, "the password")
    if not decoded[0]:
        raise _invalid("there is a password but no user name")
    if len(decoded[0].encode()) > 255:
        raise _invalid("the user name is longer than 255 bytes")
    return decoded[0], decoded[1] if colon else None


def _host(text: str, default_port: int) -> tuple[str, int]:
    """One host and its port.

    :raises InvalidURL: without the text of the port, because in `amqp://user:secret` that is the
        password.
    """
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::(.*))?", text, re.DOTALL)
    if found is None:
        raise _invalid("a host cannot be read; an IPv6 address stands in brackets, [::1]:5672")
    host, port = found[1], found[2]
    if not host:
        raise _invalid("a host is missing")
    if host.startswith("["):
        host = _ipv6(host[1:-1])
    elif not re.fullmatch(r"[\w.~-]+", host):
        raise _invalid("a host name holds a character that none may have")
    elif not all(0 < len(label) < 64 for label in host.removesuffix(".").split(".")):
        raise _invalid("between the dots of a host name stand 1 to 63 characters")
    if port is None:
        return host, default_port
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
        raise _invalid(f"the port of host {host!r} is not a number from 1 to 65535")
    return host, int(port)


def _ipv6(text: str) -> str:
    host = _decode(text, "an IPv6 address")  # its zone is set off by %25
    try:
        IPv6Address(host)
    except AddressValueError:
        raise _invalid("the host in brackets is not an IPv6 address") from None
    return host


def _vhost(path: str) -> str:
    if path in ("", "/"):  # amqp://host// is how Celery's users write it
        return "/"
    if "/" in path:
        raise _invalid("the vhost holds a '/'; write it %2F")
    vhost = _decode(path, "the vhost")
    if len(vhost.encode()) > 255:
        raise _invalid("the vhost is longer than 255 bytes")
    return vhost


def _query(query: str) -> dict[str, str]:
    """The options by our short names."""
    options: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        written, _, value = item.partition("=")
        name = _SPELLINGS.get(written, written)
        if name not in _OPTIONS:
            # It may be a part of a password with a raw "?", where the host was forgotten.
            shown = f" {name!r}" if re.fullmatch(r"[a-z_]+", name) else " of such a name"
            raise _invalid(f"there is no option{shown}; the options are {', '.join(_OPTIONS)}")
        if not value:
            raise _invalid(f"the option {written} has no value")
        if name in options:
            raise _invalid(f"the option {name} is given twice")
        options[name] = _decode(value, f"the option {written}")
    return options


def _whole_number(
    options: dict[str, str], name: str, unit: str, least: int, most: int, default: int
) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise _invalid(f"{name} is in {unit}, a whole number from {least} to {most}, not {text!r}")
    return int(text)


def _auth(options: dict[str, str]) -> Literal["plain", "external"]:
    match options.get("auth_mechanism", "plain").lower():
        case "plain":
            return "plain"
        case "external":
            return "external"
        case other:
            raise _invalid(f"auth_mechanism is plain or external, not {other!r}")


def _tls(scheme: str, options: dict[str, str]) -> TLS | None:
    given = [name for name in _TLS_OPTIONS if name in options]
    if scheme == "amqp":
        if given:
            raise _invalid(f"{given[0]} needs an encrypted connection; begin with amqps://")
        return None
    if "keyfile" in given and "certfile" not in given:
        raise _invalid("there is a keyfile but no certfile")
    verify = options.get("verify", "verify_peer").lower()
    if verify not in _VERIFY:
        raise _invalid(f"verify is verify_peer (true) or verify_none (false), not {verify!r}")
    return TLS(
        cafile=options.get("cafile"),
        certfile=options.get("certfile"),
        keyfile=options.get("keyfile"),
        verify=_VERIFY[verify],
        server_name=options.get("server_name"),
    )


def _decode(text: str, what: str) -> str:
    """Undo percent-encoding, strictly.

    :param what: names the text in an error, which never shows it: it may be the password.
    :raises InvalidURL: if it is not percent-encoded UTF-8, or holds NUL.
    """
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise _invalid(f"{what} has a '%' that two hexadecimal digits do not follow; write it %25")
    try:
        decoded = unquote(text, errors="strict")
        decoded.encode()
    except UnicodeError:
        raise _invalid(f"{what} is not UTF-8 once its percent-encoding is undone") from None
    if "\0" in decoded:  # SASL PLAIN separates with it, and no file name holds it
        raise _invalid(f"{what} holds the character NUL")
    return decoded


def _invalid(what: str) -> InvalidURL:
    return InvalidURL(f"the broker URL is not valid: {what}. The right form: {FORM}")
