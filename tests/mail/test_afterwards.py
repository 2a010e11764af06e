"""The mails that follow the first payment: what they say, and when they are no longer said."""

import time
from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from tests.mail.conftest import bodies, pay
from wagtail_client_billing import lifecycle
from wagtail_client_billing.lifecycle import DisputeFacts, RefundFacts
from wagtail_client_billing.links import payment_link, receipt_link
from wagtail_client_billing.mail import outbox
from wagtail_client_billing.mail.compose import compose
from wagtail_client_billing.models import (
    BillingRequest,
    Dispute,
    EmailDelivery,
    LogEntry,
    Refund,
    Subscription,
)

Kind = EmailDelivery.Kind
State = EmailDelivery.State
JULY = datetime(2027, 7, 3, 12, tzinfo=UTC)
SWEEP = LogEntry.Cause.SWEEP


@pytest.fixture
def monthly(make_bill):
    return make_bill(billing_type="monthly", amount_minor=4900)


@pytest.fixture
def subscription(monthly):
    """Active, with its first payment."""
    row = Subscription.objects.create(
        request=monthly,
        account_id=monthly.account_id,
        livemode=monthly.livemode,
        stripe_id="sub_1",
        customer_id="cus_1",
        status="active",
        started_at=timezone.now(),
        current_period_end=JULY,
    )
    pay(monthly, "in_1", subscription=row, intent_id="pi_of_in_1")
    return row


@pytest.fixture
def refund(bill):
    payment = pay(bill, intent_id="pi_1")
    row = lifecycle.begin_refund(payment.pk, amount_minor=1000, user=None)
    told(row, "pending")
    row.refresh_from_db()
    return row


def told(refund, state, failure=""):
    """Stripe says of the refund that it is in this state."""
    facts = RefundFacts(
        stripe_id=f"re_{refund.pk}",
        state=state,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        created_at=timezone.now(),
        key=refund.idempotency_key or "",
        failure=failure,
    )
    lifecycle.refunds_known(refund.payment_id, [facts], cause=SWEEP)


def queued(bill, kind):
    # Not from the bill's own rows, which would know it as it was.
    return EmailDelivery.objects.get(request_id=bill.pk, kind=kind, state=State.QUEUED)


def in_words(bill, kind):
    """Subject and both bodies of the one mail of a kind that waits."""
    message = compose(queued(bill, kind))
    text, html = bodies(message)
    return message.subject, text, html


# --- The link -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({}, "Pay €49.00 now, then €49.00 every month."),
        (
            {"ends_after": 12},
            "Pay €49.00 now, then €49.00 every month, for 12 payments in all.",
        ),
        (
            {"ends_on": date(2030, 12, 31)},
            "Pay €49.00 now, then €49.00 every month, until December 31, 2030.",
        ),
    ],
)
def test_the_link_to_a_recurring_bill_says_what_it_commits_to(monthly, ends, words):
    BillingRequest.objects.filter(pk=monthly.pk).update(**ends)
    for body in in_words(monthly, Kind.PAYMENT_LINK)[1:]:
        assert words in body
        assert "change your card or cancel" in body


def test_the_link_to_one_payment_promises_no_other(bill):
    for body in in_words(bill, Kind.PAYMENT_LINK)[1:]:
        assert "then" not in body
        assert "cancel" not in body


# --- Renewals -------------------------------------------------------------------------------


def renewed(subscription, **given):
    request = subscription.request
    given = {"period_start": JULY, "period_end": JULY + timedelta(days=31), **given}
    return pay(request, "in_2", kind="renewal", subscription=subscription, **given)


def test_a_renewal_has_a_receipt_with_its_period(subscription, monthly, mail):
    payment = renewed(subscription)
    message = mail(Kind.RENEWAL_RECEIPT, monthly, facts={"payment": payment.pk})
    assert message.subject == "Bakery Website: we received your payment of €49.00"
    for body in bodies(message):
        for words in (
            "For the period from July 3, 2027 to August 3, 2027.",
            receipt_link(monthly, payment),
            "The next payment of €49.00 is charged on July 3, 2027.",
            payment_link(monthly),
            "Change your card or cancel",
        ):
            assert words in body, words


def test_a_payment_by_hand_has_a_receipt_too(bill, mail):
    payment = pay(bill, "by_hand_1", kind="by_hand", received_at=JULY, last4="")
    for body in bodies(mail(Kind.RECEIPT, facts={"payment": payment.pk})):
        assert "Paid on July 3, 2027." in body
        assert receipt_link(bill, payment) in body


def not_paid(subscription, **given):
    Subscription.objects.filter(pk=subscription.pk).update(status="past_due")
    lifecycle.renewal_failed(
        subscription, invoice="in_2", attempt_count=1, cause=LogEntry.Cause.WEBHOOK, **given
    )


