"""Bills whose links show what takes a fault, a race or a wait to come about.

Runs inside the demo, by ``manage.py shell``; the states are made by hand, since how they come
about is tested elsewhere.
"""

import json
from datetime import timedelta
from uuid import uuid4

from django.utils import timezone

from wagtail_client_billing.models import (
    BillingRequest,
    CheckoutAttempt,
    Payment,
    Refund,
    Subscription,
)

# Beyond what the sweep looks at while the tests run.
LATER = timedelta(days=1)
SUBSCRIPTIONS = {"subscribed": "active", "past_due": "past_due", "ended": "canceled"}


def make() -> None:
    """Prints a JSON object: state to token."""
    now = timezone.now()
    pattern = BillingRequest.objects.filter(status=BillingRequest.Status.PENDING).latest("pk")
    states = {
        "changing": {"hold": "edit", "hold_since": now + LATER},
        "review": {"review_since": now, "review_reason": "mismatch"},
        "expired": {"status": "expired", "expires_at": now - LATER},
        "not_ready": {"livemode": True, "account_id": "acct_nobody"},
        "closing": {"expires_at": now - timedelta(minutes=1)},
        "refunded": {"status": "paid", "paid_at": now},
        **{
            state: {"status": "paid", "paid_at": now, "billing_type": "monthly"}
            for state in SUBSCRIPTIONS
        },
    }
    print(json.dumps({state: copy(pattern, state, **facts) for state, facts in states.items()}))


def copy(pattern: BillingRequest, state: str, **facts: object) -> str:
    bill = BillingRequest.objects.get(pk=pattern.pk)
    bill.pk, bill.uuid, bill.token = None, uuid4(), f"{state}-{uuid4()}"[:43].ljust(43, "x")
    bill.number = f"TEST-{state}"
    bill.email = f"{state}@states.example"
    for name, value in facts.items():
        setattr(bill, name, value)
    bill.save()
    if state == "closing":
        CheckoutAttempt.objects.create(
            request=bill,
            n=1,
            state=CheckoutAttempt.State.OPEN,
            account_id=bill.account_id,
            livemode=bill.livemode,
            amount_minor=bill.amount_minor,
            currency=bill.currency,
            idempotency_key=str(uuid4()),
            session_id="cs_test_closing",
            expires_at=timezone.now() + LATER,
            asked_at=timezone.now() + LATER,
        )
    if bill.status == BillingRequest.Status.PAID:
        pay(bill, state)
    return bill.token


def pay(bill: BillingRequest, state: str) -> None:
    subscription = None
    if state in SUBSCRIPTIONS:
        subscription = Subscription.objects.create(
            request=bill,
            account_id=bill.account_id,
            livemode=bill.livemode,
            stripe_id=f"sub_{state}",
            customer_id="cus_states",
            status=SUBSCRIPTIONS[state],
            current_period_end=timezone.now() + LATER,
            ended_at=timezone.now() if state == "ended" else None,
        )
    payment = Payment.objects.create(
        request=bill,
        subscription=subscription,
        account_id=bill.account_id,
        livemode=bill.livemode,
        source=f"of_{state}",
        amount_minor=bill.amount_minor,
        currency=bill.currency,
        method="visa",
        last4="4242",
        received_at=timezone.now(),
    )
    if state == "refunded":
        Refund.objects.create(
            payment=payment,
            stripe_id=f"re_{state}",
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            state=Refund.State.SUCCEEDED,
        )
