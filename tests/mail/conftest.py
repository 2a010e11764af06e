"""A mail server on this machine that does as its mode says, and bills to write of."""

import socket
import threading
from contextlib import ExitStack
from email import message_from_bytes, policy

import django
import pytest
from aiosmtpd.controller import Controller
from django.core.cache import cache
from django.test import override_settings
from django.utils import timezone
from wagtail.models import Site

from wagtail_client_billing import lifecycle, sealing
from wagtail_client_billing.mail.compose import compose
from wagtail_client_billing.models import (
    AgencySettings,
    BillingRequest,
    EmailDelivery,
    MailServer,
    Payment,
    StripeConnection,
)

from .smtp_server import SMTPServer, authority


def pay(bill, source="pi_1", **given):
    """A payment of the bill, which is paid by it."""
    bill.status, bill.paid_at = "paid", timezone.now()
    bill.save()
    return Payment.objects.create(
        **{
            "request": bill,
            "account_id": bill.account_id,
            "livemode": bill.livemode,
            "source": source,
            "amount_minor": bill.amount_minor,
            "currency": bill.currency,
            "method": "visa",
            "last4": "4242",
            "received_at": timezone.now(),
            **given,
        }
    )


def bodies(message):
    """Text and HTML of a message."""
    (html,) = message.alternatives
    return message.body, html[0]


class Handler:
    def __init__(self):
        self.messages = []
        self.mode = "good"

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.mode == "sender":
            return "550 5.7.1 sender not allowed"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.mode == "drop":
            server.transport.close()
            return "250 OK"
        if self.mode == "bounce":
            return "550 5.1.1 no such user"
        if self.mode == "greylist":
            return "450 4.7.1 try later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.mode == "spam":
            return "554 5.7.1 looks like spam"
        if self.mode == "full":
            return "452 4.3.1 no room"
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        if self.mode == "break":
            server.transport.close()
        return "250 queued"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mailer(host, port, **options):
    """Settings that make this server the project's default mailer."""
    if django.VERSION >= (6, 1):
        backend = "django.core.mail.backends.smtp.EmailBackend"
        options = {"host": host, "port": port, "timeout": 5, **options}
        return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}
    names = {"username": "EMAIL_HOST_USER", "password": "EMAIL_HOST_PASSWORD"}
    given = {names.get(name, f"EMAIL_{name.upper()}"): value for name, value in options.items()}
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": port,
        "EMAIL_TIMEOUT": 5,
        **given,
    }


@pytest.fixture
def use_mailer():
    """``use_mailer(host, port)`` for the rest of the test."""
    entered = []

    def use(host, port, **options):
        changed = override_settings(**mailer(host, port, **options))
        changed.enable()
        entered.append(changed)

    yield use
    for changed in reversed(entered):
        changed.disable()


@pytest.fixture
def server(use_mailer):
    handler = Handler()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    use_mailer("127.0.0.1", controller.port)
    handler.port = controller.port
    yield handler
    controller.stop()


@pytest.fixture
def start_smtp(monkeypatch, settings):
    """``start_smtp(**how)``: an ``SMTPServer`` whose CA is trusted and whose port is allowed."""
    with ExitStack() as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority().path))

        def start(**how):
            server = running.enter_context(SMTPServer(**how))
            ours = settings.WAGTAIL_CLIENT_BILLING
            settings.WAGTAIL_CLIENT_BILLING = {
                **ours,
                "SMTP_ALLOW_PRIVATE_NETWORKS": True,
                "SMTP_PORTS": [*ours.get("SMTP_PORTS", [25, 465, 587, 2525]), server.port],
            }
            return server

        yield start


@pytest.fixture
def save_server(db):
    """``save_server(server, **given)``: the agency's custom SMTP leads to an ``SMTPServer``."""

    def save(server, **given):
        user, password = server.login or ("", "")
        values = {
            "enabled": True,
            "host": server.host,
            "port": server.port,
            "encryption": server.encryption,
            "username": user,
            "sealed_password": sealing.seal(password),
            "from_name": "Atelier Web",
            "from_email": "billing@atelier.example",
            **given,
        }
        return MailServer.objects.update_or_create(guard=True, defaults=values)[0]

    return save


@pytest.fixture
def deaf_server():
    """Accepts connections and never says a word; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept = []

    def accept():
        while True:
            try:
                kept.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)
    for each in kept:
        each.close()


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def site(db):
    site = Site.objects.get(is_default_site=True)
    site.hostname, site.site_name, site.port = "bakery.example", "Bakery Website", 443
    site.save()
    return site


@pytest.fixture
def agency(db):
    return AgencySettings.objects.create(
        agency_name="Atelier Web",
        contact_email="hello@atelier.example",
        notification_email="billing@atelier.example",
    )


@pytest.fixture
def connection(db):
    return StripeConnection.objects.create(
        livemode=True,
        flow="restricted_key",
        account_id="acct_bakery",
        charges_enabled=True,
        sealed_key=sealing.seal("rk_live_mails_0123456789"),
        privacy_policy_url="https://atelier.example/privacy",
        terms_url="https://atelier.example/terms",
    )


@pytest.fixture
def make_bill(site, agency, connection):
    def make(**given):
        facts = {
            name: given.pop(name)
            for name in list(given)
            if name in ("livemode", "status", "created_at", "expires_at", "paid_at")
        }
        bill = lifecycle.create_request(
            **{
                "site": site,
                "connection": connection,
                "email": "client@customer.example",
                "currency": "EUR",
                "amount_minor": 123456,
                "description": "Homepage, first half",
                "success_url": "https://bakery.example/thanks",
                "cancel_url": "https://bakery.example/cancelled",
                "language": "en",
                **given,
            }
        )
        BillingRequest.objects.filter(pk=bill.pk).update(**facts)
        bill.refresh_from_db()
        return bill

    return make


@pytest.fixture
def bill(make_bill):
    return make_bill()


@pytest.fixture
def mail(bill):
    """``mail(kind)``: the message of that kind about a bill."""

    def write(kind, about=None, **given):
        about = about or bill
        delivery = EmailDelivery.objects.create(
            **{
                "request": about,
                "kind": kind,
                "to": about.email,
                "language": about.language,
                "message_id": f"<{kind}-{about.pk}@example.com>",
                **given,
            }
        )
        return compose(delivery)

    return write
