"""TLS settings: who is trusted, and what each file that cannot be used is told."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from leveret.errors import InvalidURL
from leveret.transport.tls import TLS, ssl_context

# No real secrets: a certificate for "localhost" that nothing trusts, and keys made for this file.
CERTIFICATE = """
MIIBfjCCASWgAwIBAgIUWVG6vuX+Q70UXM0Vm1aXfvCnpJkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzE1MDUxNVoYDzIxMjYxMDMw
MTUwNTE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASnbnsidtobXZKj6B9+n6b2i2BqO+BgN7KOKHy8jbLeIeev64bMCYi2
cN5HFT/IJFN5v8WLOzyoFwXnPS/sNTIUo1MwUTAdBgNVHQ4EFgQU2rzlc+mvBwAT
I3B4vh15JPLAI80wHwYDVR0jBBgwFoAU2rzlc+mvBwATI3B4vh15JPLAI80wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAOnouufpD2GN8cXrlToKeq
8g+ZEbF+BrvI/u8PgPSoBwIgfcp+mBs7jwTufiuXGsPSykSkHyRE+bWuD70OQXKT
M60=
"""
ITS_KEY = """
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQga6pZB9+N74DiIiGw
Ag2XD1A7VCANNyTEWUi3k6cBQIahRANCAASnbnsidtobXZKj6B9+n6b2i2BqO+Bg
N7KOKHy8jbLeIeev64bMCYi2cN5HFT/IJFN5v8WLOzyoFwXnPS/sNTIU
"""
ITS_KEY_ENCRYPTED = """
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhCdQH/7x02wQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEEuP0DOwmK+WHJXCM5QasOoEgZBA
ksMWMudSfwO6+S7s9B/NFud7Yccjr65uqSaZdPkLiydC69kO88sOxpUyFzBeXH4a
IsSz5AwW0RMawpVIVT6gRltWh2+D7b4WXS6WBwvgBb4nO1qCsg7Yiso0qM9dbxsj
/+NnCjLPm0AJRIfrNEzOfYpWHyGL4gNH37muo1bfWjVSteCgGSycI9YIM79TCbU=
"""
ANOTHER_KEY = """
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgb0q78VHnJj7K6OGG
fO9hhALwd+imoKm1iUvviGp8nHqhRANCAAR6DkVSYEAPcbstLGwsZ/rI7lb8iWDy
nunm9chGe7GDvCbWVtpZSz1axnrgs6MkfQuyt0mz3rsFpBdOzQkgoXAQ
"""


def pem(path: Path, *blocks: tuple[str, str]) -> str:
    """A PEM file of these blocks; returns its name."""
    lines = [
        f"-----BEGIN {kind}-----\n{text.strip()}\n-----END {kind}-----\n" for kind, text in blocks
    ]
    path.write_text("".join(lines))
    return str(path)


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    return pem(tmp_path / "certificate.pem", ("CERTIFICATE", CERTIFICATE))


def test_a_brokers_certificate_and_name_are_verified_by_default() -> None:
    context = ssl_context(TLS())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is True


def test_verification_can_be_turned_off() -> None:
    context = ssl_context(TLS(verify=False))
    assert context.verify_mode is ssl.CERT_NONE
    assert context.check_hostname is False


def test_only_the_given_authorities_are_trusted(certificate: str) -> None:
    context = ssl_context(TLS(cafile=certificate))
    assert [found["serialNumber"] for found in context.get_ca_certs()] == [
        "5951BABEE5FE43BD145CCD159B56977EF0A7A499"
    ]


def test_a_clients_certificate_and_key_are_loaded(certificate: str, tmp_path: Path) -> None:
    key = pem(tmp_path / "key.pem", ("PRIVATE KEY", ITS_KEY))
    both = pem(tmp_path / "both.pem", ("CERTIFICATE", CERTIFICATE), ("PRIVATE KEY", ITS_KEY))
    ssl_context(TLS(certfile=certificate, keyfile=key))
    ssl_context(TLS(certfile=both))


@pytest.mark.parametrize("option", ["cafile", "certfile", "keyfile"])
def test_a_missing_file_is_named(option: str, certificate: str, tmp_path: Path) -> None:
    path = str(tmp_path / "missing.pem")
    tls = TLS(**{"certfile": certificate, option: path})  # type: ignore[arg-type]
    with pytest.raises(InvalidURL) as caught:
        ssl_context(tls)
    assert str(caught.value) == f"{option} {path!r} cannot be read: No such file or directory"


def test_a_cafile_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.pem"
    path.write_text("no certificate")
    with pytest.raises(InvalidURL, match=r"cafile '.*empty\.pem' holds no PEM certificate"):
        ssl_context(TLS(cafile=str(path)))


@pytest.mark.parametrize("key", [ANOTHER_KEY, "no key"], ids=["another's", "no key"])
def test_a_key_that_does_not_belong_to_the_certificate_is_named(
    key: str, certificate: str, tmp_path: Path
) -> None:
    path = pem(tmp_path / "key.pem", ("PRIVATE KEY", key))
    with pytest.raises(InvalidURL) as caught:
        ssl_context(TLS(certfile=certificate, keyfile=path))
    assert str(caught.value).startswith(
        f"certfile {certificate!r} and keyfile {path!r} must hold a PEM certificate and "
        "the private key that belongs to it: "
    )


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(
    certificate: str, tmp_path: Path
) -> None:
    path = pem(tmp_path / "key.pem", ("ENCRYPTED PRIVATE KEY", ITS_KEY_ENCRYPTED))
    with pytest.raises(InvalidURL) as caught:
        ssl_context(TLS(certfile=certificate, keyfile=path))
    assert str(caught.value) == "the keyfile needs a passphrase; give one that is not encrypted"
