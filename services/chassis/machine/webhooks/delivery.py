"""The job that brings one notice to one address: signed after the Standard Webhooks, and tried again with pauses."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobContext, Json
from services.chassis.machine.guarded_http import ForbiddenAddressError
from services.chassis.machine.webhooks.signing import Keys, no_mail_server, signature, signing_key
from services.chassis.machine.webhooks.subscriptions import AT_ONCE
from services.chassis.settings import Webhook

if TYPE_CHECKING:
    from services.chassis.machine.webhooks.mailing import MailServer

# Eighteen hours in all.
PAUSES_SECONDS = (5.0, 20.0, 80.0, 320.0, 1280.0, 5120.0, 14400.0, 14400.0, 14400.0, 14400.0)
_LONGEST_SECONDS = 1.2 * max(PAUSES_SECONDS)
_TIMEOUT_SECONDS = 15.0


class DeliveryJob:
    """Does jobs that bring a notice to an address, and sends `AT_ONCE` at once.

    The message's id is the job's, so that a receiver knows a repeat.

    Args:
        webhook_of: Returns the webhook whose address has a digest; None: it is set no more.
        keys: By which notices are signed.
        client: Sends the requests.
        mail: Takes mail, where there is such a server.
        pauses: Seconds between the tries.
    """

    def __init__(
        self,
        webhook_of: Callable[[str], Awaitable[Webhook | None]],
        keys: Keys,
        client: httpx2.AsyncClient,
        mail: MailServer | None = None,
        *,
        pauses: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        self._webhook_of, self._keys, self._client, self._mail = webhook_of, keys, client, mail
        self._pauses = pauses
        # Those that waited for their next try may be due together, and are not claimed again.
        self._places = asyncio.Semaphore(AT_ONCE)

    async def run(self, context: JobContext) -> Json:
        """Deliver and return how many tries that took.

        Raises:
            FailedPrecondition: The webhook is set no more, wants no more, or did not take it in all tries.
            PermissionDenied: Its host may not be told.
        """
        saved = context.saved or {"num_tries": 0, "due": 0.0}
        num_tries, due = saved["num_tries"], saved["due"]
        while True:
            await _wait(context, due)
            webhook = await self._webhook_of(context.job.spec["webhook"])
            if webhook is None:
                raise FailedPrecondition("The webhook of this notice is set no more.", "Set it again to be told.")
            async with self._places:
                problem = await self._try(webhook, f"msg_{context.job.job_id}", context.job.spec["message"])
            num_tries += 1
            if not problem:
                return {"num_tries": num_tries}
            if num_tries > len(self._pauses):
                next_step = "See that it answers with a status of 200 to 299 within 15 s."
                raise FailedPrecondition(
                    f"The webhook at {webhook.host} did not take the notice in {num_tries} tries: {problem}.",
                    "See the mail server's log." if webhook.mail_address else next_step,
                )
            due = time.time() + self._pauses[num_tries - 1] * random.uniform(0.8, 1.2)
            await context.checkpoint({"num_tries": num_tries, "due": due})
            await context.progress(message=f"Try {num_tries} failed: {problem}.")

    async def _try(self, webhook: Webhook, message_id: str, message: Json) -> str:
        """Send the message; return what went wrong, or an empty text.

        Raises:
            FailedPrecondition: The address says that it wants no more.
            PermissionDenied: Its host leads to where only hosts lead that an operator names.
        """
        if webhook.mail_address:
            if self._mail is None:
                raise no_mail_server()
            return await self._mail.send(webhook.mail_address, message_id, message)
        return await self._post(webhook, message_id, json.dumps(message, ensure_ascii=False, separators=(",", ":")))

    async def _post(self, webhook: Webhook, message_id: str, body: str) -> str:
        key = signing_key(self._keys.secret_of(webhook))
        moment = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": moment,
            "webhook-signature": signature(key, message_id, moment, body),
        }
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                response = await self._client.post(webhook.url, content=body.encode(), headers=headers)
        except ForbiddenAddressError:
            raise self._keys.policy.inward(webhook.host) from None
        except (httpx2.HTTPError, TimeoutError) as error:
            return f"it does not answer ({type(error).__name__})"
        if response.status_code == HTTPStatus.GONE:
            raise FailedPrecondition(f"The webhook at {webhook.host} is gone.", "Take it out of the settings.")
        return "" if response.is_success else f"its status is {response.status_code}"


async def _wait(context: JobContext, due: float) -> None:
    """Wait until a time of the wall clock, never longer than the longest pause, and in no other delivery's place."""
    context.waits = context.awaits_person = True
    await asyncio.sleep(min(due - time.time(), _LONGEST_SECONDS))
    context.waits = context.awaits_person = False
