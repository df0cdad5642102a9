"""Who is told is added, tried and removed, and mail goes over a real SMTP server of this machine."""

import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from drillyard.notice.v1 import notice_service_pb2 as pb
from pydantic import ValidationError

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from services.chassis.jobs import JobRunner, SqlJobStore, watch
from services.chassis.machine.parent import ServiceToken
from services.chassis.machine.webhooks.mailing import MailServer, mail_of
from services.chassis.machine.webhooks.wiring import wired_notices
from services.chassis.settings import ServiceSettings
from tests.fakes.databases import new_database
from tests.machine import free_port

ANN = "mailto:ann@example.org"
CONTEXT: Any = None


class Mailbox:
    """A mail server that first refuses as it is told, and keeps what it takes."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.refusals: list[str] = []
        self.callers: list[bytes] = []
        self.are_encrypted: list[bool] = []

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        """Take or refuse an address."""
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take a mail."""
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        """Let in who knows the password."""
        assert isinstance(data, LoginPassword)
        self.callers.append(data.login)
        assert server.transport is not None
        self.are_encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return AuthResult(success=data.password == b"s3cret", handled=False)


@contextmanager
def running(mailbox: Mailbox, tls: ssl.SSLContext | None = None, *, is_implicit: bool = False) -> Iterator[str]:
    """Serve a mailbox, encrypted by STARTTLS or from the first byte where there is a `tls`, and yield its address."""
    controller = Controller(
        mailbox,
        "127.0.0.1",
        free_port(),
        ssl_context=tls if is_implicit else None,
        tls_context=None if is_implicit else tls,
        authenticator=mailbox.authenticate,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield f"127.0.0.1:{controller.port}"
    finally:
        controller.stop()


class Trainer:
    """A service whose jobs of kind "work" fail, and that sends mail by a server."""

    def __init__(self, host: str = "", token: ServiceToken | None = None, **settings: Any) -> None:
        self.store = SqlJobStore(new_database(JOB_MIGRATIONS))
        self.runner = JobRunner(self.store, owner="one", is_only_owner=True)
        self.runner.register("work", self._work)
        mail = {"smtp_url": f"smtp://{host}", "mail_from": "drillyard@example.org"} if host else {}
        wired = wired_notices(
            "trainer", ServiceSettings(**mail, **settings), (self.store, self.runner), {}, token=token
        )
        self.notices, self.rpcs, self.sending = wired.notices, wired.servicer, wired.sending

    async def _work(self, context: Any) -> Any:
        raise FailedPrecondition("It broke.\r\nBcc: all@example.org", "Mend it.")

    async def add(self, url: str, *events: str) -> pb.CreateSubscriptionResponse:
        """Tell an address."""
        return await self.rpcs.CreateSubscription(pb.CreateSubscriptionRequest(url=url, events=events), CONTEXT)

    async def remove(self, subscription_id: str) -> None:
        """Tell an address no more."""
        await self.rpcs.DeleteSubscription(pb.DeleteSubscriptionRequest(subscription_id=subscription_id), CONTEXT)

    async def subscriptions(self) -> list[pb.Subscription]:
        """Return who is told."""
        return list((await self.rpcs.ListSubscriptions(pb.ListSubscriptionsRequest(), CONTEXT)).subscriptions)

    async def fail_and_tell(self) -> str:
        """Let a job fail, store what is told of it, and return its id."""
        job = await self.store.create("work", "", {})
        await self.ended("work")
        await self.notices.tell()
        return job.job_id

    async def ended(self, *kinds: str) -> list[str]:
        """Return the states of all jobs of these kinds once they have ended."""
        states = []
        for kind in kinds:
            for job in (await self.store.list(kind))[0]:
                async for _ in watch(self.store, job.job_id):
                    pass
                states.append(str((await self.store.get(job.job_id)).state))
        return states


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def host(mailbox: Mailbox) -> Iterator[str]:
    with running(mailbox) as host:
        yield host


@pytest.fixture
async def trainer(host: str) -> AsyncIterator[Trainer]:
    trainer = Trainer(host)
    await trainer.runner.start()
    yield trainer
    await trainer.runner.stop(5.0)
    await trainer.sending.close()


async def test_an_address_is_greeted_and_told_by_mail_until_it_is_removed(trainer: Trainer, mailbox: Mailbox) -> None:
    added = (await trainer.add(ANN, "job.failed")).subscription
    assert (await trainer.add(ANN, "job.failed")).subscription == added and added.address == ANN
    with pytest.raises(AlreadyExists):
        await trainer.add(ANN)
    job_id = await trainer.fail_and_tell()
    request = pb.TestSubscriptionRequest(subscription_id=added.subscription_id)
    await trainer.rpcs.TestSubscription(request, CONTEXT)
    assert await trainer.ended("webhook", "webhook_delivery") == ["SUCCEEDED"] * 3
    assert sorted(str(mail["Subject"]) for mail in mailbox.mails) == [
        "Drillyard: trainer, a test",
        "Drillyard: trainer, you are told from now on",
        "Drillyard: work, job failed",
    ]
    told = next(mail for mail in mailbox.mails if "failed" in mail["Subject"])
    assert (told["To"], told["From"], told["Bcc"]) == ("ann@example.org", "drillyard@example.org", None)
    text, attached = (part.get_payload(decode=True) for part in told.walk() if not part.is_multipart())
    assert f"drillyard open {job_id}" in str(text) and "Mend it." in str(text)
    assert json.loads(bytes(attached))["data"]["job_id"] == job_id
    deliveries = (await trainer.rpcs.ListDeliveries(pb.ListDeliveriesRequest(), CONTEXT)).deliveries
    assert [(one.event, one.num_tries, one.state) for one in deliveries] == [
        ("webhook.test", 1, "SUCCEEDED"),
        ("job.failed", 1, "SUCCEEDED"),
        ("webhook.enabled", 1, "SUCCEEDED"),
    ]
    await trainer.remove(added.subscription_id)
    with pytest.raises(NotFound):
        await trainer.remove(added.subscription_id)
    with pytest.raises(NotFound):
        await trainer.rpcs.TestSubscription(request, CONTEXT)
    await trainer.fail_and_tell()
    await trainer.ended("webhook_delivery")
    assert len(mailbox.mails) == 3 and await trainer.subscriptions() == []


async def test_what_happened_is_told_to_who_asks_since_when(trainer: Trainer) -> None:
    job_id = await trainer.fail_and_tell()
    response = await trainer.rpcs.ListNotices(pb.ListNoticesRequest(since_seconds=0), CONTEXT)
    (notice,) = response.notices
    assert (notice.event, notice.service, notice.job_id, notice.kind) == ("job.failed", "trainer", job_id, "work")
    assert notice.sentence.startswith("It broke.")
    later = pb.ListNoticesRequest(since_seconds=notice.time.seconds + 60)
    assert not (await trainer.rpcs.ListNotices(later, CONTEXT)).notices
    with pytest.raises(InvalidArgument):
        await trainer.rpcs.ListNotices(pb.ListNoticesRequest(since_seconds=2**62), CONTEXT)


async def test_what_the_server_does_not_take_is_tried_again_or_given_up(mailbox: Mailbox, host: str) -> None:
    def server(address: str, password: str = "s3cret") -> MailServer:
        return MailServer(f"smtp://ann@{address}", "drillyard@example.org", lambda: password)

    message = {"type": "job.stuck", "data": {"service": "trainer", "job_id": "j", "kind": "loop"}}
    mailbox.refusals = ["451 Busy"]
    assert "for now (451)" in await server(host).send("ann@example.org", "msg_1", message)
    assert await server(host).send("ann@example.org", "msg_1", message) == ""
    assert mailbox.callers == [b"ann"] * 2
    mailbox.refusals = ["550 Nobody"]
    with pytest.raises(FailedPrecondition, match=r"example\.org \(550\)"):
        await server(host).send("ann@example.org", "msg_2", message)
    assert "535" in await server(host, "wrong").send("ann@example.org", "msg_3", message)
    nobody = f"127.0.0.1:{free_port()}"
    assert "does not answer" in await server(nobody).send("ann@example.org", "msg_4", message)
    assert len(mailbox.mails) == 1


def test_no_header_is_made_by_what_is_told() -> None:
    message = {"type": "job.failed", "data": {"service": "trainer", "kind": "x\r\nBcc: all@example.org"}}
    mail = mail_of(message, "drillyard@example.org", "ann@example.org", "msg_1")
    assert mail["Bcc"] is None and "\n" not in mail["Subject"]


@pytest.mark.parametrize(
    "url",
    ["", "mailto:", "mailto:ann", "mailto:a@b,c@d", "mailto:a@b?bcc=c@d", "mailto:a@b\r\nx", "ftp://a", "https://a:b"],
)
async def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument):
        await Trainer("127.0.0.1:25").add(url)


