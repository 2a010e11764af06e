"""Writes the e-mails, from what is true when they are sent."""

import re
from email.utils import parseaddr
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils.translation import get_language, override

from ..links import admin_link
from ..models import BillingRequest, EmailDelivery, MailServer
from .bill import bill_of
from .kinds import NOTICES, TO_AGENCY
from .lines import one_line
from .moments import language_for
from .news import news_of
from .notices import notice_of, notice_subject
from .senders import sender_of
from .subjects import LONGEST_SUBJECT, subject_of
from .wording import wording_of


def compose(delivery: EmailDelivery, server: MailServer | None = None) -> EmailMultiAlternatives:
    """The message of a delivery, in its recipient's language, as text and as HTML.

    From the sender that ``server`` sends for; None is the project's default mail.
    Without pictures from elsewhere and without any means to see whether it was opened.
    """
    request = delivery.request
    sender = sender_of(request, server)
    with override(_language(delivery)):
        if request is None or delivery.kind in NOTICES:
            context = _about_agency(delivery)
        else:
            context = _about(delivery, request)
        # Whom the text names is whom an answer reaches.
        context["contact"] = parseaddr(sender.reply_to[0])[1] if sender.reply_to else ""
        template = f"wagtail_client_billing/mail/{delivery.kind}"
        text = render_to_string(f"{template}.txt", context)
        html = render_to_string(f"{template}.html", context)
    message = EmailMultiAlternatives(
        context["subject"],
        # Templates leave lines empty where they have nothing to say.
        re.sub(r"\n\s*\n", "\n\n", text).strip() + "\n",
        from_email=sender.from_email,
        to=[delivery.to],
        reply_to=[] if delivery.kind in TO_AGENCY else sender.reply_to,
        headers={
            "Message-ID": delivery.message_id,
            # Keeps out-of-office replies away.
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(html, "text/html")
    return message


def _language(delivery: EmailDelivery) -> str:
    wanted = [delivery.language]
    if delivery.request is not None and delivery.kind not in TO_AGENCY:
        wanted.append(delivery.request.language)
    return language_for(*wanted)


def _about(delivery: EmailDelivery, request: BillingRequest) -> dict[str, Any]:
    bill, news = bill_of(request), news_of(delivery, request)
    facts = {
        "amount": news.amount,
        "number": bill.number,
        "site": bill.site_name,
        "description": bill.description,
    }
    wording = wording_of(delivery.kind, get_language() or "", facts)
    return {
        "bill": bill,
        "news": news,
        "wording": wording,
        "subject": subject_of(delivery.kind, bill, news, wording.subject),
        "can_be_paid": request.status == request.Status.PENDING and not request.is_over,
        "admin_link": admin_link(request) if delivery.kind in TO_AGENCY else "",
    }


def _about_agency(delivery: EmailDelivery) -> dict[str, Any]:
    notice = notice_of(delivery)
    wording = wording_of(delivery.kind, get_language() or "", {})
    subject = wording.subject or notice_subject(delivery.kind, notice)
    return {
        "notice": notice,
        "wording": wording,
        "subject": one_line(subject, LONGEST_SUBJECT),
    }
