"""Whom a message comes from and who is answered."""

from email import message_from_bytes, policy

import pytest
from django.core.mail import EmailMessage

from wagtail_client_billing.mail.senders import mailbox, sender_of
from wagtail_client_billing.models import MailServer, SiteBillingSettings

DEFAULT = "agency@example.com"


@pytest.fixture
def server(db):
    return MailServer.objects.create(
        enabled=True,
        host="smtp.atelier.example",
        from_name="Atelier",
        from_email="billing@atelier.example",
        reply_to="answers@atelier.example",
    )


@pytest.fixture
def of_site(site):
    def set_to(**values):
        SiteBillingSettings.objects.update_or_create(site=site, defaults=values)

    return set_to


def test_default_mail_sends_as_the_project_only(bill, of_site):
    of_site(from_name="Bakery", from_email="bakery@atelier.example")
    sender = sender_of(bill, None)
    assert sender.from_email == DEFAULT
    assert sender.reply_to == ["Atelier Web <hello@atelier.example>"]


def test_custom_smtp_has_its_own_sender(bill, server):
    sender = sender_of(bill, server)
    assert sender.from_email == "Atelier <billing@atelier.example>"
    assert sender.reply_to == ["Atelier Web <answers@atelier.example>"]


def test_a_site_comes_first(bill, server, of_site):
    of_site(
        from_name="Bakery", from_email="bakery@atelier.example", reply_to="baker@customer.example"
    )
    sender = sender_of(bill, server)
    assert sender.from_email == "Bakery <bakery@atelier.example>"
    assert sender.reply_to == ["Atelier Web <baker@customer.example>"]


def test_a_site_may_have_a_name_alone(bill, server, of_site):
    of_site(from_name="Bakery")
    assert sender_of(bill, server).from_email == "Bakery <billing@atelier.example>"


def test_without_a_name_it_is_the_agencys(bill, server):
    server.from_name = ""
    assert sender_of(bill, server).from_email == "Atelier Web <billing@atelier.example>"


def test_where_default_mail_stands_in_answers_go_where_they_would(bill, server):
    sender = sender_of(bill, None)
    assert sender.from_email == DEFAULT
    assert sender.reply_to == ["Atelier Web <answers@atelier.example>"]


def test_a_server_that_is_switched_off_says_nothing(bill, server):
    MailServer.objects.update(enabled=False)
    assert sender_of(bill, None).reply_to == ["Atelier Web <hello@atelier.example>"]


def test_what_concerns_no_request(agency, server):
    assert sender_of(None, server).from_email == "Atelier <billing@atelier.example>"


def test_nothing_is_set(db):
    sender = sender_of(None, None)
    assert (sender.from_email, sender.reply_to) == (DEFAULT, [])


NAMES = [
    "Atelier, Web & Co.",
    "Crumb & Sons 🧁",
    "Müller; Söhne (Köln)",
    'The "Best" Agency',
    "back\\slash",
    "ceo@bank.example",
    "a\r\nBcc: thief@evil.example",
    "a\nX-Evil: 1",
    "a\x00b\x85c\u2028d\u202ee",
    "<thief@evil.example>",
    "x" * 500,
    "Łódź 株式会社",
    "",
    "   ",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_makes_one_mailbox_on_one_line(name):
    """On the wire: what a mail program reads from the bytes that are sent."""
    box = mailbox(name, "billing@atelier.example")
    message = EmailMessage("s", "b", from_email=box, to=["a@b.example"], reply_to=[box])
    raw = message.message().as_bytes()
    read = message_from_bytes(raw, policy=policy.default)
    for header in ("From", "Reply-To"):
        (address,) = read[header].addresses
        assert address.addr_spec == "billing@atelier.example"
        assert "@" not in address.display_name
    assert read["Bcc"] is None
    assert read["X-Evil"] is None
    if name in NAMES[:3]:
        assert read["From"].addresses[0].display_name == name
