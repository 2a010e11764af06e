"""The way to card and cancellation is shown only where it leads somewhere."""

import pytest
from django.utils import timezone

from tests.public.conftest import address, pay, subscribe
from tests.public.test_pages import text_of
from wagtail_client_billing.mail.compose import compose
from wagtail_client_billing.models import EmailDelivery, StripeConnection

BUTTON = "Change card or cancel"
ASK = "To change your card or to cancel, write to"


@pytest.mark.parametrize(
    "broken",
    [{"missing_rights": ["rak_customer_portal_write"]}, {"broken_at": timezone.now()}],
)
def test_where_stripes_portal_cannot_be_opened_the_agency_is_named(make_bill, client, broken):
    bill = make_bill(billing_type="monthly")
    pay(bill)
    subscribe(bill)
    assert BUTTON in text_of(client.get(address("pay", bill)))
    mails = [
        EmailDelivery(request=bill, kind=kind, to=bill.email)
        for kind in ("renewal_failed", "receipt")
    ]
    assert all(ASK not in compose(mail).body for mail in mails)
    StripeConnection.objects.update(**broken)
    page = text_of(client.get(address("pay", bill)))
    assert BUTTON not in page and ASK in page
    for mail in mails:
        message = compose(mail)
        assert ASK in message.body and ASK in message.alternatives[0][0]
        assert "hange your card" not in message.body.replace(ASK, "").replace("To change", "")
