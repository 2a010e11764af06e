"""What the agency is told of that is about no single request: its mail server, its account."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from ..links import agency_settings_link
from ..models import AgencySettings, EmailDelivery, MailServer, StripeConnection
from .moments import Moment, moment

Kind = EmailDelivery.Kind

# The tabs of the agency settings on which these are mended.
MAIL_TAB = "email"
ACCOUNT_TAB = "client_billing"


@dataclass(frozen=True)
class Notice:
    """One such mail. Plain text only; ``since`` is None where nobody knows.

    ``what`` is the mail server or the account, ``why`` the reason in words.
    """

    agency_name: str
    what: str
    why: str
    since: Moment | None
    live: bool
    falls_back: bool
    by_platform: bool
    link: str


def notice_of(delivery: EmailDelivery) -> Notice:
    """Reads what is true now; writes nothing."""
    if delivery.kind == Kind.AGENCY_CONNECTION:
        return _of_account(delivery)
    return _of_mail()


def notice_subject(kind: str, notice: Notice) -> str:
    """Its subject."""
    if kind == Kind.AGENCY_CONNECTION:
        words = _("Client billing: Stripe cannot be asked for %(what)s")
    else:
        words = _("Client billing: e-mail cannot be sent through %(what)s")
    return words % {"what": notice.what}


def broken_connection(delivery: EmailDelivery) -> StripeConnection | None:
    """The account that a notice is about, while it is still broken in the same way."""
    facts = delivery.facts
    found = StripeConnection.objects.active().filter(pk=facts.get("connection")).first()
    if found is None or found.broken_at is None:
        return None
    return found if found.broken_at.isoformat() == facts.get("broken_at") else None


def failing_server() -> MailServer | None:
    """The mail server while it is in use and fails."""
    server = MailServer.in_use()
    return server if server is not None and server.failing_since else None


def _of_mail() -> Notice:
    server = MailServer.in_use() or MailServer.current() or MailServer()
    problem = EmailDelivery.Problem
    known = server.failing_problem in problem.values
    return Notice(
        agency_name=_agency_name(),
        what=server.host,
        why=str(problem(server.failing_problem).label) if known else "",
        since=moment(server.failing_since) if server.failing_since else None,
        live=True,
        falls_back=server.falls_back,
        by_platform=False,
        link=agency_settings_link(MAIL_TAB),
    )


def _of_account(delivery: EmailDelivery) -> Notice:
    found = StripeConnection.objects.filter(pk=delivery.facts.get("connection")).first()
    account = found or StripeConnection()
    return Notice(
        agency_name=_agency_name(),
        what=account.account_name or account.account_id,
        why=account.broken_why,
        since=moment(account.broken_at) if account.broken_at else None,
        live=account.livemode is not False,
        falls_back=False,
        by_platform=bool(account.through_platform),
        link=agency_settings_link(ACCOUNT_TAB),
    )


def _agency_name() -> str:
    agency = AgencySettings.current()
    return agency.agency_name if agency else ""
