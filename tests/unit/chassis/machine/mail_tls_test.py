"""Mail over TLS, by STARTTLS and from the first byte, to a real server with a certificate of its own."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from services.chassis.machine.webhooks.mailing import MailServer
from tests.unit.chassis.machine.mail_test import Mailbox, running

MESSAGE = {"type": "job.stuck", "data": {"service": "trainer", "job_id": "j", "kind": "loop"}}
# Leads to this machine, and is none of the names under which STARTTLS may be missing.
HOST = "0.0.0.0"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what lets this process trust the authority, as a machine does whose operator installs it."""

    def install() -> None:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    return install


def server_context(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)
    return context


async def sent(scheme: str, mailbox: Mailbox, context: ssl.SSLContext | None, *, is_implicit: bool) -> str:
    """Return what a mail to a server comes to, which speaks TLS by STARTTLS or from the first byte, or not at all."""
    with running(mailbox, context, is_implicit=is_implicit) as address:
        url = f"{scheme}://ann@{HOST}:{address.rpartition(':')[2]}"
        mail = MailServer(url, "drillyard@example.org", lambda: "s3cret")
        return await mail.send("ann@example.org", "msg_1", MESSAGE)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_mail_and_password_go_encrypted_to_a_server_whose_certificate_is_right(
    scheme: str, authority: trustme.CA, trust: Callable[[], None]
) -> None:
    trust()
    mailbox = Mailbox()
    assert await sent(scheme, mailbox, server_context(authority, HOST), is_implicit=scheme == "smtps") == ""
    assert (len(mailbox.mails), mailbox.callers, mailbox.are_encrypted) == (1, [b"ann"], [True])


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("host", [HOST, "127.0.0.9"])
async def test_a_certificate_of_a_stranger_or_for_another_host_gets_neither_mail_nor_password(
    scheme: str, host: str, authority: trustme.CA, trust: Callable[[], None]
) -> None:
    if host != HOST:
        trust()
    mailbox = Mailbox()
    problem = await sent(scheme, mailbox, server_context(authority, host), is_implicit=scheme == "smtps")
    assert problem.startswith("the certificate of the mail server is not accepted: ")
    assert ("mismatch" in problem) == (host != HOST)
    assert not mailbox.mails and not mailbox.callers


@pytest.mark.parametrize(("scheme", "sentence"), [("smtp", "STARTTLS"), ("smtps", "does not encrypt")])
async def test_a_server_that_does_not_encrypt_gets_neither_mail_nor_password(scheme: str, sentence: str) -> None:
    mailbox = Mailbox()
    assert sentence in await sent(scheme, mailbox, None, is_implicit=False)
    assert not mailbox.mails and not mailbox.callers
