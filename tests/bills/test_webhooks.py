"""Stripe's events: verified on the raw body, stored as hints, looked into by the worker."""

import json
import time
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
import stripe
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail import hooks

from wagtail_client_billing import sealing, tasks
from wagtail_client_billing.errors import NotAllowed, StripeUnavailable
from wagtail_client_billing.gateway import client, connect, webhooks
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.webhooks import drain, prune
from wagtail_client_billing.models import CheckoutAttempt, StripeEvent, WebhookEndpoint
from wagtail_client_billing.sandbox import books, faults

COMPLETED = "checkout.session.completed"
SESSIONS = "/v1/checkout/sessions"
SECRET = "whsec_of_another_endpoint"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(client, "RETRIES_WAITING", 0)
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)


@pytest.fixture
def endpoint(connection):
    return connection.endpoints.get()


@pytest.fixture
def paid(world, bill):
    """The event of a bill that was paid a moment ago."""
    open_checkout(bill.pk)
    world.pay(bill)
    (event,) = world.events(COMPLETED)
    return plain(event)


def plain(event):
    """An event as Stripe sends it: the books add the account, which a direct event has not."""
    return {key: value for key, value in event.items() if key != "account"}


def process():
    return drain(time.monotonic() + 20)


def calls():
    return len(books.api_calls())


def stored():
    return StripeEvent.objects.get()


def post(endpoint, body, *, secret=None, signature=None, moment=None, **headers):
    """Posts any bytes, signed as they are."""
    if signature is None:
        secret = secret or sealing.open(endpoint.sealed_secrets[0])
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        moment = moment or int(timezone.now().timestamp())
        signature = stripe.WebhookSignature.generate_signature_header(text, secret, moment)
    return Client(enforce_csrf_checks=True).post(
        reverse("client_billing:webhook", args=[endpoint.uuid]),
        data=body,
        content_type="application/json",
        headers={"stripe-signature": signature} if signature else {},
    )


# --- Who is believed ------------------------------------------------------------------------


def test_rule_6_a_signed_event_is_stored_and_the_worker_does_the_rest(world, bill, endpoint, paid):
    before = calls()
    assert world.deliver(paid, endpoint).status_code == 200
    event = stored()
    assert (event.state, event.event_id, event.type) == ("received", paid["id"], COMPLETED)
    assert event.request_hint == str(bill.uuid)
    assert event.object_id == bill.attempts.get().session_id
    assert event.account == "" and event.livemode is False
    bill.refresh_from_db()
    assert bill.status == "pending"
    assert calls() == before, "nobody is asked while Stripe waits for an answer"
    endpoint.refresh_from_db()
    assert endpoint.last_event_at
    assert process() == 1
    bill.refresh_from_db()
    assert bill.status == "paid"
    event.refresh_from_db()
    assert (event.state, event.claimed_at, event.attempts) == ("processed", None, 1)
    assert event.processed_at
    entry = bill.log_entries.get(action="payment")
    assert (entry.cause, entry.evidence["event"]) == ("webhook", paid["id"])


REFUSED = {
    "wrong secret": lambda endpoint, body: post(endpoint, body, secret=SECRET),
    "old timestamp": lambda endpoint, body: post(
        endpoint, body, moment=int(timezone.now().timestamp()) - 301
    ),
    "no header": lambda endpoint, body: post(endpoint, body, signature=""),
    "rubbish header": lambda endpoint, body: post(endpoint, body, signature="v1=,t=x"),
    "no timestamp": lambda endpoint, body: post(endpoint, body, signature="v1=0123abcd"),
    "not ASCII": lambda endpoint, body: post(endpoint, body, signature="t=1,v1=é"),
    "not UTF-8": lambda endpoint, body: post(endpoint, b"\xff\xfe{}"),
    "tampered": lambda endpoint, body: post(
        endpoint,
        body.replace(COMPLETED, "checkout.session.expired"),
        signature=signed(endpoint, body),
    ),
    "one byte more": lambda endpoint, body: post(
        endpoint, body + " ", signature=signed(endpoint, body)
    ),
    "signed, not JSON": lambda endpoint, body: post(endpoint, "pay me"),
    "signed, empty": lambda endpoint, body: post(endpoint, ""),
    "signed, a list": lambda endpoint, body: post(endpoint, "[1]"),
    "signed, a number": lambda endpoint, body: post(endpoint, "1"),
    "signed, no event": lambda endpoint, body: post(endpoint, '{"object": "event"}'),
    "signed, no object": lambda endpoint, body: post(
        endpoint, '{"id": "evt_1", "type": "a.b", "livemode": false, "data": null}'
    ),
}


