"""Whatever clients, staff, banks, networks and time do together: the books agree with Stripe's."""

import os
import secrets
import time
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest
import stripe
import time_machine
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.bills.conftest import KEY
from tests.bills.life import (
    IN_PROCESS,
    OVER_HTTP,
    Crash,
    DyingAtomic,
    Steps,
    booked,
    mails_queued,
    mails_that_follow,
    money_at_stripe,
    rolled_back,
    to_be_told,
)
from tests.in_process import deliver
from wagtail_client_billing import lifecycle, signals
from wagtail_client_billing.errors import BillingError
from wagtail_client_billing.gateway import client, connect, webhooks
from wagtail_client_billing.gateway.accounts import KeyRefused
from wagtail_client_billing.gateway.changes import delete_request, edit_request, mark_request_paid
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.refunds import refund_payment
from wagtail_client_billing.gateway.subscription_changes import change_subscription
from wagtail_client_billing.gateway.sweeping import sweep_stripe
from wagtail_client_billing.gateway.unlink import unlink
from wagtail_client_billing.models import (
    BillingRequest,
    CheckoutAttempt,
    LogEntry,
    Refund,
    StripeConnection,
    StripeEvent,
    Subscription,
    SubscriptionChange,
)
from wagtail_client_billing.sandbox import (
    books,
    checkout,
    disputes,
    due,
    faults,
    invoice_pages,
    portal,
    refunds,
    subscriptions,
)

EXAMPLES = int(os.environ.get("WCB_MACHINE_EXAMPLES") or 200)
STEPS = 30
# Printed at the start; the same seed tells the same stories again.
SEED = int(os.environ.get("WCB_MACHINE_SEED") or secrets.randbits(32))
PAIRS, SEEN = Counter(), Counter()
# Each of these has to have come right after the other, in one order or the other.
WANTED = [
    ("pay", "delete"),
    ("pay", "edit"),
    ("refund", "refund"),
    ("renew", "late_payment"),
    ("unlink", "pay"),
]
MORE_BATCHES = 6
LOST = (BillingError, LookupError)


def never_met():
    return [pair for pair in WANTED if not PAIRS[pair] and not PAIRS[pair[::-1]]]


def does(name, **given):
    return st.tuples(st.just(name), st.fixed_dictionaries(given))


def pay_what_is_owed(subscription_id):
    """On the invoice's own page, which outlives the subscription."""
    for invoice in books.invoices(subscription_id):
        invoice_pages.pay(invoice["id"])


part = st.sampled_from([1, 2, 3])
how = st.sampled_from([checkout.pay, checkout.pay, checkout.decline, checkout.pay_later])
then = st.sampled_from(["come_back", "delete", "edit", "mark_as_paid", "unlink", None])
at_the_portal = st.sampled_from(
    [
        lambda id: portal.update_card(id, "works"),
        lambda id: portal.update_card(id, "declines"),
        lambda id: subscriptions.set_card(id, "declines"),
        lambda id: subscriptions.set_card(id, "asks"),
        lambda id: subscriptions.set_card(id, "debit"),
        lambda id: pay_what_is_owed(id),
        portal.cancel_at_period_end,
        portal.keep,
    ]
)
# Few rules with many choices: hypothesis leaves whole rules out of a run.
CLIENT = st.one_of(
    does("press_pay"),
    does("pay", how=how, then=then),
    does("pay", how=how, then=then),
    does("late_payment", renewed=st.sampled_from([True, True, False])),
    does("come_back"),
    does("use_the_portal", what=at_the_portal),
)
refunding = does(
    "refund",
    shares=st.lists(part, min_size=1, max_size=2),
    answer_lost=st.booleans(),
    swept=st.booleans(),
)
STAFF = st.one_of(
    does("delete"),
    does("edit", amount=st.sampled_from([500, 12345]), another_reader=st.booleans()),
    does("mark_as_paid"),
    does("take_back"),
    does("renew"),
    refunding,
    refunding,
    does("end_the_review", accept=st.booleans()),
    does("change", kind=st.sampled_from(["cancel_now", "cancel_later", "keep"])),
    does("unlink"),
    does("relink"),
    does("relink"),
)
STRIPE = st.one_of(
    does("refund_at_stripe", share=part),
    does("refunds_are_slow", slow=st.booleans()),
    does("refund_settles", fails=st.booleans()),
    does("dispute", won=st.sampled_from([None, True, False])),
    does("bank_decides", succeeded=st.booleans()),
)
WORLD = st.one_of(
    does("time_passes", hours=st.sampled_from([1, 24 * 8, 24 * 32])),
    does("deadline_passes"),
    does(
        "stripe_goes_down",
        kind=st.sampled_from(["503", "500", "lost", "429"]),
        times=st.sampled_from([1, 2, None]),
        method=st.sampled_from(["POST", "GET", "DELETE", None]),
    ),
    does("stripe_comes_up"),
    does("the_process_will_die", steps=st.integers(0, 12)),
)
NEWS = st.one_of(
    does(
        "webhooks_arrive",
        order=st.sampled_from(["oldest", "newest", "shuffled"]),
        lost=st.sampled_from([(), (), ("checkout.session.completed", "invoice.paid")]),
        twice=st.booleans(),
    ),
    does("worker"),
    does("sweep"),
)


