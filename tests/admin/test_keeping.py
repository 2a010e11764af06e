"""The pages that end a subscription, where an end was agreed."""

import time

import pytest
from django.utils import timezone

from wagtail_client_billing.gateway.sweeping import sweep_stripe


@pytest.fixture
def agreed(world, paid):
    """A subscription of three payments, whose end Stripe has confirmed."""
    bill = paid(billing_type="monthly", ends_after=3)
    sweep_stripe(time.monotonic() + 30)
    return bill.subscriptions.get()


def test_the_keep_page_says_whether_the_agreed_end_is_dropped_or_holds_again(
    agreed, post, admin_url, alice, client_for
):
    path = (agreed.request_id, agreed.pk)
    page = client_for(alice).get(admin_url("keep", *path)).content.decode()
    assert "is dropped" in page and "holds again" not in page
    post(admin_url("cancel_later", *path))
    page = client_for(alice).get(admin_url("keep", *path)).content.decode()
    assert "holds again" in page and "is dropped" not in page
    post(admin_url("keep", *path))
    agreed.refresh_from_db()
    assert agreed.cancel_at and not agreed.cancel_at_period_end
    post(admin_url("keep", *path))
    agreed.refresh_from_db()
    assert agreed.cancel_at is None


def test_staff_see_that_stripe_refused_the_agreed_end(agreed, admin_url, alice, client_for):
    agreed.changes.update(state="asking", error="No such right.", asked_at=timezone.now())
    page = client_for(alice).get(admin_url("inspect", agreed.request_id)).content.decode()
    assert "Stripe refused the agreed end" in page and "No such right." in page
    home = client_for(alice).get("/admin/").content.decode()
    assert "Stripe refused the agreed end of a subscription" in home
