"""Whom of the agency a notice goes to, and in which language."""

import time

import pytest
from django.contrib.auth.models import Group
from wagtail.users.models import UserProfile

from tests.fixtures import grant
from wagtail_client_billing import lifecycle
from wagtail_client_billing.mail import outbox
from wagtail_client_billing.models import BillingRequest, EmailDelivery, LogEntry, MessageSettings

Kind = EmailDelivery.Kind
State = EmailDelivery.State
AGENCY = "billing@atelier.example"
SENDER = "alice@atelier.example"


def drain():
    return outbox.drain(time.monotonic() + 60)


@pytest.fixture
def alice(site, django_user_model):
    """May bill for the site, and reads the admin in French."""
    group = Group.objects.create(name="Billers")
    grant(group, site, BillingRequest, "add_billingrequest")
    user = django_user_model.objects.create_user("alice", SENDER, "pw")
    user.groups.add(group)
    profile = UserProfile.get_for_user(user)
    profile.preferred_language = "fr"
    profile.save()
    return user


@pytest.fixture
def her_bill(make_bill, alice):
    """What she has asked for, with its link already sent."""
    bill = make_bill(user=alice)
    bill.deliveries.update(state=State.SENT)
    return BillingRequest.objects.get(pk=bill.pk)


def tell(bill):
    """Queues news of a dispute, which is always true, and tells to whom."""
    return [each.to for each in lifecycle.tell_agency(bill, Kind.AGENCY_DISPUTE)]


def test_agency_and_sender_hear_each_in_their_language(her_bill, server):
    assert tell(her_bill) == [AGENCY, SENDER]
    drain()
    subjects = {str(each["To"]): str(each["Subject"]) for each in server.messages}
    assert subjects[AGENCY].endswith("is disputed")
    assert "contest" in subjects[SENDER]


def test_a_sender_with_the_agencys_address_hears_once(her_bill, alice):
    alice.email = AGENCY.upper()
    alice.save()
    her_bill.refresh_from_db()
    assert tell(her_bill) == [AGENCY]


def leave(alice):
    alice.groups.clear()


def shut(alice):
    alice.is_active = False
    alice.save()


def delete(alice):
    alice.delete()


@pytest.mark.parametrize("lost", [leave, shut, delete])
def test_a_sender_who_lost_the_right_hears_nothing(lost, her_bill, alice):
    lost(alice)
    assert tell(BillingRequest.objects.get(pk=her_bill.pk)) == [AGENCY]


@pytest.mark.parametrize("lost", [leave, shut, delete])
def test_nor_one_who_lost_it_since_it_was_queued(lost, her_bill, alice, server):
    assert tell(her_bill) == [AGENCY, SENDER]
    lost(alice)
    drain()
    assert [str(each["To"]) for each in server.messages] == [AGENCY]
    assert her_bill.deliveries.get(to=SENDER).state == State.DROPPED


def test_news_go_to_the_agencys_former_address_if_they_were_queued_for_it(her_bill, agency, server):
    tell(her_bill)
    agency.notification_email = "new@atelier.example"
    agency.save()
    drain()
    assert {str(each["To"]) for each in server.messages} == {AGENCY, SENDER}


def test_switched_off_nobody_hears(her_bill):
    MessageSettings.objects.create(kind=Kind.AGENCY_DISPUTE, enabled=False)
    assert tell(her_bill) == []


def test_copies_of_the_mail_are_no_further_requests(make_bill, server):
    """``billing_request_sent`` is told of the client's own mail alone."""
    bill = make_bill(cc=["boss@customer.example"], bcc="archive@atelier.example")
    drain()
    sent = bill.log_entries.filter(action=LogEntry.Action.SENT)
    assert sent.count() == 3
    assert [each.evidence["to"] for each in sent.filter(told_at=None)] == [bill.email]
