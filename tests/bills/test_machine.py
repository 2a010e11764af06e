"""Whatever Pay, the payer, Delete, the deadline and outages do together, the rules hold."""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from wagtail_client_billing import lifecycle, tasks
from wagtail_client_billing.errors import BillingError
from wagtail_client_billing.gateway import client
from wagtail_client_billing.gateway.changes import (
    delete_request,
    edit_request,
    mark_request_paid,
)
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.models import BillingRequest, CheckoutAttempt, LogEntry
from wagtail_client_billing.sandbox import books, checkout, faults

SESSIONS = "/v1/checkout/sessions"
OUTAGES = ["503", "500", "lost"]


def machine(world, make_bill):
    class Bill(RuleBasedStateMachine):
        @initialize(opened=st.sampled_from([True, True, False]))
        def send(self, opened):
            faults.clear()
            self.bill = make_bill()
            self.paid_at_stripe = False
            if opened:
                self.press_pay()

        # What people do.

        @rule()
        def press_pay(self):
            with suppress(BillingError):
                open_checkout(self.bill.pk)

        @rule()
        def press_delete(self):
            with suppress(BillingError):
                delete_request(self.bill.pk, user=None)

        @rule(amount=st.sampled_from([500, 12345]), another_reader=st.booleans())
        def press_edit(self, amount, another_reader):
            email = f"{amount}@bakery.test" if another_reader else self.bill.email
            with suppress(BillingError):
                edit_request(
                    self.bill.pk, amount_minor=amount, description="", email=email, user=None
                )

        @rule()
        def mark_as_paid(self):
            with suppress(BillingError):
                mark_request_paid(self.bill.pk, received_at=timezone.now(), user=None)

        @rule()
        def take_back(self):
            with suppress(BillingError):
                lifecycle.take_back(self.bill.pk, user=None)

        @rule()
        def renew(self):
            with suppress(BillingError):
                lifecycle.renew(self.bill.pk, user=None)

        @precondition(lambda self: world.payable(self.bill))
        @rule(how=st.sampled_from([checkout.pay, checkout.decline, checkout.pay_later]))
        def use_the_session(self, how):
            (session,) = world.payable(self.bill)
            how(session["id"])
            self.paid_at_stripe |= how is checkout.pay

        @rule(succeeded=st.booleans())
        def bank_decides(self, succeeded):
            for session in world.sessions(self.bill):
                with suppress(checkout.NotProcessing):
                    checkout.settle_later(session["id"], succeeded)
                    self.paid_at_stripe |= succeeded

        # What time does.

        @rule()
        def deadline_passes(self):
            past = timezone.now() - timedelta(minutes=1)
            BillingRequest.objects.filter(pk=self.bill.pk, expires_at__gt=past).update(
                expires_at=past
            )

        @rule(kind=st.sampled_from(OUTAGES), times=st.sampled_from([1, 3, None]))
        def stripe_goes_down(self, kind, times):
            faults.add(kind, path=SESSIONS, method="POST", times=times)

        @rule()
        def stripe_comes_up(self):
            faults.clear()

        # Who brings news.

        @rule()
        def news(self):
            reconcile(self.bill.pk, cause=LogEntry.Cause.WEBHOOK)

        @rule()
        def sweep(self):
            BillingRequest.objects.exclude(hold="").update(
                hold_since=timezone.now() - timedelta(minutes=3)
            )
            # Long enough for every kind of attempt to be due: processing ones are asked hourly.
            CheckoutAttempt.objects.filter(request=self.bill).update(
                created_at=timezone.now() - timedelta(hours=2), asked_at=None
            )
            tasks.sweep()

        # What must hold at every moment.

        @invariant()
        def never_over_while_payable(self):
            self.bill.refresh_from_db()
            if self.bill.status in ("deleted", "expired"):
                assert world.payable(self.bill) == []
                assert not self.bill.live_attempt

        @invariant()
        def one_payable_session_and_one_payment(self):
            assert len(world.payable(self.bill)) <= 1
            assert len(books.payments(str(self.bill.uuid))) <= 1

        @invariant()
        def paid_means_that_money_came(self):
            counts = self.bill.payments.filter(taken_back_at=None)
            from_stripe = counts.exclude(kind="by_hand").count()
            assert (self.bill.status == "paid") == counts.exists()
            assert from_stripe <= 1 and (self.paid_at_stripe or not from_stripe)
            # Paid past Stripe and through it as well: a person has to look.
            assert counts.count() == 1 or not counts or self.bill.review_reason == "duplicate"

        @invariant()
        def paid_at_the_terms_of_the_attempt(self):
            for payment in self.bill.payments.exclude(kind="by_hand"):
                assert payment.amount_minor == payment.attempt.amount_minor

        @invariant()
        def only_allowed_moves(self):
            moves = self.bill.log_entries.exclude(new_status="").values_list(
                "old_status", "new_status"
            )
            for old, new in moves:
                assert not old or old in lifecycle.ALLOWED_MOVES[new]

        @invariant()
        def at_most_one_live_attempt(self):
            live = self.bill.attempts.filter(state__in=CheckoutAttempt.LIVE)
            assert live.count() <= 1

        def teardown(self):
            """With Stripe back and everybody heard, our books say what Stripe's say."""
            if not hasattr(self, "bill"):
                return
            faults.clear()
            for _round in range(2):
                self.sweep()
            self.bill.refresh_from_db()
            assert not self.bill.hold
            if self.paid_at_stripe:
                assert self.bill.status == "paid"
            from_stripe = self.bill.payments.exclude(kind="by_hand")
            assert self.paid_at_stripe == from_stripe.exists()
            receipts = self.bill.deliveries.filter(kind="receipt").count()
            assert receipts == from_stripe.filter(duplicate=False).count()
            self.forget()

        def forget(self):
            """Out of the way of the next run's sweeps."""
            for rows in ("log_entries", "deliveries", "payments", "attempts"):
                getattr(self.bill, rows).all().delete()
            self.bill.delete()

    return Bill


@pytest.mark.timeout(600)
def test_rule_3_money_wins_machine(world, make_bill, monkeypatch):
    # The SDK sleeps before it repeats; here the next step is the repetition.
    monkeypatch.setattr(client, "RETRIES_WAITING", 0)
    run_state_machine_as_test(
        machine(world, make_bill),
        settings=settings(
            max_examples=30,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
