"""What the timeline says of each thing that can happen to money that came."""

import pytest

from wagtail_client_billing import lifecycle
from wagtail_client_billing.admin.evidence import facts_of
from wagtail_client_billing.admin.timeline import SENTENCES, timeline_of
from wagtail_client_billing.models import LogEntry

MONEY = {"amount_minor": 3456, "currency": "USD", "payment": "pi_1"}
Action = LogEntry.Action
SAID = [
    (Action.PAYMENT, MONEY, "$34.56 received", "pi_1"),
    # As it was written before amounts were.
    (Action.PAYMENT, {"payment": "pi_1"}, "Payment received", "pi_1"),
    (Action.REFUND_ASKED, {**MONEY, "why": "Goodwill"}, "Refund of $34.56 started", "Goodwill"),
    (Action.REFUNDED, {**MONEY, "refund": "re_1"}, "$34.56 refunded", "re_1"),
    (Action.REFUNDED, {**MONEY, "on_its_way": True}, "Refund of $34.56 on its way", "yes"),
    (Action.REFUND_FAILED, {**MONEY, "error": "No"}, "Refund of $34.56 failed", "No"),
    (
        Action.DISPUTED,
        {**MONEY, "dispute": "dp_1", "state": "needs_response"},
        "The client's bank disputes $34.56",
        "Answer it",
    ),
    (Action.DISPUTE_CHANGED, {"state": "under_review"}, "Dispute: Under review", "Under review"),
    (Action.DISPUTE_CLOSED, {"state": "lost"}, "Dispute: Lost", "Lost"),
    (Action.DISPUTE_CHANGED, {"state": "a_new_one"}, "Dispute: a_new_one", "a_new_one"),
    (Action.RENEWAL_FAILED, {"try": 2, "invoice": "in_1"}, "Renewal failed at try 2", "in_1"),
    (
        Action.RENEWAL_FAILED,
        {"try": 1, "needs_client": True},
        "Renewal failed: the client's bank wants a confirmation",
        "yes",
    ),
    (Action.SUBSCRIBED, {"subscription": "sub_1"}, "Subscription started", "sub_1"),
    (
        Action.CANCEL_PLANNED,
        {"ends_at": "2027-03-02T12:00:00+00:00"},
        "Subscription will end on March 2, 2027",
        "March 2, 2027, noon",
    ),
    (Action.CANCEL_DROPPED, {"subscription": "sub_1"}, "Subscription goes on", "sub_1"),
    (Action.CANCELED, {"event": "evt_1"}, "Subscription cancelled", "evt_1"),
    (
        Action.CHANGE_REFUSED,
        {"change": "cancel_now", "error": "No"},
        "Stripe refused “Cancel now”",
        "No",
    ),
    (Action.REVIEWED, {"outcome": "refunded"}, "Review ended: the money was refunded", ""),
    # Entries of before, or of a state that has no words yet.
    (Action.REFUNDED, {}, "Refunded", ""),
    (Action.CANCEL_PLANNED, {"ends_at": "soon"}, "Subscription will end", "soon"),
    (Action.CANCEL_PLANNED, {"ends_at": "2027-13-45"}, "Subscription will end", "2027-13-45"),
    (Action.CHANGE_REFUSED, {"change": "unheard_of"}, "Change of the subscription refused", ""),
    (Action.REVIEWED, {}, "Reviewed", ""),
    (Action.RENEWAL_FAILED, {}, "Renewal failed", ""),
]


@pytest.mark.parametrize(("action", "evidence", "title", "fact"), SAID)
def test_each_is_a_sentence_with_cause_and_evidence(
    action, evidence, title, fact, site_a, connected_test, make_request, alice
):
    request = make_request(site_a, connected_test)
    lifecycle.note(request, action, cause="webhook", evidence=evidence)
    entry = timeline_of(request)[0]
    assert entry.title == title
    assert entry.by == "after a Stripe event"
    values = [value for _label, value in entry.facts]
    assert not fact or fact in values
    lifecycle.note(request, action, cause="editor", user=alice, evidence=evidence)
    assert timeline_of(request)[0].by == "by alice"


def test_every_action_of_money_has_a_sentence_that_was_tried():
    tried = {action for action, *_rest in SAID}
    assert set(SENTENCES) <= tried


def test_amounts_are_in_the_currency_that_the_evidence_names():
    found = dict(facts_of({"amount_minor": 500, "currency": "JPY"}, "EUR"))
    assert found == {"Amount": "¥500"}
    assert dict(facts_of({"amount_minor": 500}, "EUR")) == {"Amount": "€5.00"}
    assert dict(facts_of({"amount_minor": "x", "currency": "JPY"}, "EUR")) == {
        "Amount": "x",
        "Currency": "JPY",
    }


def test_what_differs_is_said_as_money():
    differs = {
        "amount_total": {"expected": 1000, "found": None},
        "currency": {"expected": "eur", "found": "jpy"},
        "livemode": {"expected": True, "found": False},
        "wcb_request": "nonsense",
    }
    assert facts_of({"differs": differs}, "EUR") == [
        ("Amount", "none instead of €10.00"),
        ("Currency", "JPY instead of EUR"),
        ("Mode", "Test instead of Live"),
        ("Billing request", "nonsense"),
    ]


@pytest.mark.parametrize("action", [Action.SENT, Action.REMINDED])
def test_a_mail_server_accepts_and_not_the_worker(action, site_a, connected_test, make_request):
    request = make_request(site_a, connected_test)
    evidence = {"to": "client@customer.example", "kind": "payment_link"}
    lifecycle.note(request, action, cause="worker", evidence=evidence)
    entry = timeline_of(request)[0]
    assert entry.by == "by the mail server"
    assert ("E-mail", "Payment link") in entry.facts


@pytest.mark.parametrize("action", [Action.MAIL_FAILED, Action.MAIL_BOUNCED, Action.MAIL_DROPPED])
def test_what_befell_a_mail_was_nobodys_doing(action, site_a, connected_test, make_request, alice):
    request = make_request(site_a, connected_test)
    lifecycle.note(request, action, cause="worker")
    assert timeline_of(request)[0].by == ""
    lifecycle.note(request, action, cause="editor", user=alice)
    assert timeline_of(request)[0].by == "by alice"
