"""Webhooks: what is told, that it is signed, and that nothing is lost or doubled, whatever receiver and process do."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import httpx2
import pytest
import structlog
from pydantic import ValidationError

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.errors import DatabaseAway, FailedPrecondition, ServiceError
from services.chassis.jobs import Job, JobContext, JobRunner, JobState, Json, SqlJobStore, watch
from services.chassis.logs import configure_logs
from services.chassis.machine.guarded_http import open_client
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets
from services.chassis.machine.webhooks import notices
from services.chassis.machine.webhooks.delivery import DeliveryJob
from services.chassis.machine.webhooks.notices import Notices
from services.chassis.machine.webhooks.signing import Keys, signature, signing_key
from services.chassis.machine.webhooks.subscriptions import AT_ONCE, DELIVERY_KIND, Subscriptions
from services.chassis.machine.webhooks.wiring import old_deliveries, wired_notices
from services.chassis.settings import ServiceSettings, Webhook
from tests.fakes.databases import new_database
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.machine.webhook_receiver import SECRET, Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def host_policy() -> HostPolicy:
    """Return a policy that knows the secret `hook`."""
    secrets = Secrets("X_", None, {"X_SECRET_HOOK": SECRET})
    return HostPolicy((), secrets, variables=HostVariables("X_WEBHOOK_HOSTS", "X_WEBHOOK_HOSTS"))


class Process:
    """A service whose jobs of kind "work" do as their spec says, and its webhooks."""

    def __init__(self, store: SqlJobStore, *webhooks: Webhook, pauses: tuple[float, ...] = (0.0, 0.0)) -> None:
        self.store = store
        self.go_on = asyncio.Event()
        self.subscriptions = Subscriptions("registry", store, webhooks, lambda webhook: None)
        self.client = open_client()
        more = {"goal": lambda job: [("goal.missed", {"by": 1})]}
        self.notices = Notices("registry", store, self.subscriptions, stuck=timedelta(0), more=more, parts={"part"})
        self.runner = JobRunner(store, owner="one", is_only_owner=True)
        deliver = DeliveryJob(self.subscriptions.webhook, Keys(host_policy()), self.client, pauses=pauses)
        self.runner.register(DELIVERY_KIND, deliver.run, limit=8)
        for kind in ("work", "goal", "part"):
            self.runner.register(kind, self._work, limit=8)

    async def _work(self, context: JobContext) -> Json:
        if context.job.spec.get("fails"):
            raise FailedPrecondition("It broke.", "Mend it.")
        if context.job.spec.get("waits"):
            await self.go_on.wait()
        return {"made": "a@1"}

    async def started(self) -> Process:
        """Begin."""
        await self.subscriptions.all()
        await self.runner.start()
        return self

    async def ended(self, kind: str = "work", **spec: Any) -> Job:
        """Return a job of a kind once it has ended."""
        return await self.end_of((await self.store.create(kind, "", spec)).job_id)

    async def end_of(self, job_id: str) -> Job:
        """Return a job once it has ended."""
        async for _ in watch(self.store, job_id):
            pass
        return await self.store.get(job_id)

    async def delivered(self) -> list[Job]:
        """Return the deliveries once all have ended."""
        jobs, _ = await self.store.list(DELIVERY_KIND)
        return [await self.end_of(job.job_id) for job in jobs]

    async def stop(self) -> None:
        """End."""
        await self.runner.stop(5.0)
        await self.client.aclose()


@pytest.fixture
async def store() -> AsyncIterator[SqlJobStore]:
    yield SqlJobStore(new_database(JOB_MIGRATIONS))


def hook(receiver: Receiver, **more: Any) -> Webhook:
    return Webhook(url=receiver.url, secret="hook", **more)


def test_a_signature_is_that_of_the_standard() -> None:
    signed = signature(signing_key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", '{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "plain", "whsec_", "whsec_c2hvcnQ=", "whsec_no base64", SECRET[6:]])
def test_a_secret_of_another_form_is_refused(secret: str) -> None:
    with pytest.raises(FailedPrecondition, match="openssl rand"):
        signing_key(secret)


async def test_each_end_is_told_once_to_who_wants_it(store: SqlJobStore, receiver: Receiver) -> None:
    other = Webhook(url=f"{receiver.url}?goals", secret="hook", events=("goal",))
    process = await Process(store, hook(receiver, kinds=("work",)), other).started()
    await process.ended()
    failed = await process.ended(fails=True)
    await process.ended("goal")
    for _ in range(3):
        await process.notices.tell()
    await process.delivered()
    assert sorted(receiver.told()) == [
        ("goal.missed", "goal", "SUCCEEDED"),
        ("job.failed", "work", "FAILED"),
        ("job.succeeded", "work", "SUCCEEDED"),
    ]
    messages = [json.loads(body) for _, body in receiver.taken]
    by_type = {message["type"]: message["data"] for message in messages}
    assert by_type["job.succeeded"]["result"] == {"made": "a@1"} and by_type["goal.missed"]["by"] == 1
    assert (by_type["job.failed"]["job_id"], by_type["job.failed"]["problem"]) == (failed.job_id, "It broke.")
    assert [message["type"] for message in messages].count("webhook.enabled") == 2
    await process.stop()


async def test_a_database_that_is_away_again_and_again_is_waited_for(
    store: SqlJobStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_LOOK_SECONDS", 0.01)
    process = Process(store, hook(receiver))
    await process.runner.start()
    num_calls, create, look = 0, store.create, store.ended_since

    async def away(call: Any, *args: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if num_calls < 10 or 12 < num_calls < 20:
            raise DatabaseAway("The database is away.", "Try again.")
        return await call(*args)

    monkeypatch.setattr(store, "create", partial(away, create))
    monkeypatch.setattr(store, "ended_since", partial(away, look))
    telling = asyncio.create_task(process.notices.keep_telling())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (num_calls > 20 and receiver.taken):
            assert not telling.done()
            await asyncio.sleep(0.01)
    telling.cancel()
    await process.stop()


async def test_a_notice_that_is_refused_is_sent_again_under_the_same_id_and_at_last_given_up(
    store: SqlJobStore, receiver: Receiver
) -> None:
    process = await Process(store, hook(receiver)).started()
    await process.delivered()
    receiver.statuses = [500, 302, 204]
    await process.ended()
    await process.notices.tell()
    (delivery, _) = await process.delivered()
    assert delivery.result == {"num_tries": 3}
    assert len({headers["webhook-id"] for headers, _ in receiver.taken[1:]}) == 1 and len(receiver.taken) == 4
    receiver.statuses = [500] * 3
    await process.ended()
    await process.notices.tell()
    (delivery, *_) = await process.delivered()
    assert delivery.error is not None and "in 3 tries: its status is 500" in delivery.error.problem
    receiver.statuses = [410]
    await process.ended()
    await process.notices.tell()
    (delivery, *_) = await process.delivered()
    assert delivery.error is not None and "is gone" in delivery.error.problem
    await process.stop()


@pytest.fixture
def debug_logs(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Log all levels, as a service does, to what is returned."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure_logs(service="registry", level="debug", log_format="json")
    yield capsys
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


async def test_an_address_that_may_not_be_told_any_more_is_given_up_at_once(store: SqlJobStore) -> None:
    inward = Webhook(url="https://10.0.0.7/x", secret="hook")
    process = await Process(store, inward).started()
    (delivery,) = await process.delivered()
    assert delivery.error is not None and "X_WEBHOOK_HOSTS" in delivery.error.next_step
    await process.stop()

    def refuse(webhook: Webhook) -> None:
        raise FailedPrecondition(f"{webhook.host} may not be told.", "Name it.")

    added = await Subscriptions("registry", store, (), lambda webhook: None).add(inward)
    with pytest.raises(FailedPrecondition, match="may not be told"):
        await Subscriptions("registry", store, (), refuse).webhook(added.webhook.key)


async def test_no_log_of_a_delivery_has_the_address(
    store: SqlJobStore, receiver: Receiver, debug_logs: pytest.CaptureFixture[str]
) -> None:
    receiver.statuses = [302, 500, 204]
    process = await Process(store, Webhook(url=f"{receiver.url}/T0KEN?key=K3Y", secret="hook")).started()
    await process.delivered()
    await process.stop()
    logging.getLogger("library").debug("seen")
    out = debug_logs.readouterr().err
    assert '"seen"' in out and len(receiver.taken) == 3
    assert not [word for word in ("/hook", "T0KEN", "K3Y") if word in out]


async def test_deliveries_that_are_due_together_are_sent_so_many_at_once(store: SqlJobStore) -> None:
    num_asked, go_on = 0, asyncio.Event()

    async def answer(_request: httpx2.Request) -> httpx2.Response:
        nonlocal num_asked
        num_asked += 1
        await go_on.wait()
        return httpx2.Response(204)

    webhook = Webhook(url="https://hooks.example/x", secret="hook")
    client = open_client(transport=httpx2.MockTransport(answer))

    async def webhook_of(_key: str) -> Webhook:
        return webhook

    run = DeliveryJob(webhook_of, Keys(host_policy()), client).run
    job = await store.create(DELIVERY_KIND, "", {"webhook": webhook.key, "message": {}})
    deliveries = [asyncio.create_task(run(JobContext(store, job))) for _ in range(AT_ONCE + 8)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while num_asked < AT_ONCE:
            await asyncio.sleep(0.01)
        # Whoever may be sent, is sent within these turns.
        for _ in range(100):
            await asyncio.sleep(0)
        assert num_asked == AT_ONCE
        go_on.set()
        assert await asyncio.gather(*deliveries) == [{"num_tries": 1}] * len(deliveries)
    await client.aclose()


async def test_what_ended_before_a_process_did_is_told_by_the_next_one_and_nothing_twice(
    store: SqlJobStore, receiver: Receiver
) -> None:
    before = await Process(store).started()
    await before.ended()
    await before.stop()
    first = await Process(store, hook(receiver), pauses=(0.0,)).started()
    await first.delivered()
    receiver.statuses = [503]
    await first.ended()
    await first.notices.tell()
    await first.delivered()
    # Ended, and not looked at any more.
    await first.ended(fails=True)
    await first.stop()
    second = await Process(store, hook(receiver)).started()
    await second.notices.tell()
    await second.delivered()
    # What ended before the webhook was set is not told; what was taken is not sent again.
    assert receiver.told() == [("job.succeeded", "work", "SUCCEEDED")] * 2 + [("job.failed", "work", "FAILED")]
    await second.stop()


async def test_a_delivery_that_waits_for_its_next_try_goes_on_in_the_next_process(
    store: SqlJobStore, receiver: Receiver
) -> None:
    first = await Process(store, hook(receiver), pauses=(3600.0,)).started()
    await first.delivered()
    receiver.statuses = [503]
    await first.ended()
    await first.notices.tell()
    (delivery, _), _ = await store.list(DELIVERY_KIND)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await store.get(delivery.job_id)).saved:
            await asyncio.sleep(0.01)
    await first.stop()
    saved = (await store.get(delivery.job_id)).saved
    assert saved is not None and saved["num_tries"] == 1
    # An hour later.
    claimed = await store.claim([DELIVERY_KIND], "clock", 1.0)
    assert claimed is not None and claimed.job_id == delivery.job_id
    await store.save_checkpoint(claimed.job_id, claimed.epoch, {**saved, "due": 0.0})
    await store.release(claimed.job_id, claimed.epoch)
    second = await Process(store, hook(receiver)).started()
    assert (await second.end_of(delivery.job_id)).result == {"num_tries": 2}
    await second.stop()


async def test_a_job_that_stands_still_is_told_once(store: SqlJobStore, receiver: Receiver) -> None:
    process = await Process(store, hook(receiver, events=("job.stuck",))).started()
    job = await store.create("work", "", {"waits": True})
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await store.get(job.job_id)).state is not JobState.RUNNING:
            await asyncio.sleep(0.01)
    for _ in range(2):
        await process.notices.tell()
    process.go_on.set()
    await process.end_of(job.job_id)
    await process.notices.tell()
    await process.delivered()
    assert receiver.told() == [("job.stuck", "work", "RUNNING")]
    await process.stop()


async def test_a_webhook_that_is_set_no_more_gets_nothing_and_old_deliveries_are_garbage(
    store: SqlJobStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await Process(store, hook(receiver)).started()
    await process.ended()
    await process.notices.tell()
    await process.delivered()
    await process.stop()
    assert [garbage.name async for garbage in old_deliveries(store)] == []
    monkeypatch.setattr("services.chassis.machine.webhooks.wiring._KEPT", timedelta(0))
    (old,) = [garbage async for garbage in old_deliveries(store)]
    await old.remove()
    (greeting,) = (await store.list(DELIVERY_KIND))[0]
    assert greeting.spec["message"]["type"] == "webhook.enabled"
    job = await store.create(DELIVERY_KIND, "", {"webhook": "other", "message": {}})
    without = await Process(store).started()
    error = (await without.end_of(job.job_id)).error
    assert error is not None and "set no more" in error.problem
    await without.stop()


async def test_nobody_is_told_of_a_part_of_a_job(store: SqlJobStore, receiver: Receiver) -> None:
    process = await Process(store, hook(receiver)).started()
    part = await store.create("part", "", {"waits": True})
    async with asyncio.timeout(PATIENCE_SECONDS):
        while part.job_id not in process.runner.running:
            await asyncio.sleep(0.005)
    await process.notices.tell()
    process.go_on.set()
    await process.end_of(part.job_id)
    await process.notices.tell()
    assert [job.spec["message"]["type"] for job in await process.delivered()] == ["webhook.enabled"]
    await process.stop()


@pytest.mark.parametrize(
    ("webhook", "hosts", "problem"),
    [
        ({"url": "http://hooks.example/x", "secret": "hook"}, (), "https"),
        ({"url": "https://hooks.example/x", "secret": "hook"}, ("other.example",), "WEBHOOK_HOSTS"),
        ({"url": "https://hooks.example/x", "secret": "nobody"}, (), "SECRET_NOBODY"),
        ({"url": "https://hooks.example/x", "secret": "short"}, (), "24 bytes"),
    ],
)
def test_a_webhook_that_could_not_be_told_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, webhook: Any, hosts: tuple[str, ...], problem: str
) -> None:
    monkeypatch.setenv("SECRET_HOOK", SECRET)
    monkeypatch.setenv("SECRET_SHORT", "whsec_c2hvcnQ=")
    with pytest.raises((ServiceError, ValidationError), match=problem):
        settings = ServiceSettings(webhooks=(webhook,), webhook_hosts=hosts)
        unused: Any = (None, None)
        wired_notices("registry", settings, unused, {})