def signed(endpoint, body):
    secret = sealing.open(endpoint.sealed_secrets[0])
    return stripe.WebhookSignature.generate_signature_header(body, secret)


@pytest.mark.parametrize("how", REFUSED)
def test_rule_6_what_stripe_did_not_sign_changes_nothing(world, bill, endpoint, how):
    body = json.dumps(an_event(bill))
    before = calls()
    response = REFUSED[how](endpoint, body)
    assert response.status_code == 400
    assert not StripeEvent.objects.exists()
    tasks.drain_events()
    endpoint.refresh_from_db()
    assert endpoint.last_event_at is None
    assert calls() == before
    # The very same body passes when it is signed.
    assert post(endpoint, body).status_code == 200


def an_event(bill=None, **changed):
    """An event about a session that nobody has to have made."""
    return {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": COMPLETED,
        "created": int(timezone.now().timestamp()),
        "livemode": False,
        "data": {
            "object": {
                "id": "cs_test_of_a_stranger",
                "object": "checkout.session",
                "metadata": {"wcb_request": str(bill.uuid)} if bill else {},
                "customer_email": "somebody@stranger.test",
            }
        },
        **changed,
    }


def test_an_age_of_five_minutes_is_the_limit(world, endpoint):
    now = int(timezone.now().timestamp())
    assert post(endpoint, json.dumps(an_event()), moment=now - 290).status_code == 200


def test_rule_6_the_secret_of_another_endpoint_does_not_count(world, connection, endpoint):
    other = WebhookEndpoint.objects.create(
        connection=connection,
        livemode=False,
        url="http://localhost/other/",
        idempotency_key="other",
        sealed_secrets=[sealing.seal(SECRET)],
        state="active",
    )
    body = json.dumps(an_event())
    assert post(endpoint, body, secret=SECRET).status_code == 400
    assert post(other, body).status_code == 200
    # The same id at another endpoint is another delivery.
    assert post(endpoint, body).status_code == 200
    assert StripeEvent.objects.count() == 2


def test_while_a_secret_is_rotated_old_and_new_count(world, endpoint):
    old = endpoint.sealed_secrets[0]
    endpoint.sealed_secrets = [sealing.seal(SECRET), old]
    endpoint.save()
    for secret in (SECRET, sealing.open(old)):
        assert post(endpoint, json.dumps(an_event()), secret=secret).status_code == 200
    assert post(endpoint, json.dumps(an_event()), secret="whsec_third").status_code == 400


def test_a_secret_that_cannot_be_opened_does_not_shadow_the_next(world, endpoint):
    secret = sealing.open(endpoint.sealed_secrets[0])
    endpoint.sealed_secrets = ["enc1:rubbish", "", *endpoint.sealed_secrets]
    endpoint.save()
    assert post(endpoint, json.dumps(an_event()), secret=secret).status_code == 200
    endpoint.sealed_secrets = ["enc1:rubbish", ""]
    endpoint.save()
    for secret in ("x", SECRET):
        assert post(endpoint, json.dumps(an_event()), secret=secret).status_code == 400


def test_an_endpoint_without_a_secret_believes_nobody(world, endpoint):
    endpoint.sealed_secrets = []
    endpoint.save()
    assert post(endpoint, json.dumps(an_event()), secret=SECRET).status_code == 400


def test_an_unknown_endpoint_is_a_404_and_only_post_is_taken(world, endpoint):
    address = reverse("client_billing:webhook", args=[uuid4()])
    assert Client().post(address, "{}", content_type="application/json").status_code == 400
    signature = {"stripe-signature": "t=1,v1=0"}
    response = Client().post(address, "{}", content_type="application/json", headers=signature)
    assert response.status_code == 404
    own = reverse("client_billing:webhook", args=[endpoint.uuid])
    assert Client().get(own, headers=signature).status_code == 405


def test_a_body_that_is_too_large_is_not_read(world, endpoint):
    response = post(endpoint, " " * (512 * 1024 + 1), signature="t=1,v1=0")
    assert response.status_code == 413
    assert not StripeEvent.objects.exists()


