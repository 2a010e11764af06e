"""The pages behind a payment link: look, pay, come back."""

import re

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import get_language_from_request, override
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST, require_safe

from ..errors import (
    AccountLost,
    BillingError,
    LastDayOver,
    NotAllowed,
    NotConnected,
    StripeUnavailable,
    TermsChanged,
)
from ..gateway.checkout import open_checkout
from ..gateway.reconcile import reconcile
from ..mail.bill import bill_of
from ..mail.moments import language_for
from ..mail.receipts import receipts_of
from ..mail.standing import can_manage, standing_of, subscription_of
from ..models import BillingRequest, LogEntry
from ..sealing import SecretUnreadable
from . import limits
from .headers import public
from .states import HEADLINES, PageState, state_of

TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")
SESSION_ID = re.compile(r"cs_[A-Za-z0-9_]{1,240}")

UNAVAILABLE = _(
    "The payment service cannot be reached at the moment. Nothing was charged. "
    "Please try again in a few minutes."
)
REFUSED = _(
    "The payment could not be started. Nothing was charged. "
    "Please try again later, or write to whoever sent you this link."
)
# Whose pages tell of payments; in review a subscription may have begun already.
AFTERWARDS = frozenset(
    {
        PageState.PAID,
        PageState.REFUNDED,
        PageState.PAST_DUE,
        PageState.ENDED,
        PageState.REVIEW,
    }
)
STATE_CHANGED = _("This bill was being changed at that moment. Please try again.")


class SeeOther(HttpResponseRedirect):
    """A redirect that is always followed by GET."""

    status_code = 303


@public
@require_safe
@csrf_protect
def pay(request: HttpRequest, token: str) -> HttpResponse:
    """What is asked for, and the button; changes nothing, so that scanners may open it."""
    bill = find(token)
    return show(request, bill) if bill else unknown(request)


@public
@require_POST
@csrf_protect
def checkout(request: HttpRequest, token: str) -> HttpResponse:
    """Leads to Stripe's page, or shows why not."""
    bill = find(token)
    if bill is None:
        return unknown(request)
    wait = waiting_time(request, bill, limits.PAY, limits.PAY_FROM_ADDRESS)
    if wait:
        return slow_down(request, bill, wait)
    try:
        opened = open_checkout(bill.pk, seen=request.POST.get("seen", ""))
    except (BillingError, SecretUnreadable) as error:
        return show_error(request, bill, error)
    if opened.url:
        return SeeOther(opened.url)
    bill.refresh_from_db()
    return show(request, bill, status=409)


@public
@require_safe
def come_back(request: HttpRequest, token: str) -> HttpResponse:
    """Where Stripe leads the client after paying. Asks Stripe, since no webhook may have come.

    One of the three views in which a GET may lead to a change: it only reads Stripe again.
    """
    bill = find(token)
    if bill is None:
        return unknown(request)
    if bill.status == BillingRequest.Status.PAID:
        return SeeOther(bill.success_url)
    if request.method == "HEAD":
        return show(request, bill)
    wait = waiting_time(request, bill, limits.COME_BACK, limits.COME_BACK_FROM_ADDRESS)
    if wait:
        return slow_down(request, bill, wait)
    asked = ask_stripe(bill, request.GET.get("session_id", ""))
    bill.refresh_from_db()
    if bill.status == BillingRequest.Status.PAID:
        return SeeOther(bill.success_url)
    state = state_of(bill)
    told = state in (PageState.PROCESSING, PageState.REVIEW)
    ended = state in (PageState.EXPIRED, PageState.DELETED)
    if told or (asked and ended):
        return show(request, bill)
    # Whoever comes from Stripe may have paid: this page has no button to pay again.
    return show(request, bill, state=PageState.UNCONFIRMED, asked=asked)


def find(token: str) -> BillingRequest | None:
    """The billing request of a link; malformed tokens do not reach the database."""
    if not TOKEN.fullmatch(token):
        return None
    return BillingRequest.objects.filter(token=token).first()


