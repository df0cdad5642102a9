"""The job that brings one notice to one address: signed after the Standard Webhooks, and tried again with pauses."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import random
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import httpx2

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobContext, Json
from services.chassis.machine.hosts import HostPolicy
from services.chassis.settings import Webhook

DELIVERY_KIND = "webhook_delivery"
AT_ONCE = 32
# Eighteen hours in all.
PAUSES_SECONDS = (5.0, 20.0, 80.0, 320.0, 1280.0, 5120.0, 14400.0, 14400.0, 14400.0, 14400.0)
_LONGEST_SECONDS = 1.2 * max(PAUSES_SECONDS)
_TIMEOUT_SECONDS = 15.0
_PREFIX = "whsec_"
_MIN_KEY_BYTES = 24


class DeliveryJob:
    """Does jobs of kind `DELIVERY_KIND`, and sends `AT_ONCE` at once.

    The message's id is the job's, so that a receiver knows a repeat.

    Args:
        webhooks: By the digest of their address.
        policy: Which hosts may be told; it has the secrets.
        client: Sends the requests.
        pauses: Seconds between the tries.
    """

    def __init__(
        self,
        webhooks: Mapping[str, Webhook],
        policy: HostPolicy,
        client: httpx2.AsyncClient,
        pauses: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        self._webhooks, self._policy, self._client, self._pauses = webhooks, policy, client, pauses
        # Those that waited for their next try may be due together, and are not claimed again.
        self._places = asyncio.Semaphore(AT_ONCE)

    async def run(self, context: JobContext) -> Json:
        """Deliver and return how many tries that took.

        Raises:
            FailedPrecondition: The webhook is set no more, wants no more, or did not take it in all tries.
        """
        spec = context.job.spec
        webhook = self._webhooks.get(spec["webhook"])
        if webhook is None:
            raise FailedPrecondition("The webhook of this notice is set no more.", "Set it again to be told.")
        body = json.dumps(spec["message"], ensure_ascii=False, separators=(",", ":"))
        saved = context.saved or {"num_tries": 0, "due": 0.0}
        num_tries, due = saved["num_tries"], saved["due"]
        while True:
            await _wait(context, due)
            async with self._places:
                problem = await self._try(webhook, f"msg_{context.job.job_id}", body)
            num_tries += 1
            if not problem:
                return {"num_tries": num_tries}
            if num_tries > len(self._pauses):
                raise FailedPrecondition(
                    f"The webhook at {webhook.host} did not take the notice in {num_tries} tries: {problem}.",
                    "See that it answers with a status of 200 to 299 within 15 s.",
                )
            due = time.time() + self._pauses[num_tries - 1] * random.uniform(0.8, 1.2)
            await context.checkpoint({"num_tries": num_tries, "due": due})
            await context.progress(message=f"Try {num_tries} failed: {problem}.")

    async def _try(self, webhook: Webhook, message_id: str, body: str) -> str:
        """Send the message; return what went wrong, or an empty text.

        Raises:
            FailedPrecondition: The address says that it wants no more.
        """
        key = signing_key(self._policy.secret_for(webhook.secret, webhook.host, field="secret", is_chosen=True))
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


def signing_key(secret: str) -> bytes:
    """Return the key in a secret such as `whsec_…`.

    Raises:
        FailedPrecondition: It has another form, or is short.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True) if secret.startswith(_PREFIX) else b""
    except binascii.Error:
        key = b""
    if len(key) < _MIN_KEY_BYTES:
        raise FailedPrecondition(
            "The secret of a webhook has not the form whsec_ and then at least 24 bytes in base64.",
            'Make one with `echo "whsec_$(openssl rand -base64 32)"`, and give it to the receiver too.',
        )
    return key


def signature(key: bytes, message_id: str, moment: str, body: str) -> str:
    """Return the value of `webhook-signature`."""
    signed = hmac.new(key, f"{message_id}.{moment}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