def test_rule_6_the_same_event_again_is_one_event(world, bill, endpoint, paid):
    for _ in range(3):
        assert world.deliver(paid, endpoint).status_code == 200
    assert process() == 1
    assert world.deliver(paid, endpoint).status_code == 200
    assert process() == 0
    assert stored().state == "processed"
    assert bill.payments.count() == 1
    assert bill.deliveries.filter(kind="receipt").count() == 1


def test_an_event_that_another_process_stores_in_between_is_found(world, endpoint, monkeypatch):
    """Both deliveries are past every look at the table when the first one writes."""
    body = json.dumps(an_event())
    real = webhooks.hints_of

    def meanwhile(raw):
        monkeypatch.setattr(webhooks, "hints_of", real)
        assert post(endpoint, body).status_code == 200
        return real(raw)

    monkeypatch.setattr(webhooks, "hints_of", meanwhile)
    assert post(endpoint, body).status_code == 200
    assert StripeEvent.objects.count() == 1


def test_rule_6_the_payload_is_never_stored(world, endpoint, paid):
    paid["data"]["object"]["customer_email"] = "payer@secret.test"
    assert "payer@secret.test" in json.dumps(paid)
    world.deliver(paid, endpoint)
    process()
    row = StripeEvent.objects.values().get()
    assert "secret.test" not in json.dumps(row, default=str)


def test_strange_contents_are_stored_as_text(world, endpoint):
    event = an_event()
    event["data"]["object"] = {
        "id": "a\0b" + "x" * 400,
        "payment_intent": {"id": "pi_expanded", "object": "payment_intent"},
        "subscription": 7,
        "metadata": None,
    }
    assert world.deliver(event, endpoint).status_code == 200
    row = stored()
    assert row.object_id.startswith("abxxx") and len(row.object_id) == 255
    assert (row.payment_intent_id, row.subscription_id) == ("pi_expanded", "7")
    assert process() == 1
    row.refresh_from_db()
    assert row.state == "not_ours"


# --- What an event leads to -----------------------------------------------------------------


def test_rule_6_a_strangers_event_is_not_ours_and_asks_nobody(world, bill, endpoint):
    open_checkout(bill.pk)
    before = calls()
    strangers = [
        an_event(),
        an_event(type="charge.refunded"),
        {**an_event(), "data": {"object": {"id": "ch_1", "payment_intent": "pi_stranger"}}},
        {**an_event(), "data": {"object": {"metadata": {"wcb_request": str(uuid4())}}}},
        {**an_event(), "data": {"object": {"metadata": {"wcb_request": "x' OR 1=1"}}}},
    ]
    for event in strangers:
        assert world.deliver(event, endpoint).status_code == 200
    assert process() == len(strangers)
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"not_ours"}
    assert calls() == before


def test_rule_6_an_event_of_another_account_is_refused(world, bill, endpoint, paid):
    before = calls()
    world.deliver(paid, endpoint, account="acct_of_somebody_else")
    assert process() == 1
    assert (stored().state, stored().last_error) == (
        "refused",
        "The event is of another account.",
    )
    assert calls() == before
    bill.refresh_from_db()
    assert bill.status == "pending"


def test_rule_12_an_event_of_the_other_mode_is_refused(world, bill, endpoint, paid):
    before = calls()
    world.deliver(paid, endpoint, livemode=True)
    assert process() == 1
    assert (stored().state, stored().last_error) == (
        "refused",
        "The event is of the other mode.",
    )
    assert calls() == before


def test_rule_12_a_hint_at_a_bill_of_the_other_mode_is_not_ours(world, bill, endpoint):
    type(bill).objects.filter(pk=bill.pk).update(livemode=True)
    before = calls()
    world.deliver(an_event(bill), endpoint)
    process()
    assert stored().state == "not_ours"
    assert calls() == before


def change_session(session_id, **changed):
    """Changes a session in Stripe's books behind everybody's back."""
    with books.write() as db:
        row = db.execute("SELECT doc FROM objects WHERE id = ?", (session_id,)).fetchone()
        doc = json.dumps({**json.loads(row["doc"]), **changed})
        db.execute("UPDATE objects SET doc = ? WHERE id = ?", (doc, session_id))


