"""Makes payments and refunds as they lie in the database, for what only adds them up."""

import itertools

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.utils import timezone

from tests.fixtures import grant
from wagtail_client_billing.models import BillingRequest, Payment, Refund

_numbers = itertools.count(1)


def pay(request, minor=None, *, at=None, **values):
    """The request is paid; returns the payment."""
    at = at or timezone.now()
    BillingRequest.objects.filter(pk=request.pk).update(status="paid", paid_at=at)
    return Payment.objects.create(
        **{
            "request": request,
            "account_id": request.account_id,
            "livemode": request.livemode,
            "source": f"pi_{next(_numbers)}",
            "amount_minor": request.amount_minor if minor is None else minor,
            "currency": request.currency,
            "received_at": at,
            **values,
        }
    )


def refund(payment, minor, **values):
    return Refund.objects.create(
        **{
            "payment": payment,
            "amount_minor": minor,
            "currency": payment.currency,
            "state": "succeeded",
            "idempotency_key": f"refund-{next(_numbers)}",
            **values,
        }
    )


def client_of(site):
    """A client's own login: may open the admin, and see the requests of its site."""
    group = Group.objects.create(name=f"Clients of {site.site_name}")
    group.permissions.add(Permission.objects.get(codename="access_admin"))
    grant(group, site, BillingRequest, "view_billingrequest")
    user = get_user_model().objects.create_user("dora", "dora@client.example", "pw")
    user.groups.add(group)
    return user


def copies(request, count, **values):
    """Many requests like that one, in one statement."""
    names = [
        field.attname
        for field in BillingRequest._meta.concrete_fields
        if field.attname not in ("id", "uuid", "token", "number")
    ]
    same = {name: getattr(request, name) for name in names}
    return BillingRequest.objects.bulk_create(
        BillingRequest(**{**same, **values, "number": f"MANY-{next(_numbers)}"})
        for _ in range(count)
    )
