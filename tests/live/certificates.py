"""
Certificates of an authority of our own.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates

__all__ = ["LOCALHOST", "Authority"]

LOCALHOST = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@frozen
class Authority:
    """
    Issues certificates that only those trust who trust it.
    """

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, _certificate("Test Authority", key, key, "Test Authority", x509.BasicConstraints(True, None)))

    @property
    def trust_root(self) -> Any:
        return trustRootFromCertificates([Certificate.loadPEM(self.certificate.public_bytes(Encoding.PEM))])

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue(self, *names: x509.GeneralName) -> PrivateCertificate:
        """A server's certificate and key."""
        return PrivateCertificate.loadPEM(b"".join(self._issue(names)))

    def write(self, directory: Path) -> None:
        """Write a new certificate and key for localhost: ``cert.pem`` and ``key.pem``."""
        for name, pem in zip(("cert.pem", "key.pem"), self._issue(LOCALHOST), strict=True):
            (directory / name).write_bytes(pem)

    def _issue(self, names: Sequence[x509.GeneralName]) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate("server", key, self.key, "Test Authority", x509.SubjectAlternativeName(names))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM), pem


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: str,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
        key.public_key(),
        x509.random_serial_number(),
        now - datetime.timedelta(days=1),
        now + datetime.timedelta(days=1),
    )
    return builder.add_extension(extension, critical=False).sign(signer, SHA256())
