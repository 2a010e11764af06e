"""Writes the e-mails, from what is true when they are sent."""

import re
from email.headerregistry import Address

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import override

from ..links import admin_link
from ..models import EmailDelivery
from .bill import Bill, bill_of
from .moments import language_for

Kind = EmailDelivery.Kind

TO_AGENCY = frozenset({Kind.AGENCY_PAID, Kind.AGENCY_LATE, Kind.AGENCY_REVIEW})
LONGEST_SUBJECT = 180


def compose(delivery: EmailDelivery) -> EmailMultiAlternatives:
    """The message of a delivery, in its recipient's language, as text and as HTML.

    Without pictures from elsewhere and without any means to see whether it was opened.
    """
    request = delivery.request
    wanted = [delivery.language]
    if delivery.kind not in TO_AGENCY:
        wanted.append(request.language)
    with override(language_for(*wanted)):
        bill = bill_of(request)
        context = {
            "bill": bill,
            "subject": subject_of(delivery.kind, bill),
            "can_be_paid": request.status == request.Status.PENDING and not request.is_over,
            "reason": delivery.facts.get("reason", ""),
            "admin_link": admin_link(request) if delivery.kind in TO_AGENCY else "",
        }
        template = f"wagtail_client_billing/mail/{delivery.kind}"
        text = render_to_string(f"{template}.txt", context)
        html = render_to_string(f"{template}.html", context)
    message = EmailMultiAlternatives(
        context["subject"],
        # Templates leave lines empty where they have nothing to say.
        re.sub(r"\n\s*\n", "\n\n", text).strip() + "\n",
        to=[delivery.to],
        reply_to=[] if delivery.kind in TO_AGENCY else reply_to(bill),
        headers={
            "Message-ID": delivery.message_id,
            # Keeps out-of-office replies away.
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(html, "text/html")
    return message


def subject_of(kind: str, bill: Bill) -> str:
    """The subject: one line, marked in test mode."""
    words = {
        Kind.PAYMENT_LINK: _("%(site)s: payment of %(amount)s"),
        Kind.RECEIPT: _("%(site)s: we received your payment of %(amount)s"),
        Kind.PAYMENT_FAILED: _("%(site)s: your payment of %(amount)s did not go through"),
        Kind.AGENCY_PAID: _("%(site)s: %(number)s is paid, %(amount)s"),
        Kind.AGENCY_LATE: _("%(site)s: %(number)s was paid late, %(amount)s"),
        Kind.AGENCY_REVIEW: _("%(site)s: %(number)s needs your review"),
    }[Kind(kind)]
    subject = words % {"site": bill.site_name, "amount": bill.amount, "number": bill.number}
    if bill.test:
        subject = _("TEST") + " – " + subject
    return one_line(subject, LONGEST_SUBJECT)


def reply_to(bill: Bill) -> list[str]:
    """The agency, with its name; nobody if it gave no address."""
    if not bill.contact_email:
        return []
    name = one_line(bill.agency_name, 75)
    try:
        # Address quotes what would otherwise make two mailboxes of "Agency, Inc".
        return [str(Address(display_name=name, addr_spec=bill.contact_email))]
    except ValueError:
        return [bill.contact_email]


def one_line(text: str, longest: int) -> str:
    """The text as it may stand in a header: without line ends and other control characters."""
    # A no-break space is not printable to Python, but belongs into "1 234 €".
    kept = (each if each.isprintable() or each in "\u00a0\u202f" else " " for each in text)
    line = re.sub(" +", " ", "".join(kept)).strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
