"""One self-signed certificate per server. Invitations pin it, so it is never made anew while it exists."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
from pathlib import Path

from contract.errors import EmbeddedServerError
from coordinator.embedded.account import Account
from coordinator.embedded.places import write_file

_DAYS = 3652
# Never sent to: connecting a datagram socket only asks the routing table which address we would use.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def ensure_certificate(folder: Path, host: str, account: Account | None) -> tuple[Path, Path]:
    """Certificate and key."""
    certificate, key = folder / "server.crt", folder / "server.key"
    if certificate.exists() and key.exists():
        return certificate, key
    if certificate.exists():
        raise EmbeddedServerError(
            f"the key {key} is gone, and every invitation pins its certificate; put the key back from a copy, "
            f"or delete {certificate} and invite everybody again"
        )
    certificate_pem, key_pem = _make(host)
    # The certificate last: a crash in between leaves a key that nobody has pinned, and it is replaced.
    write_file(key, key_pem, account=account)
    write_file(certificate, certificate_pem, account=account)
    return certificate, key


def own_addresses() -> list[str]:
    """This machine's addresses, the one it uses towards others first."""
    found: list[str] = []
    for family, elsewhere in _ELSEWHERE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))
            except OSError:
                continue
            found.append(str(probe.getsockname()[0]))
    with contextlib.suppress(OSError):
        found += [str(info[4][0]).split("%")[0] for info in socket.getaddrinfo(socket.gethostname(), None)]
    return list(dict.fromkeys(found))


def _make(host: str) -> tuple[str, str]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise EmbeddedServerError(
            'a server for other machines needs a certificate: run `pip install "barnraise[embedded]"`'
        ) from error

    names = [host, "localhost", "127.0.0.1", "::1", *own_addresses(), socket.gethostname(), socket.getfqdn()]
    alternatives: list[x509.GeneralName] = []
    for name in dict.fromkeys(filter(None, names)):
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            if name.isascii():
                alternatives.append(x509.DNSName(name))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Barnraise database")])
    # A volunteer's clock may be behind ours.
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        # It is its own authority: `sslmode=verify-ca sslrootcert=<this file>` then accepts it and nothing else.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), key_pem.decode()
