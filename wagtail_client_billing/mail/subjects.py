"""The subjects of mails: one line each, with what the mail is about."""

from django.utils.translation import gettext as _

from ..models import EmailDelivery
from .bill import Bill
from .lines import one_line
from .news import News

Kind = EmailDelivery.Kind

LONGEST_SUBJECT = 180


def subject_of(kind: str, bill: Bill, news: News, chosen: str = "") -> str:
    """The subject, marked in test mode; ``chosen`` is the agency's own in place of ours."""
    facts = {"site": bill.site_name, "amount": news.amount, "number": bill.number}
    subject = chosen or _words(Kind(kind), news) % facts
    if bill.test:
        subject = _("TEST") + " – " + subject
    return one_line(subject, LONGEST_SUBJECT)


def _words(kind: str, news: News) -> str:
    match kind:
        case Kind.PAYMENT_LINK:
            return _("%(site)s: payment of %(amount)s")
        case Kind.REMINDER:
            return _("%(site)s: reminder of your payment of %(amount)s")
        case Kind.CHANGED:
            return _("%(site)s: your bill has changed, now %(amount)s")
        case Kind.EXPIRED:
            return _("%(site)s: the link to pay %(amount)s has expired")
        case Kind.RECEIPT | Kind.RENEWAL_RECEIPT:
            return _("%(site)s: we received your payment of %(amount)s")
        case Kind.RENEWAL_FAILED if news.needs_client:
            return _("%(site)s: please confirm your payment of %(amount)s")
        case Kind.PAYMENT_FAILED | Kind.RENEWAL_FAILED:
            return _("%(site)s: your payment of %(amount)s did not go through")
        case Kind.CANCELED:
            return _("%(site)s: your subscription has ended")
        case Kind.REFUNDED:
            return _("%(site)s: a refund of %(amount)s is on its way to you")
        case _:
            return _words_to_agency(kind, news)


def _words_to_agency(kind: str, news: News) -> str:
    match kind:
        case Kind.AGENCY_PAID:
            return _("%(site)s: %(number)s is paid, %(amount)s")
        case Kind.AGENCY_LATE:
            return _("%(site)s: %(number)s was paid late, %(amount)s")
        case Kind.AGENCY_FAILED | Kind.AGENCY_RENEWAL:
            return _("%(site)s: a payment of %(amount)s for %(number)s did not go through")
        case Kind.AGENCY_CANCELED if news.standing and not news.standing.over:
            return _("%(site)s: the subscription %(number)s will end")
        case Kind.AGENCY_CANCELED:
            return _("%(site)s: the subscription %(number)s has ended")
        case Kind.AGENCY_REFUND:
            return _("%(site)s: a refund of %(amount)s for %(number)s failed")
        case Kind.AGENCY_DISPUTE if news.dispute and news.dispute.outcome:
            return _("%(site)s: the dispute about %(amount)s for %(number)s is over")
        case Kind.AGENCY_DISPUTE:
            return _("%(site)s: a payment of %(amount)s for %(number)s is disputed")
        case _:
            return _("%(site)s: %(number)s needs your review")
