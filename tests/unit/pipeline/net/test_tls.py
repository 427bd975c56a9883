"""TLS files: what is read, what a server may not read, and which events share a context."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from pathlib import Path

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.tls import KafkaTls, Pem, Tls, TlsContexts
from sonda.pipeline.problems import Forbidden, Problem, Unreachable
from tests.support.faulty import Certificates, make_certificates


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and what it has issued."""
    return make_certificates(tmp_path_factory.mktemp("pki"))


def load(
    *given: Tls | None, policy: AccessPolicy | None = None
) -> list[Result[ssl.SSLContext, Problem]]:
    """Load one after the other."""
    contexts = TlsContexts(policy)

    async def main() -> list[Result[ssl.SSLContext, Problem]]:
        return [await contexts.load(tls) for tls in given]

    return asyncio.run(main())


def test_certificates_are_always_verified(pki: Certificates) -> None:
    """With and without files."""
    for found in load(None, Tls(), Tls(ca_cert=pki.path("ca.pem"))):
        context = found.unwrap()
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_equal_files_are_one_context(pki: Certificates, tmp_path: Path) -> None:
    """By what they are, not by their names; a file that was changed is another."""
    file = tmp_path / "ca.pem"
    shutil.copy(pki.path("ca.pem"), file)
    link = tmp_path / "link.pem"
    link.symlink_to(file)
    contexts = TlsContexts(None)

    async def main() -> None:
        first = (await contexts.load(Tls(ca_cert=str(file)))).unwrap()
        again = (await contexts.load(Tls(ca_cert=str(link), server_name="other"))).unwrap()
        assert again is first
        _put_in_place(pki.path("stranger-ca.pem"), file)
        assert (await contexts.load(Tls(ca_cert=str(file)))).unwrap() is not first

    asyncio.run(main())


def _put_in_place(new: str, file: Path) -> None:
    Path(shutil.copy(new, file.with_name("new"))).replace(file)


def test_events_at_once_find_one_context(pki: Certificates) -> None:
    """The files are looked at once, however many wait; one that gives up takes nobody along."""
    contexts = TlsContexts(None)
    tls = Tls(ca_cert=pki.path("ca.pem"))

    async def main() -> None:
        waiting = [asyncio.create_task(contexts.load(tls)) for _ in range(20)]
        await asyncio.sleep(0)
        waiting.pop().cancel()
        found = {id((await one).unwrap()) for one in waiting}
        assert len(found) == 1

    asyncio.run(main())


def test_what_is_in_the_files(pki: Certificates) -> None:
    """For a library that speaks TLS itself; a key that has no file of its own is the certificate's."""
    certificate = pki.path("client.pem")

    async def main() -> Pem:
        loaded = await TlsContexts(None).read(
            Tls(client_cert=certificate, client_key=pki.path("client.key"))
        )
        return loaded.unwrap().pem

    found = asyncio.run(main())
    assert found == Pem(
        None, Path(certificate).read_bytes(), Path(pki.path("client.key")).read_bytes()
    )
    assert repr(found) == "Pem()"


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "no certificate or no key in PEM format"), (None, "No such file or directory")],
)
def test_a_file_that_is_none(tmp_path: Path, content: str | None, reason: str) -> None:
    """It is named, with what is wrong."""
    file = tmp_path / "x.pem"
    if content is not None:
        file.write_text(content)
    [found] = load(Tls(client_cert=str(file)))
    assert found == Failure(Unreachable(f'read TLS file "{file}"', reason))


def test_no_fifo_is_waited_for(tmp_path: Path) -> None:
    """Its other end might never come."""
    os.mkfifo(tmp_path / "x")
    [found] = load(Tls(ca_cert=str(tmp_path / "x")))
    assert found == Failure(Unreachable(f'read TLS file "{tmp_path}/x"', "not a regular file"))


@pytest.fixture
def policy(tmp_path: Path, pki: Certificates) -> AccessPolicy:
    """Two roots, with a file in each, and one outside of both."""
    for folder in ("files", "tls", "elsewhere"):
        (tmp_path / folder).mkdir()
        shutil.copy(pki.path("ca.pem"), tmp_path / folder / "ca.pem")
    secret = tmp_path / "files" / "secret.pem"
    shutil.copy(pki.path("ca.pem"), secret)
    return AccessPolicy(tmp_path / "files", tmp_path / "tls", protected=lambda: (secret,))


def test_a_server_reads_below_its_roots(policy: AccessPolicy) -> None:
    """A relative path is from the file root; a link inside of a root may be followed."""
    (policy.file_root / "link.pem").symlink_to("ca.pem")
    (policy.file_root / "across.pem").symlink_to(policy.tls_root / "ca.pem")
    given = ["ca.pem", str(policy.tls_root / "ca.pem"), "link.pem", "across.pem"]
    for path in given:
        assert isinstance(load(Tls(ca_cert=path), policy=policy)[0], Success), path
        assert TlsContexts(policy).permit(Tls(ca_cert=path)) == Success(None)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../elsewhere/ca.pem", "is outside the folders for TLS files"),
        ("out.pem", "is outside the folders for TLS files"),
        ("../elsewhere/missing.pem", "is outside the folders for TLS files"),
        ("/dev/zero", "is outside the folders for TLS files"),
        ("secret.pem", "is the server's own"),
        ("hard.pem", "is the server's own"),
        ("pipe.pem", "is no regular file"),
        (".", "is no regular file"),
    ],
)
def test_what_a_server_may_not_read(policy: AccessPolicy, path: str, reason: str) -> None:
    """A dry run says the same as a delivery; nothing outside tells whether it exists."""
    (policy.file_root / "out.pem").symlink_to("../elsewhere/ca.pem")
    (policy.file_root / "hard.pem").hardlink_to(policy.file_root / "secret.pem")
    os.mkfifo(policy.file_root / "pipe.pem")
    [found] = load(Tls(ca_cert=path), policy=policy)
    assert isinstance(found, Failure)
    problem = found.failure()
    assert isinstance(problem, Forbidden)
    assert reason in str(problem)
    assert TlsContexts(policy).permit(Tls(ca_cert=path)) == found


def test_a_file_that_is_missing_below_a_root(policy: AccessPolicy) -> None:
    """That is no matter of what is allowed: a dry run passes, a delivery says that it is not there."""
    tls = Tls(ca_cert="missing.pem")
    assert TlsContexts(policy).permit(tls) == Success(None)
    [found] = load(tls, policy=policy)
    where = policy.file_root / "missing.pem"
    assert found == Failure(Unreachable(f'read TLS file "{where}"', "No such file or directory"))


def test_which_files_are_named() -> None:
    """By their fields; a name or a switch is no file."""
    assert Tls(ca_cert="a", server_name="n").paths() == {"ca_cert": "a"}
    assert KafkaTls(enabled=False).paths() == {}