@pytest.mark.parametrize(
    ("what", "found", "expected"),
    [
        ("amount_total", 12344, 12345),
        ("amount_total", 12346, 12345),
        ("currency", "jpy", "eur"),
        ("livemode", True, False),
        ("metadata", {"wcb_request": "another"}, None),
    ],
)
def test_rule_6_a_mismatch_needs_review_and_stops_pay(
    world, bill, endpoint, paid, what, found, expected
):
    session_id = bill.attempts.get().session_id
    change_session(session_id, **{what: found})
    for number in range(2):
        world.deliver(paid, endpoint, id=f"evt_{number}")
    assert process() == 2
    bill.refresh_from_db()
    assert (bill.status, bill.review_reason) == ("pending", "mismatch")
    assert bill.review_since
    assert bill.payments.counted().count() == 0
    differs = bill.review_evidence["differs"]
    if what == "metadata":
        assert differs == {"wcb_request": {"expected": str(bill.uuid), "found": "another"}}
    else:
        assert differs == {what: {"expected": expected, "found": found}}
    assert bill.review_evidence["session"] == session_id
    assert bill.review_evidence["event"] == "evt_0"
    assert bill.review_evidence["payment"].startswith("pi_")
    assert bill.log_entries.filter(action="review").count() == 1
    assert bill.deliveries.filter(kind="agency_review").count() == 1
    with pytest.raises(NotAllowed):
        open_checkout(bill.pk)
    page = Client().get(reverse("client_billing:pay", args=[bill.token]))
    assert "We have your payment" in page.content.decode()


def test_rule_6_the_frozen_attempt_decides_what_a_mismatch_is(world, bill, endpoint, paid):
    CheckoutAttempt.objects.update(amount_minor=1, currency="USD")
    world.deliver(paid, endpoint)
    process()
    bill.refresh_from_db()
    assert bill.review_evidence["differs"] == {
        "currency": {"expected": "usd", "found": "eur"},
        "amount_total": {"expected": 1, "found": 12345},
    }


def test_a_session_without_money_needs_review(world, bill, endpoint, paid):
    change_session(bill.attempts.get().session_id, payment_status="no_payment_required")
    world.deliver(paid, endpoint)
    process()
    bill.refresh_from_db()
    assert (bill.status, bill.review_reason) == ("pending", "no_payment")


def test_an_event_may_lie_about_everything_but_its_signature(world, bill, endpoint):
    """It says paid; the session that it names is open. Stripe's own word counts."""
    open_checkout(bill.pk)
    (session,) = world.sessions(bill)
    lie = an_event(bill)
    lie["data"]["object"] = {**session, "status": "complete", "payment_status": "paid"}
    world.deliver(lie, endpoint)
    process()
    bill.refresh_from_db()
    assert bill.status == "pending"
    assert stored().state == "processed"


def test_an_event_that_comes_before_the_sessions_id_is_known(world, bill, endpoint):
    faults.add("lost", path=SESSIONS, method="POST")
    with pytest.raises(StripeUnavailable):
        open_checkout(bill.pk)
    assert bill.attempts.get().session_id is None
    world.pay(bill)
    (event,) = world.events(COMPLETED)
    world.deliver(plain(event), endpoint)
    process()
    bill.refresh_from_db()
    assert bill.status == "paid"
    assert bill.attempts.get().state == "complete"
    assert bill.payments.count() == 1


def test_an_event_of_an_unlinked_account_is_kept_unchecked(world, bill, connection, endpoint, paid):
    connection.__class__.objects.update(unlinked_at=timezone.now())
    before = calls()
    assert world.deliver(paid, endpoint).status_code == 200
    process()
    assert stored().state == "unchecked"
    assert calls() == before


def test_an_endpoint_that_was_deleted_still_tells_the_truth(world, bill, connection, paid):
    old = connection.endpoints.get()
    WebhookEndpoint.objects.update(state="deleted")
    assert connect.ensure_endpoint(connection).pk != old.pk
    assert world.deliver(paid, old).status_code == 200
    process()
    bill.refresh_from_db()
    assert bill.status == "paid"


# --- When it cannot be done now -------------------------------------------------------------


def due_in(event):
    event.refresh_from_db()
    return round((event.next_try_at - timezone.now()).total_seconds() / 60)


def test_with_stripe_down_an_event_stays_due_and_is_tried_ever_more_seldom(
    world, bill, endpoint, paid
):
    world.deliver(paid, endpoint)
    event = stored()
    world.down()
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        for minutes in (1, 2, 5, 10, 30, 60, 60):
            assert process() == 1
            assert due_in(event) == minutes
            assert (event.state, event.claimed_at) == ("received", None)
            assert "Stripe" in event.last_error
            assert process() == 0
            traveller.shift(timedelta(minutes=minutes))
        assert event.attempts == 7
        world.up()
        tasks.sweep()
    event.refresh_from_db()
    bill.refresh_from_db()
    assert (event.state, event.last_error, bill.status) == ("processed", "", "paid")


