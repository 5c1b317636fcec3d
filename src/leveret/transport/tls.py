"""TLS: the settings of a connection, and the context of `ssl` that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from leveret.errors import InvalidURL

if TYPE_CHECKING:
    import ssl

__all__ = ["TLS", "ssl_context"]


class TLS(Struct, frozen=True, kw_only=True):
    """How a connection is encrypted. Only an `amqps` URL has it."""

    cafile: str | None = None
    """PEM file of the authorities to trust; None trusts those of the system."""
    certfile: str | None = None
    """PEM file of this client's certificate; None presents none."""
    keyfile: str | None = None
    """PEM file of its private key; None where `certfile` holds the key too."""
    verify: bool = True
    """Whether the broker's certificate and name are checked."""
    server_name: str | None = None
    """The name that the broker's certificate must have; None is the name of the host."""


def ssl_context(tls: TLS) -> ssl.SSLContext:
    """The context of `ssl` for these settings.

    :raises InvalidURL: if a file is missing or unreadable, if it is not PEM, or if a key needs a
        passphrase.
    """
    import ssl  # noqa: PLC0415 - slow to import, and a connection without TLS needs none of it

    for option in ("cafile", "certfile", "keyfile"):
        _readable(option, getattr(tls, option))
    try:
        context = ssl.create_default_context(cafile=tls.cafile)
    except ssl.SSLError as error:
        raise InvalidURL(f"cafile {tls.cafile!r} holds no PEM certificate: {error}") from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certfile is not None:
        try:
            context.load_cert_chain(tls.certfile, tls.keyfile, password=_no_passphrase)
        except ssl.SSLError as error:
            key = tls.keyfile or tls.certfile
            raise InvalidURL(
                f"certfile {tls.certfile!r} and keyfile {key!r} must hold a PEM certificate and "
                f"the private key that belongs to it: {error}"
            ) from error
    return context


def _readable(option: str, path: str | None) -> None:
    """Name a file that is missing or unreadable: the errors of `ssl` do not.

    :raises InvalidURL: likewise.
    """
    if path is None:
        return
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise InvalidURL(f"{option} {path!r} cannot be read: {error.strerror}") from error


def _no_passphrase() -> str:
    """Refuse a key with a passphrase. Without this, OpenSSL would wait for one on the terminal.

    :raises InvalidURL: always.
    """
    raise InvalidURL("the keyfile needs a passphrase; give one that is not encrypted")
