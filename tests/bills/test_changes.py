"""Edit, renew, mark as paid and take back: Stripe first, then here."""

from datetime import timedelta

import pytest
from django.utils import timezone
from wagtail.models import ModelLogEntry

from wagtail_client_billing import lifecycle, tasks
from wagtail_client_billing.errors import BeingChanged, NotAllowed, NotConnected
from wagtail_client_billing.gateway.changes import (
    Outcome,
    delete_request,
    edit_request,
    mark_request_paid,
)
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.models import (
    BillingRequest,
    EmailDelivery,
    LogEntry,
    StripeConnection,
)
from wagtail_client_billing.sandbox import books

Cause = LogEntry.Cause


def edit(bill, **changed):
    values = {
        "amount_minor": bill.amount_minor,
        "description": bill.description,
        "email": bill.email,
        **changed,
    }
    return edit_request(bill.pk, user=None, **values)


def mark(bill, **given):
    return mark_request_paid(bill.pk, received_at=timezone.now(), user=None, **given)


def left_alone(bill):
    BillingRequest.objects.filter(pk=bill.pk).update(
        hold_since=timezone.now() - timedelta(minutes=3)
    )


def expired(bill):
    BillingRequest.objects.filter(pk=bill.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    lifecycle.expire_overdue()
    bill.refresh_from_db()
    assert bill.status == "expired"
    return bill


# --- Edit -----------------------------------------------------------------------------------


def test_rule_5_edit_closes_the_open_session_first(world, bill):
    open_checkout(bill.pk)
    assert edit(bill, amount_minor=20000, description="Two pages more") == Outcome.DONE
    assert [session["status"] for session in world.sessions(bill)] == ["expired"]
    bill.refresh_from_db()
    assert (bill.amount_minor, bill.description, bill.hold) == (20000, "Two pages more", "")
    assert (bill.amended_from_minor, bool(bill.amended_at)) == (12345, True)
    open_checkout(bill.pk)
    (session,) = world.payable(bill)
    assert session["amount_total"] == 20000
    entry = bill.log_entries.get(action=LogEntry.Action.EDITED)
    assert entry.evidence["changed"] == {
        "amount_minor": [12345, 20000],
        "description": ["", "Two pages more"],
    }


def test_an_edit_that_keeps_the_reader_keeps_the_link_and_mails_when_asked(world, bill):
    token, mails = bill.token, bill.deliveries.count()
    edit(bill, amount_minor=1000)
    assert bill.deliveries.count() == mails
    edit(bill, amount_minor=2000, mail=True)
    bill.refresh_from_db()
    assert (bill.token, bill.deliveries.count()) == (token, mails + 1)


def test_a_changed_address_gets_a_new_link_and_the_old_one_dies(world, bill, client):
    old = f"/billing/pay/{bill.token}/"
    edit(bill, amount_minor=1000)
    assert edit(bill, email="right@bakery.test", amount_minor=2000) == Outcome.DONE
    bill.refresh_from_db()
    assert client.get(old).status_code == 404
    assert client.post(old.replace("pay", "checkout")).status_code == 404
    assert client.get(f"/billing/pay/{bill.token}/").status_code == 200
    # Nobody who reads it now was ever told another amount.
    assert bill.amended_at is None
    assert bill.deliveries.latest("pk").to == "right@bakery.test"


def test_rule_5_an_edit_of_what_was_paid_meanwhile_changes_nothing(world, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    assert edit(bill, amount_minor=1, email="thief@elsewhere.test") == Outcome.PAID
    token = bill.token
    bill.refresh_from_db()
    assert (bill.status, bill.amount_minor, bill.email) == ("paid", 12345, "client@bakery.test")
    assert (bill.token, bill.hold, bill.hold_data) == (token, "", {})


def test_rule_5_with_stripe_down_an_edit_waits_and_the_sweep_makes_it(world, bill):
    open_checkout(bill.pk)
    world.down()
    assert edit(bill, amount_minor=777) == Outcome.WAITING
    bill.refresh_from_db()
    assert (bill.amount_minor, bill.hold) == (12345, "edit")
    with pytest.raises(BeingChanged):
        open_checkout(bill.pk)
    world.up()
    left_alone(bill)
    tasks.sweep()
    bill.refresh_from_db()
    assert (bill.amount_minor, bill.hold, world.payable(bill)) == (777, "", [])


@pytest.mark.parametrize("status", ["paid", "expired", "deleted"])
def test_what_is_not_pending_cannot_be_edited(world, bill, status):
    BillingRequest.objects.filter(pk=bill.pk).update(status=status)
    with pytest.raises(NotAllowed):
        edit(bill, amount_minor=1)


def test_what_is_over_cannot_be_edited(world, bill, overdue):
    overdue(bill)
    with pytest.raises(NotAllowed, match="time to pay"):
        edit(bill, amount_minor=1)


def test_an_edit_that_changes_nothing_says_so_in_the_log_and_no_more(world, bill):
    token = bill.token
    assert edit(bill) == Outcome.DONE
    bill.refresh_from_db()
    assert (bill.token, bill.amended_at, bill.deliveries.count()) == (token, None, 1)
    assert bill.log_entries.get(action=LogEntry.Action.EDITED).evidence == {"changed": {}}


# --- Renew ----------------------------------------------------------------------------------


def test_renewing_keeps_number_and_link(world, bill, django_user_model):
    user = django_user_model.objects.create_user("ed")
    number, token, mails = bill.number, bill.token, bill.deliveries.count()
    renewed = lifecycle.renew(expired(bill).pk, lifetime=timedelta(days=7), user=user)
    assert (renewed.number, renewed.token, renewed.status) == (number, token, "pending")
    left = renewed.expires_at - timezone.now()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    assert bill.deliveries.count() == mails + 1
    entry = bill.log_entries.get(action=LogEntry.Action.RENEWED)
    assert (entry.user, entry.old_status, entry.new_status) == (user, "expired", "pending")
    assert open_checkout(bill.pk).url


def test_renewing_gives_the_same_time_again(world, make_bill):
    bill = make_bill()
    BillingRequest.objects.filter(pk=bill.pk).update(link_lifetime=timedelta(hours=3))
    renewed = lifecycle.renew(expired(bill).pk, user=None)
    assert abs(renewed.expires_at - timezone.now() - timedelta(hours=3)) < timedelta(minutes=1)


@pytest.mark.parametrize("status", ["pending", "paid", "deleted"])
def test_only_what_is_expired_is_renewed(world, bill, status):
    BillingRequest.objects.filter(pk=bill.pk).update(status=status)
    with pytest.raises(NotAllowed):
        lifecycle.renew(bill.pk, user=None)


def test_nothing_is_renewed_for_an_account_that_cannot_be_paid(world, bill):
    expired(bill)
    StripeConnection.objects.update(broken_at=timezone.now())
    with pytest.raises(NotConnected):
        lifecycle.renew(bill.pk, user=None)
    bill.refresh_from_db()
    assert (bill.status, bill.is_over) == ("expired", True)


def test_nothing_in_doubt_is_renewed(world, bill):
    expired(bill)
    BillingRequest.objects.filter(pk=bill.pk).update(review_since=timezone.now())
    with pytest.raises(NotAllowed):
        lifecycle.renew(bill.pk, user=None)


# --- Mark as paid, and take back ------------------------------------------------------------


def test_rule_5_marking_as_paid_closes_the_open_session_first(world, bill):
    open_checkout(bill.pk)
    assert mark(bill, note="Bank transfer, 3 November", mail=True) == Outcome.DONE
    assert [session["status"] for session in world.sessions(bill)] == ["expired"]
    bill.refresh_from_db()
    assert (bill.status, bill.paid_late, bill.hold) == ("paid", False, "")
    payment = bill.payments.get()
    assert (payment.kind, payment.amount_minor, payment.currency) == ("by_hand", 12345, "EUR")
    assert payment.note == "Bank transfer, 3 November"
    assert bill.deliveries.filter(kind="receipt").count() == 1
    assert list(bill.log_entries.values_list("action", flat=True))[-2:] == ["marked_paid", "paid"]


def test_marking_needs_no_receipt(world, bill):
    mark(bill)
    assert not bill.deliveries.filter(kind="receipt").exists()


def test_rule_5_what_the_client_paid_meanwhile_is_not_marked(world, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    assert mark(bill) == Outcome.PAID
    bill.refresh_from_db()
    assert [payment.kind for payment in bill.payments.all()] == ["first"]
    assert not bill.review_since


def test_marking_what_is_processing_is_refused(world, bill):
    open_checkout(bill.pk)
    world.pay_later(bill)
    assert mark(bill) == Outcome.PROCESSING
    with pytest.raises(NotAllowed):
        mark(bill)
    assert not bill.payments.exists()


def test_late_money_by_hand_counts(world, bill):
    assert mark(expired(bill)) == Outcome.DONE
    bill.refresh_from_db()
    assert (bill.status, bill.paid_late) == ("paid", True)


def test_with_stripe_down_marking_waits_and_is_done_once(world, bill):
    open_checkout(bill.pk)
    world.down()
    assert mark(bill, note="cash") == Outcome.WAITING
    assert not bill.payments.exists()
    world.up()
    left_alone(bill)
    tasks.sweep()
    tasks.sweep()
    assert [payment.note for payment in bill.payments.all()] == ["cash"]
    bill.refresh_from_db()
    assert bill.status == "paid"


def test_rule_3_taking_back_makes_it_pending_again(world, bill, django_user_model):
    user = django_user_model.objects.create_user("ed")
    mark(bill, mail=True)
    back = lifecycle.take_back(bill.pk, user=user, why="wrong bill")
    assert (back.status, back.paid_at) == ("pending", None)
    assert bill.payments.get().taken_back_at
    entry = bill.log_entries.get(action=LogEntry.Action.TAKEN_BACK)
    assert (entry.user, entry.evidence["why"]) == (user, "wrong bill")
    with pytest.raises(NotAllowed):
        lifecycle.take_back(bill.pk, user=user)
    assert open_checkout(bill.pk).url


def test_taking_back_after_the_deadline_lets_it_expire(world, bill):
    mark(expired(bill))
    assert lifecycle.take_back(bill.pk, user=None).status == "pending"
    tasks.sweep()
    bill.refresh_from_db()
    assert bill.status == "expired"


def test_rule_3_money_from_stripe_cannot_be_taken_back(world, bill):
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause=Cause.CHECK)
    with pytest.raises(NotAllowed):
        lifecycle.take_back(bill.pk, user=None)
    bill.refresh_from_db()
    assert bill.status == "paid"


def test_money_of_both_kinds_is_flagged_and_taking_back_settles_it(world, bill):
    """A session that we could not close was paid after staff had marked the bill."""
    open_checkout(bill.pk)
    attempt = bill.attempts.get()
    world.pay(bill)
    lifecycle.attempt_over(attempt, "expired", not_confirmed=True)
    mark(bill)
    reconcile(bill.pk, cause=Cause.CHECK)
    bill.refresh_from_db()
    assert (bill.status, bill.review_reason) == ("paid", "duplicate")
    assert not bill.deliveries.filter(kind="receipt").exists()
    back = lifecycle.take_back(bill.pk, user=None)
    assert back.status == "paid"
    bill.refresh_from_db()
    (receipt,) = bill.deliveries.filter(kind="receipt")
    assert receipt.facts == {"payment": bill.payments.from_stripe().get().pk}
    assert (bill.status, bill.review_since) == ("paid", None)
    assert [payment.duplicate for payment in bill.payments.filter(taken_back_at=None)] == [False]
    assert bill.log_entries.filter(action=LogEntry.Action.REVIEWED).exists()


def test_a_receipt_for_what_was_taken_back_is_not_sent(world, bill, settings):
    from wagtail_client_billing.mail.obsolete import is_obsolete

    mark(bill, mail=True)
    receipt = bill.deliveries.get(kind="receipt")
    assert not is_obsolete(receipt)
    lifecycle.take_back(bill.pk, user=None)
    assert is_obsolete(bill.deliveries.get(kind="receipt"))


def test_a_mail_that_waits_never_takes_the_new_link_to_the_old_address(world, bill):
    from wagtail_client_billing.mail.obsolete import is_obsolete

    waiting = bill.deliveries.get()
    edit(bill, email="right@bakery.test")
    assert is_obsolete(EmailDelivery.objects.get(pk=waiting.pk))
    assert not is_obsolete(EmailDelivery.objects.latest("pk"))


# --- Wagtail's history ----------------------------------------------------------------------


def test_wagtails_history_tells_of_every_change_and_of_no_address(world, bill, django_user_model):
    user = django_user_model.objects.create_user("ed")
    edit_request(
        bill.pk, amount_minor=500, description="Secret", email="new@bakery.test", user=user
    )
    mark_request_paid(bill.pk, received_at=timezone.now(), note="n@bakery.test", user=user)
    lifecycle.take_back(bill.pk, user=user)
    expired(bill)
    lifecycle.renew(bill.pk, user=user)
    delete_request(bill.pk, user=user)
    entries = ModelLogEntry.objects.filter(object_id=str(bill.pk)).order_by("pk")
    names = [entry.action.removeprefix("client_billing.request_") for entry in entries]
    assert names == [
        "created",
        "edited",
        "marked_paid",
        "paid",
        "taken_back",
        "expired",
        "renewed",
        "deleted",
    ]
    assert {entry.user for entry in entries if "expired" not in entry.action} == {None, user}
    for entry in entries:
        assert entry.formatter.format_message(entry)
        assert "@" not in f"{entry.label} {entry.data}"
    assert books.api_calls() is not None
