"""*Send test e-mail to me*: the saved settings, tried with a real message."""

import logging
from email.utils import make_msgid, parseaddr
from typing import Any

from django.core.mail import EmailMessage
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from .. import lifecycle
from ..models import AgencySettings, EmailDelivery, MailServer
from ..transactions import outside_transaction
from .problems import described, problem_of
from .senders import sender_of
from .sending import AgencyMailer, Way, default_mailer
from .smtp import connect

logger = logging.getLogger(__name__)

# Somebody waits: shorter than for messages of the outbox, and below what web servers allow.
CONNECT_SECONDS = 10.0
MESSAGE_SECONDS = 10.0


class ImpatientMailer(AgencyMailer):
    """The agency's mail server, while somebody waits."""

    def open(self) -> bool:
        if self.connection:
            return False
        self.connection = connect(
            self.server, seconds=CONNECT_SECONDS, message_seconds=MESSAGE_SECONDS
        )
        return True


class _Handover:
    def __init__(self) -> None:
        self.done = False

    def __call__(self) -> None:
        self.done = True


def send_test(user: Any) -> str:
    """Sends a message to the user's own address; returns ``EmailDelivery.Problem``, or "".

    By the agency's server if it is in use, else by default mail. What came of it is kept, unless
    the settings were changed meanwhile. Details are for the log only. No transaction may be open.
    """
    outside_transaction()
    row, server = MailServer.current(), MailServer.in_use()
    handover = _Handover()
    way = Way(lambda: default_mailer() if server is None else ImpatientMailer(server))
    problem = ""
    try:
        way.send(_message(user, server), handover, {})
    except Exception as error:
        problem = problem_of(error, handed_over=handover.done)
        logger.warning("The test e-mail failed: %s (%s)", problem, described(error), exc_info=True)
    finally:
        way.close()
    if row is None:
        row, made = MailServer.objects.get_or_create(guard=True)
        if not made:
            return problem
    elif server is not None and not problem:
        lifecycle.mail_server_works(server)
    unchanged = MailServer.objects.filter(pk=row.pk, changed_at=row.changed_at)
    unchanged.update(tested_at=timezone.now(), tested_by=user, test_problem=problem)
    return problem


def sentence_of(problem: str) -> str:
    """What a test came to, in the fixed words for it."""
    if not problem:
        return _("The mail server has accepted the test e-mail.")
    return str(EmailDelivery.Problem(problem).label)


def _message(user: Any, server: MailServer | None) -> EmailMessage:
    sender = sender_of(None, server)
    agency = AgencySettings.current()
    name = (agency.agency_name if agency else "") or _("your agency")
    way = _("custom SMTP (%(host)s)") % {"host": server.host} if server else _("default mail")
    facts = {
        "person": user.get_full_name() or user.get_username(),
        "moment": date_format(localtime(timezone.now()), "DATETIME_FORMAT"),
        "agency": name,
        "way": way,
    }
    text = _(
        "This is a test e-mail. On %(moment)s, %(person)s asked for it in the agency settings of "
        "%(agency)s.\n\nIt was sent by %(way)s.\n\nYour clients' e-mails go the same way."
    )
    domain = parseaddr(sender.from_email)[1].rpartition("@")[2]
    return EmailMessage(
        _("Test e-mail"),
        text % facts + "\n",
        from_email=sender.from_email,
        to=[user.email],
        reply_to=sender.reply_to,
        headers={
            "Message-ID": make_msgid(domain=domain if domain.isascii() and domain else "localhost"),
            "Auto-Submitted": "auto-generated",
        },
    )
