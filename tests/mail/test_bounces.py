"""Mailers over HTTP, as django-anymail's are: their answers, and what they tell later."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from anymail.backends.test import EmailBackend
from anymail.exceptions import (
    AnymailConfigurationError,
    AnymailRecipientsRefused,
    AnymailRequestsAPIError,
    AnymailUnsupportedFeature,
)
from anymail.message import AnymailRecipientStatus
from anymail.signals import AnymailTrackingEvent, tracking

from wagtail_client_billing.mail import delivering, outbox, providers
from wagtail_client_billing.models import BillingRequest, EmailDelivery

State = EmailDelivery.State
Problem = EmailDelivery.Problem


def drain():
    return outbox.drain(time.monotonic() + 30)


class Mailer(EmailBackend):
    """anymail's own for tests, which keeps what it is given and calls each by a number."""

    sent = []
    error = None
    answer = "queued"

    def post_to_esp(self, payload, message):
        if self.error is not None:
            raise self.error
        self.sent.append(payload.get_params())
        (recipient,) = payload.get_params()["to"]
        status = AnymailRecipientStatus(message_id=f"esp-{len(self.sent)}", status=self.answer)
        message.anymail_test_response = {"recipient_status": {recipient.addr_spec: status}}
        return super().post_to_esp(payload, message)


@pytest.fixture
def provider(monkeypatch):
    class Own(Mailer):
        sent = []

    monkeypatch.setattr(delivering, "default_mailer", Own)
    return Own


@pytest.fixture
def watched():
    tracking.connect(providers.note_bounce, dispatch_uid="test")
    yield
    tracking.disconnect(dispatch_uid="test")


def tell(**given):
    event = AnymailTrackingEvent(
        **{
            "event_type": "bounced",
            "message_id": "esp-1",
            "recipient": "client@customer.example",
            "mta_response": "550 5.1.1 no such user",
            **given,
        }
    )
    tracking.send(sender=None, event=event, esp_name="Test")


def test_what_a_provider_calls_a_message_is_kept(bill, provider):
    drain()
    delivery = bill.deliveries.get()
    assert (delivery.state, delivery.provider_id) == (State.SENT, "esp-1")
    assert delivery.handed_over_at


def test_copies_go_to_their_one_recipient_only(make_bill, provider):
    bill = make_bill(cc=["boss@customer.example"])
    drain()
    assert [str(each["to"][0]) for each in provider.sent] == [
        "client@customer.example",
        "boss@customer.example",
    ]
    assert set(bill.deliveries.values_list("state", flat=True)) == {State.SENT}


@pytest.mark.parametrize("kind", ["bounced", "rejected", "complained", "failed"])
def test_what_comes_back_is_no_longer_called_sent(kind, bill, provider, watched):
    drain()
    tell(event_type=kind)
    delivery = bill.deliveries.get()
    assert (delivery.state, delivery.problem) == (State.BOUNCED, Problem.BOUNCED)
    assert delivery.error == f"{kind}: 550 5.1.1 no such user"
    facts = BillingRequest.objects.with_facts().get(pk=bill.pk)
    assert facts.link_delivery_state == State.BOUNCED
    entry = bill.log_entries.get(action="mail_bounced")
    assert entry.evidence["to"] == "client@customer.example"
    # Providers repeat themselves.
    tell(event_type=kind)
    assert bill.log_entries.filter(action="mail_bounced").count() == 1


@pytest.mark.parametrize(
    "other",
    [
        {"event_type": "delivered"},
        {"event_type": "opened"},
        {"event_type": "deferred"},
        {"message_id": "esp-99"},
        {"message_id": None},
        {"message_id": ""},
        {"recipient": "somebody@else.example"},
        {"recipient": None},
    ],
)
def test_other_news_changes_nothing(other, bill, provider, watched):
    drain()
    tell(**other)
    assert bill.deliveries.get().state == State.SENT


def test_news_of_other_peoples_mail_find_nothing_by_an_empty_name(bill, server, watched):
    drain()
    tell(message_id="")
    assert bill.deliveries.get().state == State.SENT


def api_error(status):
    response = SimpleNamespace(status_code=status, text="no", reason="no", url="https://esp.test")
    return AnymailRequestsAPIError("The provider says no", response=response)


@pytest.mark.parametrize(
    ("error", "problem", "state"),
    [
        (lambda: AnymailRecipientsRefused("refused"), Problem.REFUSED, State.FAILED),
        (lambda: api_error(400), Problem.REFUSED, State.FAILED),
        (lambda: api_error(401), Problem.LOGIN, State.QUEUED),
        (lambda: api_error(429), Problem.LATER, State.QUEUED),
        (lambda: api_error(500), Problem.UNCERTAIN, State.FAILED),
        (lambda: AnymailUnsupportedFeature("no such thing"), Problem.OTHER, State.QUEUED),
        (lambda: AnymailConfigurationError("no key"), Problem.OTHER, State.QUEUED),
        (lambda: TimeoutError("no answer"), Problem.UNCERTAIN, State.FAILED),
        (lambda: ConnectionRefusedError("down"), Problem.UNREACHABLE, State.QUEUED),
    ],
)
def test_what_a_provider_answers(error, problem, state, bill, provider):
    provider.error = error()
    drain()
    delivery = bill.deliveries.get()
    assert (delivery.problem, delivery.state) == (problem, state)
    bill.refresh_from_db()
    assert bill.sent_at is None


@pytest.mark.parametrize("answer", ["invalid", "rejected", "failed"])
def test_a_refusal_that_the_project_keeps_quiet_is_no_acceptance(answer, bill, provider, settings):
    settings.ANYMAIL = {"IGNORE_RECIPIENT_STATUS": True}
    provider.answer = answer
    drain()
    assert bill.deliveries.get().problem == Problem.REFUSED


def test_without_anymail_nothing_of_it_is_imported():
    code = (
        "import sys; sys.modules['anymail'] = None; import django; django.setup();"
        "assert not [name for name in sys.modules if name.startswith('anymail.')]"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_with_anymail_its_news_are_listened_to():
    code = (
        "from tests import settings; settings.INSTALLED_APPS.append('anymail'); import django;"
        "django.setup(); from anymail.signals import tracking; assert tracking.has_listeners()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