def test_three_failures_in_a_row_end_the_round(world, make_bill, endpoint):
    for _ in range(5):
        bill = make_bill()
        open_checkout(bill.pk)
        world.deliver(an_event(bill), endpoint)
    before = calls()
    world.down()
    assert process() == 3
    assert calls() - before == 3
    assert sorted(StripeEvent.objects.values_list("attempts", flat=True)) == [0, 0, 1, 1, 1]


def test_an_event_that_cannot_be_processed_keeps_no_other_waiting(
    world, make_bill, endpoint, monkeypatch, caplog
):
    bills = [make_bill() for _ in range(5)]
    for bill in bills:
        world.deliver(an_event(bill), endpoint)
    real = webhooks.reconcile

    def broken(pk, **given):
        if pk != bills[-1].pk:
            raise ZeroDivisionError("a bug")
        return real(pk, **given)

    monkeypatch.setattr(webhooks, "reconcile", broken)
    assert process() == 5
    states = list(StripeEvent.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["received"] * 4 + ["processed"]
    assert "could not be processed" in caplog.text
    assert StripeEvent.objects.order_by("pk").first().last_error == "ZeroDivisionError: a bug"


def test_a_claim_lasts_two_minutes(world, endpoint):
    world.deliver(an_event(), endpoint)
    now = timezone.now()
    StripeEvent.objects.update(claimed_at=now - timedelta(minutes=1))
    assert process() == 0
    StripeEvent.objects.update(claimed_at=now - timedelta(minutes=3))
    assert process() == 1


def test_what_somebody_else_claims_first_is_theirs(world, endpoint, monkeypatch):
    world.deliver(an_event(), endpoint)
    event = StripeEvent.objects.select_related("endpoint__connection").get()
    assert webhooks._claim() == event
    assert webhooks._claim() is None


def test_the_budget_ends_a_drain(world, endpoint):
    world.deliver(an_event(), endpoint)
    assert drain(time.monotonic() - 1) == 0


# --- The hook -------------------------------------------------------------------------------


@pytest.fixture
def told():
    heard = []
    tell = partial(lambda event: heard.append((event.event_id, event.state, event.processed_at)))
    with hooks.register_temporarily("client_billing_stripe_event", tell):
        yield heard


def test_the_hook_is_called_after_processing(world, bill, endpoint, paid, told):
    world.deliver(paid, endpoint)
    assert told == []
    process()
    ((event_id, state, when),) = told
    assert (event_id, state) == (paid["id"], "processed")
    assert when
    process()
    assert len(told) == 1


def test_the_hook_is_not_called_for_what_could_not_be_processed(world, endpoint, paid, told):
    world.deliver(paid, endpoint)
    world.down()
    process()
    assert told == []


def test_the_hook_is_called_at_least_once(world, endpoint, paid, told, monkeypatch):
    world.deliver(paid, endpoint)

    def crash(self, *args, **kwargs):
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(StripeEvent, "save", crash)
        process()
    assert len(told) == 1
    with time_machine.travel(timezone.now() + timedelta(minutes=3)):
        process()
    assert len(told) == 2
    assert stored().state == "processed"


def test_a_hook_that_raises_harms_nobody(world, bill, endpoint, paid, told, caplog):
    def boom(event):
        raise ZeroDivisionError

    with hooks.register_temporarily("client_billing_stripe_event", boom, order=-1):
        world.deliver(paid, endpoint)
        process()
    assert len(told) == 1
    assert "hook failed" in caplog.text
    bill.refresh_from_db()
    assert (bill.status, stored().state) == ("paid", "processed")


# --- Forgetting -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "days"),
    [("not_ours", 7), ("refused", 7), ("processed", 90), ("unchecked", 90), ("received", 30)],
)
def test_events_are_forgotten_when_they_no_longer_serve(world, endpoint, state, days):
    now = timezone.now()
    for number, age in enumerate((days - 1, days + 1)):
        StripeEvent.objects.create(
            endpoint=endpoint,
            event_id=f"evt_{number}",
            type=COMPLETED,
            livemode=False,
            state=state,
            received_at=now - timedelta(days=age),
            next_try_at=now + timedelta(hours=1),
        )
    tasks.sweep()
    assert list(StripeEvent.objects.values_list("event_id", flat=True)) == ["evt_0"]
    assert prune() == 0
