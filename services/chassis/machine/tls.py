"""The certificate that a process shows to the others of its installation, and the CA that theirs must be of."""

from __future__ import annotations

import contextlib
import math
import ssl
import time
from pathlib import Path

import grpc

from services.chassis.errors import FailedPrecondition

# As Kubernetes and cert-manager call the entries of a secret.
_FILES = ("tls.key", "tls.crt", "ca.crt")
_READ_SECONDS = 1.0

Pems = tuple[bytes, bytes, bytes]
"""A private key, the certificate with those that signed it, and the certificates of trusted CAs, as PEM."""


class TlsFolder:
    """A folder with `tls.key`, `tls.crt` and `ca.crt`, which are read again when they change.

    A server asks its clients for a certificate of that CA, and a client its server, whose name must stand in it.
    """

    def __init__(self, folder: Path) -> None:
        """Read the files.

        Raises:
            FailedPrecondition: One cannot be read, or they do not belong together.
        """
        self._folder = folder
        self._read_time = -math.inf
        try:
            self._pems = self._read()
        except ssl.SSLError as error:
            raise FailedPrecondition(
                f"The certificates in {folder} cannot be used: {error.reason or error}.",
                "Put a PEM certificate into tls.crt, its private key into tls.key, and its CA's into ca.crt.",
            ) from None
        except OSError as error:
            raise FailedPrecondition(
                f"The certificates in {folder} cannot be read: {error.strerror}.",
                f"Let this process read {', '.join(_FILES)} there.",
            ) from None

    def pems(self) -> Pems:
        """Return what the files hold: the very same object for as long as that stays so."""
        if time.monotonic() - self._read_time > _READ_SECONDS:
            # What was read before stays while the files are being replaced.
            with contextlib.suppress(OSError):
                pems = self._read()
                self._pems = self._pems if pems == self._pems else pems
        return self._pems

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return credentials that follow the files, and refuse clients without a certificate of the CA."""

        def configuration() -> grpc.ServerCertificateConfiguration:
            key, certificate, trusted = self.pems()
            return grpc.ssl_server_certificate_configuration([(key, certificate)], trusted)

        return grpc.dynamic_ssl_server_credentials(configuration(), configuration, True)

    def _read(self) -> Pems:
        self._read_time = time.monotonic()
        key, certificate, trusted = (self._folder / name for name in _FILES)
        before: Pems | None = None
        # Kubernetes replaces all files at once, also between two reads, and `ssl` checks files alone.
        while before != (pems := (key.read_bytes(), certificate.read_bytes(), trusted.read_bytes())):
            before = pems
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(trusted)
            context.load_cert_chain(certificate, key)
        return pems


def client_credentials(pems: Pems) -> grpc.ChannelCredentials:
    """Return the credentials of a client that shows a certificate; a channel keeps them for as long as it lives."""
    key, certificate, trusted = pems
    return grpc.ssl_channel_credentials(trusted, key, certificate)
