"""Ten thousand requests over three hundred sites, written past lifecycle to be quick."""

import itertools
from datetime import timedelta

from django.utils import timezone
from wagtail.models import Site

from wagtail_client_billing.models import (
    BillingRequest,
    CheckoutAttempt,
    EmailDelivery,
    Payment,
    SiteBillingSettings,
)

STATUSES = ("pending", "paid", "expired", "deleted")


def make_sites(count, root_page):
    """Sites with a billing address of their own, every other one.

    Numbered on from those that there are, so that no test knows what another one made.
    """
    made = Site.objects.count()
    sites = Site.objects.bulk_create(
        Site(hostname=f"site{n}.example.com", site_name=f"Site {n}", root_page=root_page)
        for n in range(made, made + count)
    )
    SiteBillingSettings.objects.bulk_create(
        SiteBillingSettings(site=site, billing_address=f"https://pay{site.pk}.example.com")
        for site in sites[::2]
    )
    return sites


def make_many(count, sites, *, livemode=True):
    """Requests in every status, each with a delivery; some with an attempt, some with a payment."""
    now = timezone.now()
    every = itertools.cycle(sites)
    rows = []
    made = BillingRequest.objects.count()
    for n in range(count):
        number, site, status = made + n + 1, next(every), STATUSES[n % 4]
        rows.append(
            BillingRequest(
                number=f"BR-2026-{number:06}",
                site=site,
                site_name=site.site_name,
                account_id="acct_1",
                livemode=livemode,
                email=f"client{number}@customer.example",
                currency=("EUR", "USD", "JPY")[n % 3],
                amount_minor=1000 + n,
                description=f"Work number {number}",
                status=status,
                created_at=now - timedelta(minutes=n),
                expires_at=now + timedelta(hours=1 if n % 8 else -1),
                paid_at=now if status == "paid" else None,
            )
        )
    rows = BillingRequest.objects.bulk_create(rows, batch_size=500)
    facts = {"account_id": "acct_1", "livemode": livemode}
    EmailDelivery.objects.bulk_create(
        [
            EmailDelivery(
                request=row,
                kind=EmailDelivery.Kind.PAYMENT_LINK,
                to=row.email,
                message_id=f"<{row.pk}@many>",
                state=EmailDelivery.State.values[n // 4 % 4],
            )
            for n, row in enumerate(rows)
        ],
        batch_size=500,
    )
    CheckoutAttempt.objects.bulk_create(
        [
            CheckoutAttempt(
                request=row,
                n=1,
                state="open" if row.status == "pending" else "complete",
                amount_minor=row.amount_minor,
                currency=row.currency,
                idempotency_key=f"key-{row.pk}",
                expires_at=now,
                **facts,
            )
            for row in rows[::3]
        ],
        batch_size=500,
    )
    Payment.objects.bulk_create(
        [
            Payment(
                request=row,
                source=f"pi_{row.pk}",
                amount_minor=row.amount_minor,
                currency=row.currency,
                method="card",
                last4="4242",
                received_at=now,
                **facts,
            )
            for row in rows
            if row.status == "paid"
        ],
        batch_size=500,
    )
    return rows
