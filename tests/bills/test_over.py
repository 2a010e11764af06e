"""Recurring bills whose last day is over, and links to Stripe's portal that would lead nowhere."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.errors import LastDayOver
from wagtail_client_billing.gateway import accounts
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.models import BillingRequest

pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def over(make_bill):
    bill = make_bill(billing_type="monthly")
    BillingRequest.objects.update(ends_on=timezone.localdate() - timedelta(days=2))
    bill.refresh_from_db()
    return bill


def test_nothing_is_paid_after_the_last_day(over, client):
    with pytest.raises(LastDayOver):
        open_checkout(over.pk)
    assert not over.attempts.exists()
    page = client.get(reverse("client_billing:pay", args=[over.token])).content.decode()
    assert "This link has expired" in page and "<form" not in page


def test_nothing_is_renewed_after_the_last_day(over, boss):
    BillingRequest.objects.update(status="expired")
    with pytest.raises(LastDayOver):
        lifecycle.renew(over.pk, user=boss)
    over.refresh_from_db()
    assert over.status == "expired"


def test_on_the_last_day_it_can_be_paid(over):
    BillingRequest.objects.update(ends_on=timezone.localdate() + timedelta(days=1))
    assert open_checkout(over.pk).url


def test_other_legal_pages_are_another_portal(connection):
    connection.portal_configuration_id = "bpc_old"
    connection.save()
    same = {"privacy_policy_url": connection.privacy_policy_url}
    accounts.store(connection.account_id, connection.livemode, same)
    connection.refresh_from_db()
    assert connection.portal_configuration_id == "bpc_old"
    accounts.store(connection.account_id, connection.livemode, {"terms_url": "https://b.test/t"})
    connection.refresh_from_db()
    assert connection.portal_configuration_id == ""
