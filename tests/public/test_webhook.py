"""The webhook view: what is let in, and what is answered."""

import json

import pytest
import stripe
from django.db import DatabaseError
from django.db import connection as database
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from wagtail_client_billing.models import StripeEvent
from wagtail_client_billing.public import webhook

EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "checkout.session.completed",
    "livemode": False,
    "data": {"object": {"id": "cs_test_1", "object": "checkout.session"}},
}


def deliver(endpoint, body=None, *, secret="whsec_pages", age=0, header=None, client=None, **more):
    body = json.dumps(EVENT) if body is None else body
    if header is None:
        text = body if isinstance(body, str) else body.decode("latin-1")
        moment = int(timezone.now().timestamp()) - age
        header = stripe.WebhookSignature.generate_signature_header(text, secret, moment)
    headers = {"stripe-signature": header} if header else {}
    client = client or Client(enforce_csrf_checks=True)
    return client.post(
        reverse("client_billing:webhook", args=[endpoint.uuid]),
        data=body,
        content_type="application/json",
        headers=headers,
        **more,
    )


def test_a_good_delivery_is_stored_once(endpoint):
    for _each in range(2):
        assert deliver(endpoint).status_code == 200
    (event,) = StripeEvent.objects.all()
    assert (event.event_id, event.object_id) == ("evt_1", "cs_test_1")


def test_without_a_signature_the_database_is_not_asked(endpoint):
    with CaptureQueriesContext(database) as queries:
        response = deliver(endpoint, header="")
    assert response.status_code == 400
    assert queries.captured_queries == []


@pytest.mark.parametrize(
    "given",
    [
        {"secret": "whsec_other"},
        {"age": 301},
        {"header": "nonsense"},
        {"header": "t=1,v1=ä"},
        {"header": "t=1,v1=" + "0" * 64},
        {"body": "not json"},
        {"body": "[]"},
        {"body": "{}"},
        {"body": b"\xff\xfe"},
        {"body": ""},
    ],
    ids=str,
)
def test_what_stripe_did_not_sign_is_400(endpoint, given):
    assert deliver(endpoint, **given).status_code == 400
    assert not StripeEvent.objects.exists()


def test_a_changed_byte_is_400(endpoint):
    body = json.dumps(EVENT)
    header = stripe.WebhookSignature.generate_signature_header(body, "whsec_pages")
    assert (
        deliver(endpoint, body.replace("cs_test_1", "cs_test_2"), header=header).status_code == 400
    )


def test_no_secret_lets_nothing_in_even_with_debug(endpoint):
    endpoint.sealed_secrets = []
    endpoint.save()
    with override_settings(DEBUG=True):
        assert deliver(endpoint, secret="").status_code == 400


def test_an_unknown_endpoint_is_404(endpoint):
    endpoint.uuid = "8f9ee0ea-4cbe-4d40-a4bd-0ff5fb1d9b6c"
    assert deliver(endpoint).status_code == 404


def test_too_much_is_413_and_the_limit_itself_is_not(endpoint):
    response = deliver(endpoint, "x" * (webhook.MAX_BYTES + 1))
    assert response.status_code == 413
    assert deliver(endpoint, "x" * webhook.MAX_BYTES).status_code == 400


def test_a_length_that_lies_does_not_help(endpoint):
    response = deliver(endpoint, "x" * 5_000_000, CONTENT_LENGTH="nonsense")
    assert response.status_code in (400, 413)


def test_an_error_while_storing_is_500_so_that_stripe_repeats(endpoint, monkeypatch):
    def broken(*args, **kwargs):
        raise DatabaseError("disk full")

    monkeypatch.setattr(StripeEvent.objects, "create", broken)
    client = Client(raise_request_exception=False)
    assert deliver(endpoint, client=client).status_code == 500
    monkeypatch.undo()
    assert deliver(endpoint).status_code == 200


def test_the_secret_is_in_no_log_and_no_answer(endpoint, caplog):
    with caplog.at_level("DEBUG"):
        response = deliver(endpoint, secret="whsec_other")
    assert str(endpoint.uuid) in caplog.text
    assert "whsec_" not in caplog.text + response.content.decode()
