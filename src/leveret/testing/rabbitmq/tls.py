"""TLS for a private broker: its files, and RabbitMQ's configuration for them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["PLUGIN", "TLSFiles"]

PLUGIN: Final = "rabbitmq_auth_mechanism_ssl"
"""RabbitMQ's plugin by which clients log in with certificates (SASL EXTERNAL)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """PEM files for `RabbitMQ(tls=...)`.

    :param cafile: the authorities whose client certificates the broker trusts.
    :param certfile: the broker's certificate, which should be for localhost.
    :param keyfile: its private key, without a passphrase.
    """

    cafile: Path
    certfile: Path
    keyfile: Path

    def copied_to(self, folder: Path) -> TLSFiles:
        """Copy the files to a folder, for a broker that cannot see other folders."""
        return TLSFiles(
            cafile=Path(shutil.copy(self.cafile, folder / "ca.pem")),
            certfile=Path(shutil.copy(self.certfile, folder / "cert.pem")),
            keyfile=Path(shutil.copy(self.keyfile, folder / "key.pem")),
        )

    def configuration(self, listener: str) -> str:
        """Lines for rabbitmq.conf (https://www.rabbitmq.com/docs/ssl).

        A client may log in without a certificate, or with one as its common name.
        """
        return (
            f"listeners.ssl.1 = {listener}\n"
            f"ssl_options.cacertfile = {self.cafile}\n"
            f"ssl_options.certfile = {self.certfile}\n"
            f"ssl_options.keyfile = {self.keyfile}\n"
            "ssl_options.verify = verify_peer\n"
            "ssl_options.fail_if_no_peer_cert = false\n"
            "ssl_cert_login_from = common_name\n"
            "auth_mechanisms.1 = PLAIN\n"
            "auth_mechanisms.2 = AMQPLAIN\n"
            "auth_mechanisms.3 = EXTERNAL\n"
        )