def test_a_renewal_that_failed_says_what_to_do(subscription, monthly):
    not_paid(subscription)
    subject, *both = in_words(monthly, Kind.RENEWAL_FAILED)
    assert subject == "Bakery Website: your payment of €49.00 did not go through"
    for body in both:
        assert "did not go through. Nothing was charged this time." in body
        assert "change your card, and pay the invoice that is not paid yet" in body
        assert payment_link(monthly) in body
        assert "confirm" not in body
    subject, *both = in_words(monthly, Kind.AGENCY_RENEWAL)
    assert subject == (
        f"Bakery Website: a payment of €49.00 for {monthly.number} did not go through"
    )
    for body in both:
        assert "The client was written to" in body
        assert "client@customer.example" in body
        assert monthly.token not in body


def test_a_bank_that_waits_for_its_client(subscription, monthly):
    not_paid(subscription, needs_client=True)
    subject, *both = in_words(monthly, Kind.RENEWAL_FAILED)
    assert subject == "Bakery Website: please confirm your payment of €49.00"
    for body in both:
        assert "Your bank wants you to confirm your payment of €49.00." in body
        assert payment_link(monthly) in body
        assert "did not go through" not in body
    for body in in_words(monthly, Kind.AGENCY_RENEWAL)[1:]:
        assert "bank wants to hear from the client" in body.replace("&#x27;", "'")


# --- The end --------------------------------------------------------------------------------


def test_an_end_that_is_planned_is_told_to_the_agency(subscription, monthly, mail):
    Subscription.objects.filter(pk=subscription.pk).update(cancel_at_period_end=True)
    facts = {"subscription": subscription.pk}
    message = mail(Kind.AGENCY_CANCELED, monthly, facts=facts)
    assert message.subject == f"Bakery Website: the subscription {monthly.number} will end"
    for body in bodies(message):
        assert f"The subscription {monthly.number} will end on July 3, 2027." in body
        assert "The client will not be charged again." in body


def test_an_end_is_told_to_both(subscription, monthly, mail):
    Subscription.objects.filter(pk=subscription.pk).update(status="canceled", ended_at=JULY)
    facts = {"subscription": subscription.pk}
    message = mail(Kind.CANCELED, monthly, facts=facts)
    assert message.subject == "Bakery Website: your subscription has ended"
    for body in bodies(message):
        assert "Your subscription ended on July 3, 2027. You will not be charged again." in body
        assert payment_link(monthly) in body
        assert "Change your card" not in body
    message = mail(Kind.AGENCY_CANCELED, monthly, facts=facts)
    assert message.subject == f"Bakery Website: the subscription {monthly.number} has ended"
    for body in bodies(message):
        assert "ended on July 3, 2027. The client will not be charged again." in body


def test_one_that_never_began_has_not_ended(subscription, monthly, mail):
    monthly.payments.all().delete()
    Subscription.objects.filter(pk=subscription.pk).update(status="canceled", ended_at=JULY)
    facts = {"subscription": subscription.pk}
    for kind in (Kind.CANCELED, Kind.AGENCY_CANCELED):
        for body in bodies(mail(kind, monthly, facts=facts)):
            assert "did not begin, since its first payment did not come." in body
            assert "July 3, 2027" not in body


# --- Money back -----------------------------------------------------------------------------


def test_a_refund_says_how_much_and_when(refund, bill):
    subject, *both = in_words(bill, Kind.REFUNDED)
    assert subject == "Bakery Website: a refund of €10.00 is on its way to you"
    for body in both:
        for words in (
            "Atelier Web has given back money that you had paid.",
            "€10.00",
            "Homepage, first half",
            "within 5 to 10 days",
            receipt_link(bill, refund.payment),
        ):
            assert words in body, words
        assert "1,234.56" not in body


def test_a_refund_that_waits_for_its_client(refund, bill):
    Refund.objects.update(state="requires_action")
    for body in in_words(bill, Kind.REFUNDED)[1:]:
        assert "it needs your answer" in body
        assert "5 to 10 days" not in body


def test_a_refund_that_failed_is_for_the_agency_alone(refund, bill):
    told(refund, "failed", "expired_or_canceled_card")
    subject, *both = in_words(bill, Kind.AGENCY_REFUND)
    assert subject == f"Bakery Website: a refund of €10.00 for {bill.number} failed"
    for body in (each.replace("&#x27;", "'") for each in both):
        assert "Stripe's reason: the client's card has expired or was cancelled" in body
        assert "The money is back on your Stripe account." in body
        assert bill.token not in body


