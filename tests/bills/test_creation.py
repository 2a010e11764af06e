"""A request comes into being with its mail, and calls nobody."""

from datetime import date, timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError
from django.test import override_settings
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.errors import NotAllowed, NotConnected
from wagtail_client_billing.models import BillingRequest, EmailDelivery, SiteBillingSettings
from wagtail_client_billing.sandbox import books


def test_request_log_entry_and_mail_are_one_transaction(make_bill, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr("wagtail_client_billing.lifecycle.creation.tell_client", broken)
    with pytest.raises(RuntimeError):
        make_bill()
    assert BillingRequest.objects.count() == 0


def test_sending_calls_nobody(make_bill):
    before = len(books.api_calls())
    bill = make_bill()
    assert len(books.api_calls()) == before
    delivery = bill.deliveries.get()
    assert (delivery.kind, delivery.state, delivery.to) == (
        EmailDelivery.Kind.PAYMENT_LINK,
        EmailDelivery.State.QUEUED,
        bill.email,
    )


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("Atelier <bills@atelier.test>", "atelier.test"),
        ("bills@atelier.test", "atelier.test"),
        ("webmaster", "localhost"),
        ("", "localhost"),
    ],
)
def test_messages_are_named_after_the_domain_that_sends_them(make_bill, sender, domain):
    with override_settings(DEFAULT_FROM_EMAIL=sender):
        delivery = make_bill().deliveries.get()
    assert delivery.message_id.endswith(f"@{domain}>")


def test_numbers_and_tokens_are_one_of_a_kind(make_bill):
    bills = [make_bill() for _ in range(20)]
    assert len({bill.number for bill in bills}) == 20
    assert len({bill.token for bill in bills}) == 20
    assert all(len(bill.token) == 43 for bill in bills), "256 bits in base64"
    year = timezone.now().year
    assert all(bill.number.startswith(f"TEST-{year}-") for bill in bills)


def test_rule_12_account_and_mode_are_those_of_the_connection(make_bill, connection):
    bill = make_bill()
    assert (bill.account_id, bill.livemode) == (connection.account_id, False)


@pytest.mark.parametrize("kind", ["daily", "monthly ", ""])
def test_what_cannot_be_charged_is_not_offered(make_bill, kind):
    with pytest.raises(NotAllowed):
        make_bill(billing_type=kind)


def test_an_end_is_kept_of_recurring_bills_alone(make_bill):
    assert make_bill(billing_type="monthly", ends_after=12).ends_after == 12
    assert make_bill(billing_type="weekly", ends_on=date(2030, 1, 31)).ends_on == date(2030, 1, 31)
    assert make_bill(ends_after=12, ends_on=date(2030, 1, 31)).ends_after is None


@pytest.mark.parametrize("end", [{"ends_after": 1}, {"ends_after": 2, "ends_on": date(2030, 1, 1)}])
def test_a_bill_has_one_end_and_more_than_one_payment(make_bill, end):
    with pytest.raises(IntegrityError):
        make_bill(billing_type="monthly", **end)


@pytest.mark.parametrize("field", ["broken_at", "unlinked_at"])
def test_nothing_is_sent_through_a_connection_that_is_broken_or_gone(make_bill, connection, field):
    setattr(connection, field, timezone.now())
    with pytest.raises(NotConnected):
        make_bill()


@pytest.mark.parametrize("lifetime", [3600, timedelta(hours=1)])
def test_the_lifetime_is_a_setting(make_bill, settings, lifetime):
    changed = {**settings.WAGTAIL_CLIENT_BILLING, "LINK_LIFETIME": lifetime}
    with override_settings(WAGTAIL_CLIENT_BILLING=changed):
        bill = make_bill()
    assert bill.expires_at - bill.created_at == timedelta(hours=1)


def test_clients_are_written_to_in_the_sites_language(make_bill, site):
    assert make_bill().language == "en"
    SiteBillingSettings.objects.create(site=site, language="fr")
    assert make_bill().language == "fr"
    assert make_bill(language="en").language == "en"


