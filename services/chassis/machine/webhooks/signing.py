"""By what notices are signed, after the Standard Webhooks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from services.chassis.errors import FailedPrecondition
from services.chassis.machine.hosts import HostPolicy
from services.chassis.machine.parent import ServiceToken
from services.chassis.settings import Webhook

_PREFIX = "whsec_"
_MIN_KEY_BYTES = 24


@dataclass(frozen=True)
class Keys:
    """By what notices are signed: secrets of the operator, and for addresses that people added the token's."""

    policy: HostPolicy
    token: ServiceToken | None = None

    def secret_of(self, webhook: Webhook) -> str:
        """Return the secret of a webhook in the form that receivers take.

        Raises:
            ServiceError: It is not there, or the host may not see it.
        """
        if webhook.secret:
            return self.policy.secret_for(webhook.secret, webhook.host, field="secret", is_chosen=True)
        if self.token is None:
            raise FailedPrecondition(
                "Without a token of the installation there is nothing to sign the notices of this address by.",
                "Give the services a token file, or name a secret in the settings.",
            )
        key = bytes.fromhex(self.token.key_of(f"webhook-{webhook.key}"))
        return _PREFIX + base64.b64encode(key).decode()


def no_mail_server() -> FailedPrecondition:
    """Return why a service cannot send mail whose settings do not say how."""
    return FailedPrecondition(
        "This service has no server that takes mail.", "Have the operator set SMTP_URL and MAIL_FROM for each service."
    )


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
