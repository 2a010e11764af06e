"""What clients do after they have paid: keep a receipt, change their card, or cancel."""

import re

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST, require_safe

from ..errors import BillingError, NotAllowed, StripeUnavailable
from ..gateway.portal import open_portal
from ..mail.receipts import receipt_of
from ..sealing import SecretUnreadable
from . import limits
from .headers import public
from .pages import SeeOther, find, language_of, show, slow_down, unknown, waiting_time
from .states import PageState

# No row of any database has a longer one.
PAYMENT = re.compile(r"[0-9]{1,18}", re.ASCII)

UNREACHABLE = _(
    "Stripe, where your card and your subscription are kept, cannot be reached at the moment. "
    "Nothing was changed. Please try again in a few minutes."
)
NOT_NOW = _(
    "Your card and your subscription cannot be changed here at the moment. Nothing was changed. "
    "Please try again later, or write to whoever sent you this link."
)
NOTHING_LEFT = _("There is nothing left to change or to cancel.")


@public
@require_safe
def receipt(request: HttpRequest, token: str, payment: str) -> HttpResponse:
    """The receipt of one payment, to be printed; changes nothing."""
    bill = find(token)
    if bill is None or not PAYMENT.fullmatch(payment):
        return unknown(request)
    with override(language_of(request, bill)):
        found = receipt_of(bill, int(payment))
    if found is None:
        return unknown(request)
    return show(request, bill, state=PageState.RECEIPT, receipt=found)


@public
@require_POST
@csrf_protect
def portal(request: HttpRequest, token: str) -> HttpResponse:
    """Leads to the page at Stripe where card and cancellation are, or shows why not."""
    bill = find(token)
    if bill is None:
        return unknown(request)
    wait = waiting_time(request, bill, limits.PORTAL, limits.PORTAL_FROM_ADDRESS)
    if wait:
        return slow_down(request, bill, wait)
    try:
        return SeeOther(open_portal(bill.pk))
    except NotAllowed:
        bill.refresh_from_db()
        return show(request, bill, status=409, notice=NOTHING_LEFT)
    except StripeUnavailable:
        return show(request, bill, status=503, notice=UNREACHABLE)
    except (BillingError, SecretUnreadable):
        return show(request, bill, status=503, notice=NOT_NOW)
