"""Banners on our admin pages: what an editor has to know before anything else."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from wagtail.admin.ui.components import Component

from .. import sealing
from ..conf import billing_settings
from ..hosts import this_host
from ..models import AgencySettings, EmailDelivery, MailServer, StripeConnection
from ..permissions import may
from .urls import EMAIL_TAB, admin_url, agency_settings_url


class Notice(Component):
    """One banner: info, warning or critical, with a link to where it is mended.

    ``buttons``, pairs of address and words, are for where somebody has to choose.
    """

    template_name = "wagtail_client_billing/admin/includes/notice.html"

    def __init__(
        self,
        kind: str,
        text: str,
        url: str = "",
        link: str = "",
        *,
        buttons: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.kind = kind
        self.text = text
        self.url = url
        self.link = link
        self.buttons = buttons

    def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
        return {"notice": self}


def notices_for(request: Any, *, on_agency_tab: bool = False) -> list[Notice]:
    """The banners of a page, for whoever looks at it.

    ``on_agency_tab`` leaves out what the connection cards say themselves.
    """
    found = []
    base = billing_settings.STRIPE_API_BASE
    if base and urlsplit(base).hostname != "api.stripe.com":
        text = _("Connected to a stand-in for Stripe at %(address)s: no real money moves.")
        found.append(Notice("warning", text % {"address": base}))
    mends = may(request.user, "change", AgencySettings)
    found += [copy_notice(each, mends) for each in StripeConnection.objects.active().copies()]
    if not on_agency_tab:
        found += [notice_of(connection, mends) for connection in broken_connections()]
        found += mail_notices(request.user)
    return found


def mail_notices(user: Any, *, on_email_tab: bool = False) -> list[Notice]:
    """Why the agency's own mail server sends nothing."""
    server = MailServer.in_use()
    if server is None:
        return []
    if not password_readable(server):
        text = _("The stored password of your mail server cannot be read. Enter it again.")
    elif server.failing_since:
        text = _("Your mail server has taken no e-mail since %(moment)s: %(why)s") % {
            "moment": date_format(localtime(server.failing_since), "DATETIME_FORMAT"),
            "why": dict(EmailDelivery.Problem.choices).get(server.failing_problem, ""),
        }
    else:
        return []
    if on_email_tab:
        return [Notice("critical", text)]
    if may(user, "change", AgencySettings):
        return [Notice("critical", text, agency_settings_url(EMAIL_TAB), _("Mend it"))]
    text = _("E-mails to clients cannot be sent at the moment.")
    return [Notice("critical", text + " " + _("Please tell whoever manages the agency settings."))]


def notice_of(connection: StripeConnection, mends: bool) -> Notice:
    """What a broken connection means for whoever sends bills."""
    name = {"account": connection.account_name or connection.account_id}
    if connection.livemode:
        text = _("The Stripe account %(account)s cannot be used at the moment.") % name
    else:
        text = _("The Stripe test account %(account)s cannot be used at the moment.") % name
    if mends:
        return Notice("critical", text, agency_settings_url(), _("See why"))
    return Notice("critical", text + " " + _("Please tell whoever manages the agency settings."))


def copy_notice(connection: StripeConnection, mends: bool) -> Notice:
    """Why nothing is mailed or charged here, and the two ways out."""
    facts = {
        "account": connection.account_name or connection.account_id,
        "there": connection.host,
        "here": this_host(),
    }
    if connection.livemode:
        text = _(
            "This is %(here)s, but the Stripe account %(account)s was connected at %(there)s. While"
            " this may be a copy, nothing is mailed to its clients and nothing is changed at Stripe."
        )
    else:
        text = _(
            "This is %(here)s, but the Stripe test account %(account)s was connected at %(there)s."
            " While this may be a copy, nothing is mailed to its clients and nothing is changed at"
            " Stripe."
        )
    if not mends:
        asks = _("Please tell whoever manages the agency settings.")
        return Notice("warning", f"{text % facts} {asks}")
    buttons = [
        (admin_url("confirm_host", connection.pk), _("This is the real one")),
        (admin_url("forget", connection.pk), _("Forget the connection")),
    ]
    return Notice("warning", text % facts, buttons=buttons)


def broken_connections() -> list[StripeConnection]:
    """Linked connections that cannot be used: refused by Stripe, or with an unreadable key."""
    active = StripeConnection.objects.active()
    return [
        connection for connection in active if connection.broken_at or not key_readable(connection)
    ]


def key_readable(connection: StripeConnection) -> bool:
    """Whether the stored key can still be opened; the key itself is forgotten at once."""
    try:
        sealing.open(connection.sealed_key)
    except sealing.SecretUnreadable:
        return False
    return True


def password_readable(server: MailServer) -> bool:
    """The same of a mail server's password; True where it has none."""
    try:
        sealing.open(server.sealed_password)
    except sealing.SecretUnreadable:
        return False
    return True