def machine(connection, make_bill, snapshot, monkeypatch):
    class Life(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.stack = ExitStack()
            self.stack.enter_context(rolled_back())
            books.path().write_bytes(snapshot)
            cache.clear()
            self.clock = self.stack.enter_context(time_machine.travel(timezone.now(), tick=False))
            self.before = None
            self.told = set()
            for signal in set(signals.BY_ACTION.values()):
                signal.connect(self.hear, weak=False)
                self.stack.callback(signal.disconnect, self.hear)

        def hear(self, log_entry_id, **more):
            self.told.add(log_entry_id)

        def did(self, name):
            PAIRS[(self.before, name)] += 1
            self.before = name

        def act(self, function, *args, **kwargs):
            with suppress(Crash, BillingError):
                return function(*args, **kwargs)

        @initialize(
            kind=st.sampled_from(["one_time", "monthly", "weekly"]),
            ends_after=st.sampled_from([None, None, 2]),
            over_http=st.sampled_from([False] * 9 + [True]),
            days=st.sampled_from([1, 90]),
            start=st.sampled_from(["paid", "paid", "late", "later", "opened", "sent"]),
            then=then,
            last_word=st.booleans(),
        )
        def send(self, kind, ends_after, over_http, days, start, then, last_word):
            self.last_word, self.over_http = last_word, over_http
            monkeypatch.setattr(stripe, "RequestsClient", OVER_HTTP if over_http else IN_PROCESS)
            self.bill = make_bill(
                billing_type=kind,
                ends_after=ends_after if kind != "one_time" else None,
                link_lifetime=timedelta(days=days),
            )
            # Most of life comes after paying.
            if start == "opened":
                self.press_pay()
            elif start == "late":
                self.late_payment(renewed=then not in ("delete", "edit"))
            elif start != "sent":
                self.pay(how=checkout.pay_later if start == "later" else checkout.pay, then=then)

        @rule(what=CLIENT)
        def client(self, what):
            self.does(what)

        @rule(what=STAFF)
        def staff(self, what):
            self.does(what)

        @rule(what=STAFF)
        def more_staff(self, what):
            self.does(what)

        @rule(what=STRIPE)
        def at_stripe(self, what):
            self.does(what)

        @rule(what=WORLD)
        def world(self, what):
            self.does(what)

        @rule(what=NEWS)
        def news(self, what):
            self.does(what)

        def does(self, what):
            name, given = what
            getattr(self, name)(**given)

        # What clients do.

        def press_pay(self):
            self.did("press_pay")
            self.act(open_checkout, self.bill.pk)

        def pay(self, how, then):
            if not self.use_the_session(how):
                return
            self.did("pay")
            # What happens before anybody has heard of it.
            match then:
                case "edit":
                    self.edit(amount=500, another_reader=True)
                case None:
                    pass
                case _:
                    getattr(self, then)()

        def use_the_session(self, how):
            payable = books.payable_sessions(str(self.bill.uuid))
            if not payable:
                self.act(open_checkout, self.bill.pk)
                payable = books.payable_sessions(str(self.bill.uuid))
            for session in payable:
                with suppress(checkout.NotOpen):
                    how(session["id"])
                    return True
            return False

        def late_payment(self, renewed):
            """The session was opened in time, and is paid after it."""
            self.act(open_checkout, self.bill.pk)
            self.deadline_passes()
            if self.use_the_session(checkout.pay):
                self.did("late_payment")
                # Staff look at it before anybody has heard of the payment.
                if renewed:
                    self.renew()

        def come_back(self):
            self.did("come_back")
            self.act(reconcile, self.bill.pk, cause=LogEntry.Cause.RETURN_PAGE)

        def use_the_portal(self, what):
            self.did("portal")
            for subscription in self.subscribed():
                with suppress(Exception):
                    what(subscription["id"])

        def subscribed(self):
            return books.subscriptions(str(self.bill.uuid)) if hasattr(self, "bill") else []

        # What staff do.

        def delete(self):
            self.did("delete")
            self.act(delete_request, self.bill.pk, user=None)

        def edit(self, amount, another_reader):
            self.did("edit")
            email = f"{amount}@bakery.test" if another_reader else self.bill.email
            values = {"amount_minor": amount, "description": "", "email": email}
            self.act(edit_request, self.bill.pk, **values, user=None)

        def mark_as_paid(self):
            self.did("mark_as_paid")
            self.act(mark_request_paid, self.bill.pk, received_at=timezone.now(), user=None)

        def take_back(self):
            self.did("take_back")
            self.act(lifecycle.take_back, self.bill.pk, user=None)

        def renew(self):
            self.did("renew")
            self.act(lifecycle.renew, self.bill.pk, user=None)

        def refund(self, shares, answer_lost, swept):
            if answer_lost:
                faults.add("lost", path="/v1/refunds", method="POST", times=1)
            if not self.bill.payments.exists():
                self.come_back()
            for payment in self.bill.payments.from_stripe():
                for share in shares:
                    left = payment.refundable_minor
                    self.did("refund")
                    amount = max(1, left // share)
                    self.act(refund_payment, payment.pk, amount_minor=amount, user=None)
            if swept:
                self.sweep()

        def end_the_review(self, accept):
            self.did("review")
            decide = lifecycle.accept_review if accept else lifecycle.dismiss_review
            self.act(decide, self.bill.pk, user=None)

        def change(self, kind):
            for subscription in self.bill.subscriptions.all():
                self.did("change")
                self.act(change_subscription, subscription.pk, kind, user=None)

        def unlink(self):
            self.did("unlink")
            self.act(unlink, StripeConnection.objects.get(pk=connection.pk))

        def relink(self):
            self.did("relink")
            with suppress(KeyRefused):
                self.act(
                    connect.connect_with_key,
                    key=KEY,
                    livemode=False,
                    country="FR",
                    privacy_policy_url="https://atelier.test/privacy",
                    terms_url="https://atelier.test/terms",
                    user=None,
                )

        # What is done at Stripe, and by banks.

        def refund_at_stripe(self, share):
            self.did("refund_at_stripe")
            for money in books.money(str(self.bill.uuid)):
                with suppress(Exception):
                    left = money["paid"] - money["refunded"]
                    refunds.from_dashboard(money["intent"], max(1, left // share))

        def refunds_are_slow(self, slow):
            refunds.be_slow(slow)

        def refund_settles(self, fails):
            self.did("refund_settles")
            for refund in books.refunds():
                with suppress(refunds.NotPossible):
                    (refunds.fail if fails else refunds.settle)(refund["id"])

        def dispute(self, won):
            self.did("dispute")
            for money in books.money(str(self.bill.uuid)):
                with suppress(Exception):
                    if won is None:
                        disputes.open(money["intent"])
            for made in books.disputes():
                with suppress(disputes.NotPossible):
                    if won is not None:
                        disputes.close(made["id"], won=won)

        def bank_decides(self, succeeded):
            self.did("bank")
            for session in books.sessions(str(self.bill.uuid)):
                with suppress(checkout.NotProcessing):
                    checkout.settle_later(session["id"], succeeded)
            self.debits_are_decided(succeeded)

        def debits_are_decided(self, succeeded):
            for invoice in books.invoices():
                invoice_pages.decide(invoice["id"], succeeded)

        # What time does.

        def time_passes(self, hours):
            self.did("time")
            self.clock.shift(timedelta(hours=hours))
            due.apply()

        def deadline_passes(self):
            past = timezone.now() - timedelta(minutes=1)
            BillingRequest.objects.filter(pk=self.bill.pk, expires_at__gt=past).update(
                expires_at=past
            )

        # What the network does.

        def stripe_goes_down(self, kind, times, method):
            faults.add(kind, times=times, **({"method": method} if method else {}))

        def stripe_comes_up(self):
            faults.clear()

        def the_process_will_die(self, steps):
            Steps.left = steps

        # Who brings news.

        def webhooks_arrive(self, order, lost, twice):
            self.did("webhooks")
            again = {event["type"] for event in books.events()} if twice else ()
            self.act(deliver, order, lost, again)

        def worker(self):
            self.did("worker")
            self.act(webhooks.drain, time.monotonic() + 30)
            self.act(signals.send_due_signals, time.monotonic() + 30)

        def sweep(self):
            self.did("sweep")
            self.clock.shift(timedelta(minutes=3))
            self.act(lifecycle.expire_overdue)
            self.act(sweep_stripe, time.monotonic() + 30)
            self.act(webhooks.drain, time.monotonic() + 30)

        # What holds at every moment.

        @invariant()
        def holds(self):
            if not hasattr(self, "bill"):
                return
            uuid = str(self.bill.uuid)
            self.bill.refresh_from_db()
            payable = books.payable_sessions(uuid)
            assert len(payable) <= 1
            assert not payable or self.bill.status not in ("deleted", "expired")
            assert (self.bill.status == "paid") == self.bill.payments.counted().exists()
            paid = [each for each in books.sessions(uuid) if each["payment_status"] == "paid"]
            assert len(paid) <= 1, "the client paid twice"

        def teardown(self):
            try:
                if hasattr(self, "bill"):
                    self.compare()
            finally:
                Steps.left = None
                self.stack.close()

        def compare(self):
            """With everybody back and everybody heard, our books say what Stripe's say."""
            Steps.left = None
            faults.clear()
            if StripeConnection.objects.filter(pk=connection.pk, unlinked_at=None).count() == 0:
                self.relink()
            # Daily work is due in the first round; the list of events is caught up part by part.
            self.clock.shift(timedelta(hours=26))
            self.ends_as_agreed()
            for subscription in self.subscribed():
                # Or else money goes on moving while we compare.
                with suppress(Exception):
                    subscriptions.cancel_now(subscription["id"])
            self.bank_decides(succeeded=self.last_word)
            # Those too that Stripe is asked for only now.
            refunds.be_slow(False)
            for refund in books.refunds():
                with suppress(refunds.NotPossible):
                    refunds.settle(refund["id"])
            self.healed(
                lambda: booked(self.bill) == money_at_stripe(self.bill) and not self.unsettled()
            )
            signals.send_due_signals(time.monotonic() + 30)
            self.bill.refresh_from_db()
            self.count()
            if SEEN["runs"] % 100 == 0:
                print(f"{SEEN['runs']} lives", flush=True)
            assert not self.unsettled()
            assert booked(self.bill) == money_at_stripe(self.bill)
            assert all(paid >= back for _source, paid, back in money_at_stripe(self.bill))
            assert len(books.payable_sessions(str(self.bill.uuid))) <= 1
            assert mails_queued(self.bill) == mails_that_follow(self.bill)
            assert to_be_told(self.bill) <= self.told

        def healed(self, until):
            for _round in range(40):
                self.clock.shift(timedelta(minutes=3 if _round % 4 else 61))
                lifecycle.expire_overdue()
                sweep_stripe(time.monotonic() + 30)
                webhooks.drain(time.monotonic() + 30)
                if until():
                    return

        def ends_as_agreed(self):
            """Nothing is charged beyond what was agreed, once we have been at work."""
            dropped = self.bill.subscriptions.filter(changes__kind="keep")
            if not self.bill.ends_after or dropped:
                return

            def endless():
                return [
                    each["id"]
                    for each in self.subscribed()
                    if each["status"] not in Subscription.ENDED and not each["cancel_at"]
                ]

            # An end is set once the first payment has come, and a bank may still be at it.
            self.bank_decides(succeeded=self.last_word)
            self.healed(lambda: not endless())
            if endless():
                # What Stripe refused, it is asked for again the next day.
                self.clock.shift(timedelta(days=1))
                self.healed(lambda: not endless())
            assert not endless()
            # Charged already, but for the bank's word.
            self.debits_are_decided(succeeded=True)
            before = len(money_at_stripe(self.bill))
            self.clock.shift(timedelta(days=120))
            due.apply()
            assert len(money_at_stripe(self.bill)) <= max(self.bill.ends_after, before)

        def count(self):
            money = money_at_stripe(self.bill)
            SEEN.update(
                name
                for name, seen in {
                    "runs": True,
                    "… over HTTP": self.over_http,
                    "runs with money": money,
                    "… with renewals": len(money) > 1,
                    "… with refunds": any(back for _source, _paid, back in money),
                    "… with disputes": books.disputes(),
                    "… paid late": self.bill.paid_late,
                    "… paid by hand as well": self.bill.payments.filter(kind="by_hand"),
                    "… with a failed renewal": self.bill.log_entries.filter(
                        action="renewal_failed"
                    ),
                }.items()
                if seen
            )

        def unsettled(self):
            """What a later sweep would still change."""
            states = {each["id"]: each["status"] for each in books.disputes()}
            ours = self.bill.payments.exclude(disputes=None)
            found = dict(ours.values_list("disputes__stripe_id", "disputes__state"))
            waiting = [
                BillingRequest.objects.exclude(hold=""),
                CheckoutAttempt.objects.filter(state__in=CheckoutAttempt.LIVE),
                Refund.objects.filter(state__in=Refund.UNSETTLED),
                Subscription.objects.exclude(status__in=Subscription.ENDED),
                SubscriptionChange.objects.filter(state="asking"),
                StripeEvent.objects.filter(state="received"),
            ]
            left = [str(rows.first()) for rows in waiting if rows.exists()]
            return left + ([states, found] if found != states else [])

    return Life


@pytest.mark.timeout(6 * 3600)
def test_the_books_agree_with_stripes_machine(connection, make_bill, monkeypatch):
    # The SDK sleeps before it repeats; here the next step is the repetition.
    monkeypatch.setattr(client, "RETRIES_WAITING", 0)
    monkeypatch.setattr(transaction, "Atomic", DyingAtomic)
    snapshot = books.path().read_bytes()
    PAIRS.clear()
    SEEN.clear()
    print(f"WCB_MACHINE_SEED={SEED}")
    # Hypothesis varies one story for long: where two steps have not met, it tells some more.
    for batch in range(1 + MORE_BATCHES):
        run_state_machine_as_test(
            seed(SEED + batch)(machine(connection, make_bill, snapshot, monkeypatch)),
            settings=settings(
                max_examples=40 if batch else EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                # To make a long story short takes longer than to read it.
                phases=[Phase.explicit, Phase.generate],
                database=None,
            ),
        )
        if not never_met():
            break
    print(*(f"{times:6} {name}" for name, times in SEEN.items()), sep="\n")
    for (before, after), times in sorted(PAIRS.items(), key=lambda pair: -pair[1]):
        print(f"{times:6} {before} → {after}")
    # A tenth of them, as chance has it.
    assert SEEN["… over HTTP"] >= SEEN["runs"] // 40
    assert not never_met()