def test_how_long_a_link_lasts_is_said_for_the_bill_else_for_the_site(make_bill, site):
    SiteBillingSettings.objects.create(site=site, link_lifetime=timedelta(days=3))
    usual, short = make_bill(), make_bill(link_lifetime=timedelta(hours=2))
    assert usual.link_lifetime == usual.expires_at - usual.created_at == timedelta(days=3)
    assert short.link_lifetime == short.expires_at - short.created_at == timedelta(hours=2)


def test_the_deadline_moves_by_the_bills_own_lifetime(make_bill):
    bill = make_bill(link_lifetime=timedelta(days=5))
    BillingRequest.objects.filter(pk=bill.pk).update(
        created_at=timezone.now() - timedelta(minutes=16)
    )
    left = lifecycle.move_once_for_first_delivery(bill.pk) - timezone.now()
    assert timedelta(days=4, hours=23) < left <= timedelta(days=5)


@pytest.mark.parametrize("other", [{"language": "fr"}, {"link_lifetime": timedelta(days=2)}])
def test_another_language_or_lifetime_is_another_request(make_bill, other):
    once = uuid4()
    assert make_bill(once=once) != make_bill(once=once, **other)


def test_rule_15_a_deleted_site_or_user_loses_no_bill(make_bill, site, django_user_model):
    user = django_user_model.objects.create_user("gone", password="x")
    site.site_name = "Rise & Shine"
    site.save()
    bill = make_bill(user=user)
    user.delete()
    site.delete()
    bill.refresh_from_db()
    assert (bill.site, bill.site_name, bill.created_by) == (None, "Rise & Shine", None)
    assert bill.log_entries.get().user_name == "gone"


def test_rule_15_bills_of_a_deleted_site_run_out_as_others_do(make_bill, site, overdue):
    bill = overdue(make_bill())
    site.delete()
    assert lifecycle.expire_overdue() == 1
    bill.refresh_from_db()
    assert bill.status == "expired"


@pytest.mark.parametrize(
    "values", [{"amount_minor": 0}, {"amount_minor": -1}, {"currency": "eur"}, {"currency": "E1R"}]
)
def test_rule_1_the_database_refuses_what_is_no_amount(make_bill, values):
    with pytest.raises(Exception, match="(?i)constraint"):
        make_bill(**values)


def test_the_deadline_moves_once_when_the_first_mail_leaves_late(make_bill):
    bill = make_bill()
    before = bill.expires_at
    assert lifecycle.move_once_for_first_delivery(bill.pk) == before
    BillingRequest.objects.filter(pk=bill.pk).update(
        created_at=timezone.now() - timedelta(minutes=16)
    )
    moved = lifecycle.move_once_for_first_delivery(bill.pk)
    assert timedelta(hours=23, minutes=59) < moved - timezone.now() <= timedelta(hours=24)
    assert bill.log_entries.filter(action="deadline_moved").count() == 1
    BillingRequest.objects.filter(pk=bill.pk).update(sent_at=timezone.now())
    assert lifecycle.move_once_for_first_delivery(bill.pk) == moved
    assert bill.log_entries.filter(action="deadline_moved").count() == 1


def test_the_same_form_sent_twice_is_one_request(make_bill):
    once = uuid4()
    first, second = make_bill(once=once), make_bill(once=once)
    assert first == second
    assert BillingRequest.objects.count() == 1
    assert EmailDelivery.objects.count() == 1


def test_a_form_that_was_changed_and_sent_again_is_another_request(make_bill):
    once = uuid4()
    first, second = make_bill(once=once), make_bill(once=once, email="other@bakery.test")
    assert first != second
    assert second.deliveries.get().to == "other@bakery.test"


def test_nobody_gets_at_somebody_elses_request_by_its_form(make_bill, django_user_model):
    once = uuid4()
    theirs = make_bill(once=once, user=django_user_model.objects.create_user("one"))
    mine = make_bill(once=once, user=django_user_model.objects.create_user("two"))
    assert mine != theirs
    assert mine.deliveries.count() == 1
