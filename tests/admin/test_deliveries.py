"""What the page of a request says of its e-mails, and the ways out of what went wrong."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.admin.delivery_rows import delivery_rows
from wagtail_client_billing.models import BillingRequest, EmailDelivery, LogEntry, MailServer

State = EmailDelivery.State
Problem = EmailDelivery.Problem


@pytest.fixture
def bill(site_a, connected_test, make_request):
    return make_request(site_a, connected_test, cc=["boss@b.example"], bcc="archive@b.example")


@pytest.fixture
def client(alice, client_for):
    return client_for(alice, enforce_csrf_checks=True)


def to(bill, role="to", **values):
    """Sets how one of its e-mails went."""
    now = timezone.now()
    bill.deliveries.filter(role=role).update(**{"attempts": 1, "claimed_at": now, **values})
    return bill.deliveries.filter(role=role).last()


def fail(bill, role="to", problem=Problem.REFUSED):
    delivery = to(bill, role, state=State.SENDING)
    lifecycle.delivery_failed(delivery, problem, "550 5.1.1 no such user", via="custom")
    return delivery


def page_of(client, admin_url, bill):
    return client.get(admin_url("inspect", bill.pk)).content.decode()


def press(client, admin_url, bill, **data):
    page = client.get(admin_url("inspect", bill.pk))
    token = str(page.context["csrf_token"])
    response = client.post(admin_url("resend", bill.pk), {"csrfmiddlewaretoken": token, **data})
    assert response.status_code == 302
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


STATES = [
    ({"state": State.QUEUED, "attempts": 0}, ["Queued"], ["next try"]),
    (
        {
            "state": State.QUEUED,
            "problem": Problem.LATER,
            "error": "450 4.7.1 try later",
            "attempts": 2,
        },
        ["Queued", "asks to try again later", "Answer: 450 4.7.1 try later", "2 tries", "next try"],
        ["Correct the address"],
    ),
    ({"state": State.SENDING}, ["Sending"], []),
    ({"state": State.SENT, "via": "custom"}, ["Sent", "by custom SMTP"], ["Correct the address"]),
    (
        {"state": State.SENT, "via": "fallback"},
        ["by default mail, since custom SMTP failed"],
        [],
    ),
    (
        {"state": State.FAILED, "problem": Problem.REFUSED, "error": "550 no such user"},
        ["Failed", "refuses this message or its recipient", "550 no such user"]
        + ["Resend", "Correct the address", "Copy link"],
        [],
    ),
    (
        {"state": State.FAILED, "problem": Problem.UNCERTAIN},
        ["May have arrived", "it may have arrived", "Resend"],
        ["Correct the address"],
    ),
    (
        {"state": State.BOUNCED, "problem": Problem.BOUNCED, "error": "bounced: mailbox full"},
        ["Bounced", "It came back", "bounced: mailbox full", "Correct the address"],
        [],
    ),
    (
        {"state": State.DROPPED, "problem": Problem.OBSOLETE},
        ["Not sent: no longer true"],
        ["the request had changed", "Correct the address"],
    ),
]


@pytest.mark.parametrize(("values", "shown", "hidden"), STATES)
def test_each_state_in_words(values, shown, hidden, bill, client, admin_url):
    to(bill, **values)
    bill.deliveries.exclude(role="to").delete()
    text = page_of(client, admin_url, bill)
    section = text[text.index('id="wcb-deliveries"') :]
    section = section[: section.index("</section>")]
    for word in shown:
        assert word in section, word
    for word in hidden:
        assert word not in section, word


def test_every_recipient_is_named_with_how_they_get_it(bill, client, admin_url):
    text = page_of(client, admin_url, bill)
    for shown in ("boss@b.example (CC)", "archive@b.example (BCC)", "<dt>CC</dt>", "<dt>BCC</dt>"):
        assert shown in text, shown


def test_one_recipient_gets_it_again(bill, client, admin_url):
    to(bill, "to", state=State.SENT, sent_at=timezone.now())
    to(bill, "bcc", state=State.SENT, sent_at=timezone.now())
    failed = fail(bill, "cc")
    before = set(bill.deliveries.values_list("pk", flat=True))
    assert "queued for boss@b.example" in press(client, admin_url, bill, delivery=failed.pk)
    new = bill.deliveries.exclude(pk__in=before)
    assert list(new.values_list("role", "to")) == [("cc", "boss@b.example")]
    # Then the old one has no way out any more: the new one is under way.
    rows = delivery_rows(bill.created_by or client_user(client), bill)
    assert not any(row.can_resend for row in rows)


def client_user(client):
    from django.contrib.auth import get_user_model

    return get_user_model().objects.get(pk=client.session["_auth_user_id"])


@pytest.mark.parametrize("forged", ["x", "-1", "9" * 30, "0", "²"])
def test_a_forged_delivery_is_all_of_them(forged, bill, client, admin_url):
    bill.deliveries.update(state=State.SENT)
    press(client, admin_url, bill, delivery=forged)
    assert bill.deliveries.filter(state=State.QUEUED).count() == 3


def test_a_delivery_of_another_request_is_none_of_its(
    bill, client, admin_url, site_b, connected_test, make_request
):
    other = make_request(site_b, connected_test, email="secret@b.example")
    said = press(client, admin_url, bill, delivery=other.deliveries.get().pk)
    assert "secret@b.example" not in said
    assert other.deliveries.count() == 1


def test_who_is_no_recipient_any_more_gets_nothing(bill, client, admin_url):
    failed = fail(bill, "cc")
    BillingRequest.objects.filter(pk=bill.pk).update(cc="")
    assert "cannot be changed" in press(client, admin_url, bill, delivery=failed.pk)
    assert bill.deliveries.filter(to="boss@b.example").count() == 1


def test_resending_is_limited_to_once_a_minute(bill, client, admin_url):
    bill.deliveries.update(state=State.SENT)
    assert "is queued" in press(client, admin_url, bill)
    count = bill.deliveries.count()
    assert "wait a minute" in press(client, admin_url, bill)
    assert bill.deliveries.count() == count
    bill.log_entries.filter(action="resent").update(at=timezone.now() - timedelta(seconds=61))
    bill.deliveries.update(state=State.SENT)
    assert "is queued" in press(client, admin_url, bill)


def test_resending_what_still_waits_is_one_mail_sooner(bill, client, admin_url):
    later = timezone.now() + timedelta(minutes=30)
    bill.deliveries.update(next_try_at=later, problem=Problem.UNREACHABLE)
    press(client, admin_url, bill)
    assert bill.deliveries.count() == 3
    assert not bill.deliveries.filter(next_try_at__gt=timezone.now()).exists()


def test_what_failed_and_what_bounced_shows_in_the_list_and_on_the_dashboard(
    bill, client, admin_url
):
    fail(bill)
    assert "E-mail failed" in page_of(client, admin_url, bill)
    to(bill, state=State.SENT, sent_at=timezone.now())
    assert lifecycle.delivery_bounced(bill.deliveries.get(role="to"), "bounced: mailbox full")
    text = client.get(admin_url("index") + "?badge=mail_bounced").content.decode()
    assert bill.number in text and "E-mail bounced" in text
    home = client.get("/admin/").content.decode()
    assert "The e-mail with the payment link came back" in home
    assert f'href="{admin_url("inspect", bill.pk)}"' in home


def test_the_timeline_tells_of_what_was_dropped_and_what_came_back(bill, client, admin_url):
    dropped = to(bill, "cc", state=State.SENDING)
    assert lifecycle.delivery_dropped(dropped)
    to(bill, state=State.SENT)
    lifecycle.delivery_bounced(bill.deliveries.get(role="to"), "bounced: mailbox full")
    actions = set(bill.log_entries.values_list("action", flat=True))
    assert {LogEntry.Action.MAIL_DROPPED, LogEntry.Action.MAIL_BOUNCED} <= actions
    text = page_of(client, admin_url, bill)
    for action in (LogEntry.Action.MAIL_DROPPED, LogEntry.Action.MAIL_BOUNCED):
        assert str(action.label) in text
    assert "mailbox full" in text


# --- Custom SMTP fails ----------------------------------------------------------------------


@pytest.fixture
def failing(db):
    return MailServer.objects.create(
        enabled=True,
        host="smtp.agency.example",
        failing_since=timezone.now() - timedelta(minutes=2),
        failing_problem=Problem.LOGIN,
    )


def test_the_dashboard_says_at_once_that_custom_smtp_fails(boss, bill, client_for, failing):
    text = client_for(boss).get("/admin/").content.decode()
    assert "E-mail by custom SMTP fails" in text
    assert "smtp.agency.example" in text and "refuses the user name or password" in text
    assert "#tab-email" in text


def test_whoever_cannot_mend_it_is_not_shown_where(alice, bill, client_for, failing):
    assert "smtp.agency.example" not in client_for(alice).get("/admin/").content.decode()


@pytest.mark.parametrize("values", [{"enabled": False}, {"failing_since": None}])
def test_what_does_not_fail_is_not_shown(values, boss, bill, client_for, failing):
    MailServer.objects.update(**values)
    assert "E-mail by custom SMTP fails" not in client_for(boss).get("/admin/").content.decode()