def ask_stripe(bill: BillingRequest, session_id: str) -> bool:
    """Brings the bill up to date; whether Stripe gave an answer."""
    try:
        result = reconcile(
            bill.pk,
            cause=LogEntry.Cause.RETURN_PAGE,
            session_id=session_id if SESSION_ID.fullmatch(session_id) else None,
            waiting=True,
        )
    except BillingError:
        return False
    return not result.unreachable


def waiting_time(
    request: HttpRequest, bill: BillingRequest, of_link: limits.Limit, of_address: limits.Limit
) -> int:
    """Seconds until the client may try again; 0 is now."""
    address = limits.client_address(request)
    return limits.wait_for(of_link, bill.pk) or (
        limits.wait_for(of_address, address) if address else 0
    )


def show_error(request: HttpRequest, bill: BillingRequest, error: Exception) -> HttpResponse:
    """The page after a press on Pay that led nowhere."""
    bill.refresh_from_db()
    if isinstance(error, (TermsChanged, LastDayOver)):
        return show(request, bill, status=409, notice=error.sentence)
    if isinstance(error, NotAllowed):
        return show(request, bill, status=409, notice=STATE_CHANGED)
    if isinstance(error, (NotConnected, AccountLost, SecretUnreadable)):
        state = state_of(bill)
        state = PageState.NOT_READY if state == PageState.PAYABLE else state
        return show(request, bill, status=503, state=state)
    notice = UNAVAILABLE if isinstance(error, StripeUnavailable) else REFUSED
    return show(request, bill, status=503, notice=notice)


def slow_down(request: HttpRequest, bill: BillingRequest, seconds: int) -> HttpResponse:
    response = show(request, bill, status=429, state=PageState.SLOW_DOWN, seconds=seconds)
    response.headers["Retry-After"] = str(seconds)
    return response


def unknown(request: HttpRequest) -> HttpResponse:
    """The same page for every token that is none of ours."""
    language = get_language_from_request(request)
    return render(request, language, PageState.UNKNOWN, status=404)


def show(
    request: HttpRequest,
    row: BillingRequest,
    *,
    status: int = 200,
    state: PageState | None = None,
    **more: object,
) -> HttpResponse:
    """The page of the bill's state, or of the state given. ``more`` goes to the template.

    ``notice`` is shown where the client had a button; elsewhere the page itself is the news.
    """
    state = state or state_of(row)
    language = language_of(request, row)
    with override(language):
        context = {"bill": bill_of(row), **addresses_of(row)}
        if state in AFTERWARDS:
            context |= afterwards_of(row)
    return render(request, language, state, status=status, **context, **more)


def language_of(request: HttpRequest, row: BillingRequest) -> str:
    """The bill's language, or else that of the browser."""
    return language_for(row.language, get_language_from_request(request))


def addresses_of(row: BillingRequest) -> dict[str, str]:
    """Where the pages of a bill lead, on the host that shows them."""
    names = ("pay", "checkout", "portal")
    return {f"{name}_url": reverse(f"client_billing:{name}", args=[row.token]) for name in names}


def afterwards_of(row: BillingRequest) -> dict[str, object]:
    """What a client wants to know once money has come: receipts, and how a subscription stands."""
    subscription = subscription_of(row) if row.is_recurring else None
    return {
        "receipts": [
            (each, reverse("client_billing:receipt", args=[row.token, each.pk]))
            for each in receipts_of(row)
        ],
        "standing": standing_of(subscription) if subscription else None,
        "can_manage": bool(subscription and can_manage(subscription)),
        "cannot_manage": bool(subscription and not subscription.has_ended),
    }


def render(
    request: HttpRequest, language: str, state: PageState, *, status: int, **context: object
) -> HttpResponse:
    context |= {"state": str(state), "headline": HEADLINES.get(state, "")}
    with override(language):
        template = f"wagtail_client_billing/public/{state}.html"
        page = render_to_string(template, context, request)
    response = HttpResponse(page, status=status)
    response.headers["Content-Language"] = language
    return response
