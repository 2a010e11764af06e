"""What a client is told of a billing request, in the words of mails and of the payment page alike.

Everything is text in the language that is active when ``bill_of`` is called.
"""

from dataclasses import dataclass

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from ..links import payment_link
from ..models import AgencySettings, BillingRequest, Payment, StripeConnection
from ..money import format_money
from .moments import Moment, moment


@dataclass(frozen=True)
class Bill:
    """The facts of a bill. Plain text only: no row, so no secret, reaches a template."""

    number: str
    email: str
    site_name: str
    agency_name: str
    contact_email: str
    description: str
    amount: str
    test: bool
    expires: Moment
    paid_at: Moment | None
    paid_with: str
    link: str
    success_url: str
    terms_url: str
    privacy_policy_url: str

    @property
    def asker(self) -> str:
        """Who asks for the money."""
        return self.agency_name or self.site_name


def bill_of(request: BillingRequest) -> Bill:
    """Reads the facts as they are now; writes nothing."""
    connection = StripeConnection.objects.of_account(request.account_id, request.livemode)
    agency = AgencySettings.current()
    payment = payment_of(request)
    paid_at = payment.received_at if payment else request.paid_at
    return Bill(
        number=request.number,
        email=request.email,
        site_name=request.site_name,
        agency_name=agency.agency_name if agency else "",
        contact_email=agency.contact_email if agency else "",
        description=request.description,
        amount=format_money(request.amount_minor, request.currency, get_language() or ""),
        test=not request.livemode,
        expires=moment(request.expires_at),
        paid_at=moment(paid_at) if paid_at else None,
        paid_with=paid_with(payment),
        link=payment_link(request),
        success_url=request.success_url,
        terms_url=connection.terms_url if connection else "",
        privacy_policy_url=connection.privacy_policy_url if connection else "",
    )


def payment_of(request: BillingRequest) -> Payment | None:
    """The payment that made the request paid."""
    if request.status != BillingRequest.Status.PAID:
        return None
    counted = request.payments.filter(taken_back_at=None, duplicate=False)
    return counted.order_by("received_at", "pk").first()


def paid_with(payment: Payment | None) -> str:
    """The means of payment as the payer knows it; empty where there is nothing to say."""
    if payment is not None and payment.method == "card" and payment.last4:
        return _("card ending in %(digits)s") % {"digits": payment.last4}
    return ""
