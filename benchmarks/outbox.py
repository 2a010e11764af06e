"""The outbox against Django's own ways of sending the same messages; prints ratios.

All three speak to the same server on this machine, one after the other, in turn.
"""

import logging
import statistics
import sys
import time
import warnings

from .webhook import prepare

ROUNDS = 3
MESSAGES = 50


def requests_to(count):
    """That many billing requests, each with its e-mail queued."""
    from wagtail.models import Site

    from wagtail_client_billing import lifecycle, sealing
    from wagtail_client_billing.models import BillingRequest, EmailDelivery, StripeConnection

    EmailDelivery.objects.all().delete()
    connection, _made = StripeConnection.objects.get_or_create(
        account_id="acct_benchmark",
        livemode=True,
        defaults={
            "flow": "restricted_key",
            "charges_enabled": True,
            "sealed_key": sealing.seal("rk_live_benchmark"),
            "privacy_policy_url": "https://agency.example/privacy",
            "terms_url": "https://agency.example/terms",
        },
    )
    site = Site.objects.get(is_default_site=True)
    for n in range(count):
        lifecycle.create_request(
            site=site,
            connection=connection,
            email=f"client{n}@customer.example",
            currency="EUR",
            amount_minor=123456,
            description="Website, November",
            success_url="https://customer.example/thanks",
            cancel_url="https://customer.example/cancelled",
            language="en",
        )
    return BillingRequest.objects.count()


def composed():
    """The same messages, ready to be sent."""
    from wagtail_client_billing.mail.compose import compose
    from wagtail_client_billing.models import EmailDelivery

    return [compose(each) for each in EmailDelivery.objects.select_related("request__site")]


def by_outbox():
    from wagtail_client_billing.mail import outbox

    return outbox.drain(time.monotonic() + 600)


def mailer():
    """The project's mailer, on every Django."""
    from wagtail_client_billing.mail.sending import default_mailer

    return default_mailer()


def over_one_connection(messages):
    """What ``send_mass_mail`` does with them once they are made."""
    return mailer().send_messages(messages)


def over_one_each(messages):
    return sum(mailer().send_messages([message]) for message in messages)


def main():
    folder = prepare()
    logging.disable(logging.INFO)
    from django.test import override_settings

    from tests.mail.conftest import mailer as settings_for
    from tests.mail.smtp_server import SMTPServer

    took: dict[str, list[float]] = {"outbox": [], "one": [], "each": [], "composing": []}

    def timed(name, call, *args):
        before = time.perf_counter()
        sent = call(*args)
        took[name].append(MESSAGES / (time.perf_counter() - before))
        return sent

    with SMTPServer() as server, override_settings(**settings_for("127.0.0.1", server.port)):
        for number in range(ROUNDS + 1):
            requests_to(MESSAGES)
            messages = timed("composing", composed)
            assert timed("one", over_one_connection, messages) == MESSAGES
            assert timed("each", over_one_each, messages) == MESSAGES
            assert timed("outbox", by_outbox) == MESSAGES
            if number == 0:  # warming up
                for figures in took.values():
                    figures.clear()
        assert len(server.taken) == (ROUNDS + 1) * MESSAGES * 3
    median = {name: statistics.median(figures) for name, figures in took.items()}
    for name, words in (
        ("outbox", "outbox: claimed, composed, sent, written down"),
        ("one", "Django, send_mass_mail over one connection, already composed"),
        ("each", "Django, one connection a message, already composed"),
        ("composing", "composing alone"),
    ):
        print(f"{median[name]:8.1f} messages per second: {words}")
    print(f"outbox / one connection:           {median['outbox'] / median['one']:.2f}")
    print(f"outbox / one connection a message: {median['outbox'] / median['each']:.2f}")
    folder.cleanup()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
