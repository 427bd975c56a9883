"""Certificates for servers on 127.0.0.1, from an authority that exists for one test run only."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import trustme

CLIENT_NAME: Final = "client.sonda.test"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files; the stranger has the client's name, but from an authority that nobody trusts."""

    ca_cert: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path
    stranger_cert: Path
    stranger_key: Path

    def client_context(self, *, with_certificate: bool) -> ssl.SSLContext:
        """Return a context that verifies the server and, if asked, shows a certificate."""
        context = ssl.create_default_context(cafile=self.ca_cert)
        if with_certificate:
            context.load_cert_chain(self.client_cert, self.client_key)
        return context


def make_certificates(folder: Path) -> Certificates:
    """Write an authority, a server certificate for 127.0.0.1 and localhost, and two of clients."""
    import trustme  # `make loki` runs without the tools, and needs no certificate

    folder.mkdir()
    authority, nobody = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    _write(folder, "server", authority.issue_cert("127.0.0.1", "localhost"))
    _write(folder, "client", authority.issue_cert(CLIENT_NAME))
    _write(folder, "stranger", nobody.issue_cert(CLIENT_NAME))
    return Certificates(
        ca_cert=folder / "ca.pem",
        server_cert=folder / "server.pem",
        server_key=folder / "server.key",
        client_cert=folder / "client.pem",
        client_key=folder / "client.key",
        stranger_cert=folder / "stranger.pem",
        stranger_key=folder / "stranger.key",
    )


def _write(folder: Path, name: str, issued: trustme.LeafCert) -> None:
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    (folder / f"{name}.pem").write_bytes(chain)
    issued.private_key_pem.write_to_path(folder / f"{name}.key")
