"""Notices by mail, through the server that an operator names."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import Json
from services.chassis.settings import is_loopback

_TIMEOUT_SECONDS = 15.0
_PERMANENT = 500
_WORDS = {"webhook.enabled": "you are told from now on", "webhook.test": "a test"}


@dataclass(frozen=True)
class MailServer:
    """Takes mail, encrypted unless it is on this machine.

    Attributes:
        url: `smtps://…`, or `smtp://…` for STARTTLS, with the name of a user before the @.
        sender: The address that mail comes from.
        password: Returns that of the user.
    """

    url: str
    sender: str
    password: Callable[[], str]

    async def send(self, address: str, message_id: str, message: Json) -> str:
        """Send a notice to an address; return what went wrong, or an empty text.

        Raises:
            FailedPrecondition: The address is refused for good, or the password is not there.
        """
        try:
            await aiosmtplib.send(mail_of(message, self.sender, address, message_id), **self._connection())
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            if refusal.code < _PERMANENT:
                return f"the mail server refuses it for now ({refusal.code})"
            domain = address.rpartition("@")[2]
            raise FailedPrecondition(
                f"The mail server refuses mail to this address at {domain} ({refusal.code}).", "Correct the address."
            ) from None
        except aiosmtplib.SMTPResponseException as error:
            return f"the mail server answers {error.code} {error.message[:200]}"
        except (aiosmtplib.SMTPException, OSError) as error:
            return _sentence(error)
        return ""

    def _connection(self) -> dict[str, Any]:
        parts = urlsplit(self.url)
        host, is_encrypted = parts.hostname or "", parts.scheme == "smtps"
        return {
            "hostname": host,
            "port": parts.port or (465 if is_encrypted else 587),
            "use_tls": is_encrypted,
            "start_tls": not is_encrypted and not is_loopback(host),
            "username": unquote(parts.username) if parts.username else None,
            "password": self.password() if parts.username else None,
            "timeout": _TIMEOUT_SECONDS,
        }


def _sentence(error: BaseException) -> str:
    """Return why there was no answer of the mail server, or none to what it was asked before any mail."""
    causes = [error, error.__cause__, error.__context__]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate of the mail server is not accepted: {cause.verify_message.rstrip('.')}"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "the mail server does not encrypt the connection as its address says"
    if isinstance(error, OSError):
        return f"the mail server does not answer ({type(error).__name__})"
    return f"the mail server cannot be used: {str(error).rstrip('.')[:200]}"


def mail_of(message: Json, sender: str, address: str, message_id: str) -> EmailMessage:
    """Return a notice as a mail: what happened in its subject, its facts below, and all of it as JSON."""
    event, facts = message["type"], message["data"]
    kind = " ".join(str(facts.get("kind", facts["service"])).replace("_", " ").split())
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, address
    mail["Subject"] = f"Drillyard: {kind}, {_WORDS.get(event) or event.replace('.', ' ')}"
    mail["Date"], mail["Message-ID"] = formatdate(), f"<{message_id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    sentences = [str(facts[name]) for name in ("sentence", "problem", "next_step") if facts.get(name)]
    lines = [f"{name.replace('_', ' ')}: {facts[name]}" for name in ("service", "job_id", "state") if name in facts]
    if "job_id" in facts:
        lines.append(f"See it by `drillyard open {facts['job_id']}`.")
    mail.set_content("\n".join([*sentences, "", *lines, ""]))
    mail.add_attachment(json.dumps(message, ensure_ascii=False).encode(), "application", "json", filename="notice.json")
    return mail