def test_a_refund_that_stripe_refused_says_why(bill):
    payment = pay(bill, intent_id="pi_1")
    row = lifecycle.begin_refund(payment.pk, amount_minor=1000, user=None)
    lifecycle.refund_refused(row, "Charge ch_1 <has> been charged back.", cause=SWEEP)
    _subject, text, html = in_words(bill, Kind.AGENCY_REFUND)
    assert "Charge ch_1 <has> been charged back." in text
    assert "Charge ch_1 &lt;has&gt; been charged back." in html
    assert "The client has not got the money." in text


@pytest.mark.parametrize("error", ["unknown", ""])
def test_a_reason_that_is_none_is_left_out(refund, bill, error):
    told(refund, "failed", error)
    assert "reason" not in in_words(bill, Kind.AGENCY_REFUND)[1]


# --- Disputes -------------------------------------------------------------------------------


@pytest.fixture
def disputed(bill):
    """``disputed(state)``: Stripe tells of a dispute about the bill's payment."""
    payment = pay(bill, intent_id="pi_1")

    def tell(state, **given):
        facts = DisputeFacts(
            **{
                "stripe_id": "dp_1",
                "state": state,
                "amount_minor": 123456,
                "currency": "EUR",
                "created_at": timezone.now(),
                "reason": "product_not_received",
                "due_by": JULY,
                **given,
            }
        )
        lifecycle.disputes_known(payment.pk, [facts], cause=LogEntry.Cause.WEBHOOK)

    return tell


def test_a_dispute_says_why_and_until_when(disputed, bill):
    disputed("needs_response")
    subject, *both = in_words(bill, Kind.AGENCY_DISPUTE)
    assert subject == f"Bakery Website: a payment of €1,234.56 for {bill.number} is disputed"
    for body in (each.replace("&#x27;", "'") for each in both):
        assert "The client's bank wants a payment of €1,234.56" in body
        assert "the client has not received what was paid for" in body
        assert "Answer it in your Stripe Dashboard by July 3, 2027, 12:00" in body
        assert bill.token not in body


def test_an_inquiry_has_taken_nothing_yet(disputed, bill):
    disputed("warning_needs_response", reason="general")
    text = in_words(bill, Kind.AGENCY_DISPUTE)[1]
    assert "bank asks about a payment" in text
    assert "reason" not in text
    assert "Answer it" in text


def test_what_is_answered_has_no_date(disputed, bill):
    disputed("under_review")
    assert "Answer it" not in in_words(bill, Kind.AGENCY_DISPUTE)[1]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("won", "is won: the money stays with you."),
        ("lost", "is lost: the money goes back to the client."),
        ("warning_closed", "is closed."),
        ("prevented", "is closed."),
    ],
)
def test_the_outcome_of_a_dispute(disputed, bill, outcome, words):
    disputed("needs_response")
    bill.deliveries.update(state=State.SENT)
    disputed(outcome)
    subject, *both = in_words(bill, Kind.AGENCY_DISPUTE)
    assert subject == f"Bakery Website: the dispute about €1,234.56 for {bill.number} is over"
    for body in both:
        assert words in body
        assert "Answer it" not in body


def test_a_reason_that_stripe_has_made_up_since(disputed, bill):
    disputed("needs_response", reason="some_new_reason")
    assert "some new reason" in in_words(bill, Kind.AGENCY_DISPUTE)[1]


def test_facts_that_name_another_bills_rows_find_nothing(refund, make_bill, mail):
    other = make_bill()
    Dispute.objects.create(
        payment=refund.payment, stripe_id="dp_1", amount_minor=777, currency="EUR", state="lost"
    )
    facts = {"payment": refund.payment_id, "refund": refund.pk, "dispute": Dispute.objects.get().pk}
    for kind in (Kind.RECEIPT, Kind.REFUNDED, Kind.AGENCY_DISPUTE):
        for body in bodies(mail(kind, other, facts=facts)):
            assert "€10.00" not in body
            assert "€7.77" not in body
            assert "/receipt/" not in body


# --- What is no longer true is not sent -----------------------------------------------------


def sent(bill, kind):
    """Whether the mail of this kind leaves when the outbox is drained now."""
    outbox.drain(time.monotonic() + 30)
    return bill.deliveries.get(kind=kind).state == State.SENT


FAILED = [Kind.RENEWAL_FAILED, Kind.AGENCY_RENEWAL]


@pytest.mark.parametrize("kind", FAILED)
def test_a_failed_renewal_is_told(subscription, monthly, kind):
    not_paid(subscription)
    assert sent(monthly, kind)


@pytest.mark.parametrize("kind", FAILED)
@pytest.mark.parametrize(("status", "told"), [("active", True), ("canceled", False)])
def test_a_failed_renewal_is_no_news_when_it_is_over(subscription, monthly, kind, status, told):
    """Our copy may say *active* while it is older than the news."""
    not_paid(subscription)
    Subscription.objects.update(status=status)
    assert sent(monthly, kind) == told