def test_mail_comes_from_one_address_without_a_name() -> None:
    assert ServiceSettings(mail_from="drillyard@example.org").mail_from
    with pytest.raises(ValidationError, match="one address without a name"):
        ServiceSettings(mail_from="Drillyard <drillyard@example.org>")


async def test_mail_needs_a_server_and_a_webhook_what_signs_it(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="SMTP_URL"):
        await Trainer().add(ANN)
    with pytest.raises(FailedPrecondition, match="token"):
        await Trainer().add("https://hooks.example/x")
    trainer = Trainer(token=ServiceToken.make(tmp_path / "token"), webhook_hosts=("hooks.example",))
    answer = await trainer.add("https://hooks.example/T0KEN")
    assert answer.signing_secret.startswith("whsec_") and answer.subscription.address == "https://hooks.example"
    with pytest.raises(PermissionDenied, match="WEBHOOK_HOSTS"):
        await trainer.add("https://other.example/x")
    await trainer.remove(answer.subscription.subscription_id)
    assert await trainer.subscriptions() == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/x", "http://localhost:9/x", "http://[::1]/x", "https://10.0.0.7/x", "https://169.254.169.254"],
)
async def test_what_is_not_on_the_internet_is_told_where_an_operator_names_it(tmp_path: Path, url: str) -> None:
    token = ServiceToken.make(tmp_path / "token")
    with pytest.raises(PermissionDenied, match="WEBHOOK_HOSTS"):
        await Trainer(token=token).add(url)
    named = Trainer(token=token, webhook_hosts=(str(urlsplit(url).hostname),))
    assert (await named.add(url)).subscription.address == url.removesuffix("/x")
