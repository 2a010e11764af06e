"""One message of every kind, with all that each can say, always the same."""

from datetime import UTC, datetime, timedelta

import time_machine

from tests.mail.conftest import pay
from wagtail_client_billing import lifecycle
from wagtail_client_billing.mail.compose import compose
from wagtail_client_billing.models import (
    BillingRequest,
    EmailDelivery,
    MailServer,
    StripeConnection,
)

Kind = EmailDelivery.Kind
NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)
SUBSCRIBED = (Kind.RENEWAL_RECEIPT, Kind.RENEWAL_FAILED, Kind.CANCELED)
SUBSCRIBED += (Kind.AGENCY_RENEWAL, Kind.AGENCY_CANCELED)
PAID = (Kind.RECEIPT, Kind.AGENCY_PAID, Kind.AGENCY_LATE, Kind.RENEWAL_RECEIPT)
GIVEN_BACK = (Kind.REFUNDED, Kind.AGENCY_REFUND)


def message_of(kind, language, make_bill, connection):
    """The message of a kind, and what has to be replaced in it to compare it with another day's."""
    with time_machine.travel(NOW, tick=False):
        if kind in (Kind.AGENCY_MAIL, Kind.AGENCY_CONNECTION):
            return compose(_notice(kind, language, connection)), {}
        recurring = {"billing_type": "monthly", "amount_minor": 4900}
        bill = make_bill(language=language, **(recurring if kind in SUBSCRIBED else {}))
        facts, replaced = _facts(kind, bill)
        bill.refresh_from_db()
        delivery = EmailDelivery.objects.create(
            request=bill,
            kind=kind,
            to=bill.email,
            language=language,
            facts=facts,
            message_id=f"<{kind}-{language}@example.com>",
        )
        replaced |= {bill.token: "TOKEN", bill.number: "BR-2026-000001"}
        replaced |= {f"/invoices/{bill.pk}/": "/invoices/1/"}
        return compose(delivery), replaced


def _notice(kind, language, connection):
    MailServer.objects.create(
        enabled=True,
        host="smtp.atelier.example",
        failing_since=NOW - timedelta(hours=3),
        failing_problem="login",
    )
    StripeConnection.objects.filter(pk=connection.pk).update(
        account_name="Atelier Web",
        broken_at=NOW - timedelta(hours=3),
        broken_why="Stripe no longer accepts the key of this account.",
    )
    return EmailDelivery(
        kind=kind,
        to="billing@atelier.example",
        language=language,
        facts={"connection": connection.pk},
        message_id=f"<{kind}-{language}@example.com>",
    )


def _facts(kind, bill):
    if kind == Kind.CHANGED:
        link = bill.deliveries.get()
        lifecycle.delivery_accepted(link)
        data = {"amount_minor": 99900, "description": "Homepage, first half, less a discount"}
        with time_machine.travel(NOW + timedelta(minutes=5), tick=False):
            lifecycle.place_hold(bill.pk, "edit", user=None, data=data)
            lifecycle.apply_hold(bill.pk)
    if kind == Kind.EXPIRED:
        BillingRequest.objects.filter(pk=bill.pk).update(status="expired")
    if kind == Kind.AGENCY_REVIEW:
        return {"reason": "duplicate"}, {}
    facts, replaced = {}, {}
    if kind in SUBSCRIBED:
        ended = kind in (Kind.CANCELED, Kind.AGENCY_CANCELED)
        subscription = bill.subscriptions.create(
            account_id=bill.account_id,
            livemode=bill.livemode,
            stripe_id="sub_1",
            status="canceled" if ended else "active",
            current_period_end=NOW + timedelta(days=30),
            ended_at=NOW if ended else None,
            customer_id="cus_1",
        )
        facts["subscription"] = subscription.pk
    if kind in (*PAID, *GIVEN_BACK, *SUBSCRIBED, Kind.AGENCY_DISPUTE):
        payment = pay(bill, received_at=NOW)
        if kind in SUBSCRIBED:
            payment.subscription_id = facts["subscription"]
            payment.period_start, payment.period_end = NOW, NOW + timedelta(days=30)
            payment.save()
        facts["payment"] = payment.pk
        replaced[f"/{payment.pk}/"] = "/1/"
    if kind in GIVEN_BACK:
        failed = kind == Kind.AGENCY_REFUND
        refund = payment.refunds.create(
            amount_minor=5000,
            currency="EUR",
            state="failed" if failed else "succeeded",
            stripe_id="re_1",
            idempotency_key="refund-1",
            created_at=NOW,
            error="expired_or_canceled_card" if failed else "",
        )
        facts["refund"] = refund.pk
    if kind == Kind.AGENCY_DISPUTE:
        dispute = payment.disputes.create(
            stripe_id="dp_1",
            amount_minor=payment.amount_minor,
            currency="EUR",
            state="needs_response",
            reason="product_not_received",
            due_by=NOW + timedelta(days=9),
        )
        facts["dispute"] = dispute.pk
    return facts, replaced
