"""A throw-away authority and a certificate of it for loopback, made when the exchange starts.

Clients are told of the authority's file and trust it as they would any other: nothing is switched
off at their end. Both keys live as long as the process; the authority's is never written down.
"""

import datetime
import fcntl
import ipaddress
import os
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from engine import clock

DAYS_VALID = 30
CA_FILE = "ca.pem"
FOLDER = "tickmaker-exchange-"
STALE_S = 60.0  # one that is just being made isn't locked yet
NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1",)


def server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """The context of both servers, and the file that holds the authority's certificate."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Tickmaker local exchange authority", authority_key, None, None)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate("Tickmaker local exchange", key, authority, authority_key)
    ca_file = folder / CA_FILE
    ca_file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    chain_file = folder / "server.pem"
    chain_file.touch(mode=0o600)
    chain_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain_file)
    chain_file.unlink()  # the context holds it now
    return context, ca_file


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for as long as this is alive, locked by it. Those of exchanges that were killed
    are swept away first: nobody else would."""
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield Path(folder)
        finally:
            os.close(handle)


def _sweep(home: Path) -> None:
    for folder in home.glob(f"{FOLDER}*"):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's, or just gone
        try:
            stat = os.fstat(handle)
            is_old = clock.wall_ns() / 1e9 - stat.st_mtime > STALE_S
            if is_old and stat.st_uid == os.getuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its exchange lives
        finally:
            os.close(handle)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate | None,
    authority_key: ec.EllipticCurvePrivateKey | None,
) -> x509.Certificate:
    """Signed by `authority`, or by itself as one."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    is_authority = authority is None
    now = clock.utc_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if authority is None else authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS_VALID))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(_usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )
    if authority_key is not None:
        names = [x509.DNSName(text) for text in NAMES]
        addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ADDRESSES]
        builder = (
            builder.add_extension(x509.SubjectAlternativeName([*names, *addresses]), False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
                False,
            )
        )
    return builder.sign(authority_key or key, hashes.SHA256())


def _usage(is_authority: bool) -> x509.KeyUsage:
    """Python 3.13 checks strictly: an authority signs certificates, a server signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
