"""What a client is told of a billing request, in the words of mails and of the payment page alike.

Everything is text in the language that is active when ``bill_of`` is called.
"""

from dataclasses import dataclass

from ..links import payment_link
from ..models import (
    AgencySettings,
    BillingRequest,
    Payment,
    SiteBillingSettings,
    StripeConnection,
)
from .amounts import amount_text
from .means import paid_with
from .moments import Moment, moment
from .rhythm import plan_of, rhythm_of


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
    # Of a recurring bill: "€49.00 every month", and all that paying it commits to.
    rhythm: str
    plan: str
    test: bool
    expires: Moment
    paid_at: Moment | None
    paid_with: str
    link: str
    success_url: str
    terms_url: str
    privacy_policy_url: str
    # What is asked for, as the button's form sends it back.
    seen: str
    amended_at: Moment | None
    amended_from: str

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
    amended_at, before = request.amended_at, request.amended_from_minor
    zone = zone_of(request)
    return Bill(
        number=request.number,
        email=request.email,
        site_name=request.site_name,
        agency_name=agency.agency_name if agency else "",
        contact_email=agency.contact_email if agency else "",
        description=request.description,
        amount=amount_text(request.amount_minor, request.currency),
        rhythm=rhythm_of(request),
        plan=plan_of(request),
        test=not request.livemode,
        expires=moment(request.expires_at, zone),
        paid_at=moment(paid_at, zone) if paid_at else None,
        paid_with=paid_with(payment),
        link=payment_link(request),
        success_url=request.success_url,
        terms_url=connection.terms_url if connection else "",
        privacy_policy_url=connection.privacy_policy_url if connection else "",
        seen=request.terms,
        amended_at=moment(amended_at, zone) if amended_at else None,
        amended_from=amount_text(before, request.currency) if before else "",
    )


def payment_of(request: BillingRequest) -> Payment | None:
    """The payment that made the request paid."""
    if request.status != BillingRequest.Status.PAID:
        return None
    counted = request.payments.counted().filter(duplicate=False)
    return counted.order_by("received_at", "pk").first()


def zone_of(request: BillingRequest) -> str:
    """The time zone of the request's site; empty where that is the project's own."""
    defaults = SiteBillingSettings.current(request.site)
    return defaults.time_zone if defaults else ""