@pytest.mark.parametrize("kind", FAILED)
@pytest.mark.parametrize("source", ["in_2", "in_other"])
def test_a_failed_renewal_is_no_news_when_that_invoice_was_paid(
    subscription, monthly, kind, source
):
    not_paid(subscription)
    pay(monthly, source, kind="renewal", subscription=subscription)
    assert sent(monthly, kind) == (source != "in_2")


@pytest.mark.parametrize("facts", [{}, {"taken_back_at": JULY}, {"mismatch": True}])
@pytest.mark.parametrize("kind", [Kind.RECEIPT, Kind.RENEWAL_RECEIPT])
def test_a_receipt_is_for_money_that_counts(bill, mail, kind, facts):
    payment = pay(bill, **facts)
    mail(kind, facts={"payment": payment.pk})
    assert sent(bill, kind) == (not facts)


@pytest.mark.parametrize("state", ["pending", "succeeded", "requires_action"])
def test_a_refund_is_told(refund, bill, state):
    told(refund, state)
    assert sent(bill, Kind.REFUNDED)


@pytest.mark.parametrize("state", ["failed", "canceled"])
def test_a_refund_that_failed_meanwhile_is_not_promised(refund, bill, state):
    told(refund, state)
    assert not sent(bill, Kind.REFUNDED)
    assert bill.deliveries.get(kind=Kind.AGENCY_REFUND).state == State.SENT


def test_the_end_of_a_subscription_is_always_told(subscription, monthly, mail):
    Subscription.objects.update(status="canceled", ended_at=JULY)
    facts = {"subscription": subscription.pk}
    mail(Kind.CANCELED, monthly, facts=facts)
    mail(Kind.AGENCY_CANCELED, monthly, facts=facts)
    assert sent(monthly, Kind.CANCELED)
    assert sent(monthly, Kind.AGENCY_CANCELED)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_planned_end_is_no_news_when_it_was_dropped(subscription, monthly, mail, goes_on):
    Subscription.objects.update(cancel_at_period_end=not goes_on)
    mail(Kind.AGENCY_CANCELED, monthly, facts={"subscription": subscription.pk})
    assert sent(monthly, Kind.AGENCY_CANCELED) == (not goes_on)


@pytest.mark.parametrize("then", ["needs_response", "won", "lost"])
def test_a_dispute_is_always_told(disputed, bill, then):
    disputed("needs_response")
    Dispute.objects.update(state=then)
    assert sent(bill, Kind.AGENCY_DISPUTE)


# --- In another language --------------------------------------------------------------------


def untranslated(delivery):
    """Lines of prose that are the same in English and in French."""
    both = []
    for language in ("en", "fr"):
        delivery.language = language
        message = compose(delivery)
        # The subject names the site first.
        both.append({message.subject.split(": ", 1)[-1], *message.body.splitlines()})
    names = ("Atelier", "http", "Homepage")
    shared = both[0] & both[1]
    return [line for line in shared if " " in line.strip() and not any(n in line for n in names)]


@pytest.mark.parametrize("needs_client", [True, False])
def test_a_subscriptions_mails_in_french(subscription, monthly, mail, needs_client):
    renewal = renewed(subscription)
    not_paid(subscription, needs_client=needs_client)
    mail(Kind.RENEWAL_RECEIPT, monthly, facts={"payment": renewal.pk})
    ending = {"cancel_at_period_end": needs_client, "status": "active"}
    ended = {"status": "canceled", "ended_at": JULY}
    Subscription.objects.update(**(ending if needs_client else ended))
    mail(Kind.AGENCY_CANCELED, monthly, facts={"subscription": subscription.pk})
    if not needs_client:
        mail(Kind.CANCELED, monthly, facts={"subscription": subscription.pk})
    BillingRequest.objects.filter(pk=monthly.pk).update(ends_after=12 if needs_client else None)
    for delivery in EmailDelivery.objects.filter(request_id=monthly.pk):
        assert untranslated(delivery) == [], delivery.kind


@pytest.mark.parametrize("state", ["failed", "requires_action", "succeeded"])
def test_a_refunds_mails_in_french(refund, bill, state):
    told(refund, state, "expired_or_canceled_card")
    for delivery in EmailDelivery.objects.filter(request_id=bill.pk):
        assert untranslated(delivery) == [], delivery.kind


@pytest.mark.parametrize("state", ["needs_response", "warning_needs_response", "won", "lost"])
def test_a_disputes_mails_in_french(disputed, bill, state):
    disputed(state)
    for delivery in EmailDelivery.objects.filter(request_id=bill.pk):
        assert untranslated(delivery) == [], delivery.kind
