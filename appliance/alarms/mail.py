"""E-mail to the owner, by the standard library's SMTP client in a thread."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from appliance.core.config import AlarmSettings

TIMEOUT_SECONDS = 30.0
# What prevents a mail; the next check tries again.
FAILURES = (OSError, smtplib.SMTPException, UnicodeError)


def compose(settings: AlarmSettings, subject: str, text: str, now: int) -> EmailMessage:
    """Return a mail to all addresses."""
    mail = EmailMessage()
    mail["From"] = settings.mail_from
    mail["To"] = ", ".join(settings.mail_to)
    mail["Subject"] = " ".join(subject.split())
    mail["Date"] = format_datetime(datetime.fromtimestamp(now / 1000, UTC))
    mail["Message-ID"] = make_msgid(domain=settings.mail_from.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer of an absent owner
    mail.set_content(text)
    return mail


async def send(settings: AlarmSettings, mail: EmailMessage) -> None:
    """Give a mail to the mail server. Raises one of FAILURES."""
    await asyncio.to_thread(_send, settings, mail)


def _send(settings: AlarmSettings, mail: EmailMessage) -> None:
    where = (settings.smtp_host, settings.smtp_port)
    if settings.smtp_security == "tls":
        context = ssl.create_default_context()
        client: smtplib.SMTP = smtplib.SMTP_SSL(*where, timeout=TIMEOUT_SECONDS, context=context)
    else:
        client = smtplib.SMTP(*where, timeout=TIMEOUT_SECONDS)
    with client:
        if settings.smtp_security == "starttls":
            client.starttls(context=ssl.create_default_context())
        if settings.smtp_user:
            client.login(settings.smtp_user, settings.password)
        client.send_message(mail)
