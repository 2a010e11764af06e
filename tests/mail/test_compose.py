"""What the mails say."""

import re
from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone, translation

from tests.mail.conftest import bodies, pay
from wagtail_client_billing.links import payment_link, receipt_link
from wagtail_client_billing.mail.kinds import NOTICES
from wagtail_client_billing.mail.lines import one_line
from wagtail_client_billing.models import (
    AgencySettings,
    EmailDelivery,
    SiteBillingSettings,
)

Kind = EmailDelivery.Kind
ABOUT_REQUESTS = [kind for kind in Kind if kind not in NOTICES]
TO_AGENCY = [kind for kind in ABOUT_REQUESTS if kind.startswith("agency_")]


def readable(text):
    return text.replace("\xa0", " ").replace("\u202f", " ")


def test_the_payment_link(bill, mail):
    message = mail(Kind.PAYMENT_LINK)
    assert message.subject == "Bakery Website: payment of €1,234.56"
    assert message.to == ["client@customer.example"]
    assert message.reply_to == ["Atelier Web <hello@atelier.example>"]
    assert message.from_email == "agency@example.com"
    for body in bodies(message):
        for words in (
            "Atelier Web asks you for a payment of €1,234.56 for Bakery Website.",
            "Homepage, first half",
            bill.number,
            payment_link(bill),
            "(UTC)",
            "hello@atelier.example",
            "card details never reach this site",
        ):
            assert words in body, words
        assert "TEST" not in body


def test_the_payment_link_in_french(make_bill, mail):
    message = mail(Kind.PAYMENT_LINK, make_bill(language="fr"))
    assert readable(message.subject) == "Bakery Website : paiement de 1 234,56 €"
    for body in bodies(message):
        assert "1 234,56 €" in readable(body)
        assert "Please pay by" not in body
    assert '<html lang="fr"' in bodies(message)[1]


def test_composing_leaves_the_language_as_it_was(make_bill, mail):
    mail(Kind.PAYMENT_LINK, make_bill(language="fr"))
    assert translation.get_language() == "en"


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_kind_in_every_language(make_bill, mail, kind, language):
    bill = make_bill(language=language)
    if kind in (Kind.RECEIPT, Kind.AGENCY_PAID, Kind.AGENCY_LATE):
        pay(bill)
    message = mail(kind, bill)
    text, html = bodies(message)
    if kind not in NOTICES:
        assert bill.number in text
        assert bill.number in html
    assert f'<html lang="{language}"' in html
    assert message.message()["Message-ID"] == f"<{kind}-{bill.pk}@example.com>"
    # Plain text is text: nothing is escaped, no tag is left, no three empty lines in a row.
    assert "&#" not in text
    assert "{" not in text
    assert not re.search(r"\n\s*\n\s*\n", text)


def test_english_and_french_differ_everywhere(make_bill, mail):
    for kind in Kind:
        english = mail(kind, make_bill(language="en"))
        french = mail(kind, make_bill(language="fr"))
        assert english.subject.split(":")[1] != french.subject.split(":")[1], kind
        lines = set(english.body.splitlines()) & set(french.body.splitlines())
        shared = [line for line in lines if " " in line.strip() and "Atelier" not in line]
        assert shared == [], kind


def test_a_language_that_the_project_lacks_becomes_its_own(make_bill, mail):
    assert "payment of" in mail(Kind.PAYMENT_LINK, make_bill(language="xx")).subject


def test_the_receipt_says_how_it_was_paid(bill, mail):
    pay(bill)
    message = mail(Kind.RECEIPT)
    assert message.subject == "Bakery Website: we received your payment of €1,234.56"
    for body in bodies(message):
        assert "by card ending in 4242." in body
        assert payment_link(bill) not in body


def test_the_receipt_leads_to_the_one_that_can_be_printed(bill, mail):
    payment = pay(bill, amount_minor=4000)
    message = mail(Kind.RECEIPT, facts={"payment": payment.pk})
    assert message.subject == "Bakery Website: we received your payment of €40.00"
    for body in bodies(message):
        assert receipt_link(bill, payment) in body
        assert "by card ending in 4242." in body
        assert "€40.00" in body
        assert "1,234.56" not in body
        assert "cancel" not in body


def test_a_failed_payment_offers_the_link_while_it_lasts(bill, mail):
    for body in bodies(mail(Kind.PAYMENT_FAILED)):
        assert payment_link(bill) in body
    bill.expires_at = timezone.now() - timedelta(minutes=1)
    bill.save()
    for body in bodies(mail(Kind.PAYMENT_FAILED, message_id="<second@x>")):
        assert payment_link(bill) not in body
        assert "ask for a new link" in body


def test_the_agency_hears_of_a_failed_payment_and_what_can_be_done(bill, mail):
    message = mail(Kind.AGENCY_FAILED, to="billing@atelier.example", language="en")
    assert message.subject == (
        f"Bakery Website: a payment of €1,234.56 for {bill.number} did not go through"
    )
    for body in bodies(message):
        assert "Nothing was charged." in body
        assert "It can be paid again with the same link until" in body
    bill.expires_at = timezone.now() - timedelta(minutes=1)
    bill.save()
    for body in bodies(mail(Kind.AGENCY_FAILED, message_id="<second@x>")):
        assert "With Renew on the page of the bill it can be paid again." in body
        assert "until" not in body


@pytest.mark.parametrize("kind", TO_AGENCY)
def test_mails_to_the_agency_name_the_client_and_have_no_payment_link(bill, mail, kind):
    message = mail(kind, to="billing@atelier.example", language="en")
    assert message.reply_to == []
    for body in bodies(message):
        assert "client@customer.example" in body
        assert bill.token not in body
        assert "/admin/" in body


def test_the_reason_of_a_review(mail):
    twice = mail(Kind.AGENCY_REVIEW, facts={"reason": "duplicate"})
    other = mail(Kind.AGENCY_REVIEW, facts={"reason": "mismatch"}, message_id="<2@x>")
    assert "more than once" in twice.body
    assert "not what was asked for" in other.body


@pytest.mark.parametrize("kind", ABOUT_REQUESTS)
def test_test_mode_is_marked(make_bill, mail, kind):
    message = mail(kind, make_bill(livemode=False))
    assert message.subject.startswith("TEST – ")
    for body in bodies(message):
        assert "No real money is moved." in body


@pytest.mark.parametrize("kind", list(Kind))
def test_no_pictures_and_no_tracking(mail, kind):
    html = bodies(mail(kind))[1]
    for forbidden in ("<img", "<script", "url(", "<link", "@import", "background="):
        assert forbidden not in html
    ours = ("https://bakery.example/", "http://localhost:8000/admin/", "mailto:")
    assert all(address.startswith(ours) for address in re.findall(r'href="([^"]+)"', html))


def test_without_an_agency_it_still_makes_sense(bill, mail):
    AgencySettings.objects.all().delete()
    message = mail(Kind.PAYMENT_LINK)
    assert message.reply_to == []
    assert "Bakery Website asks you for a payment of €1,234.56." in message.body


@override_settings(TIME_ZONE="Europe/Paris")
def test_times_are_those_of_the_project_and_say_so(make_bill, mail):
    moment = timezone.datetime(2030, 1, 15, 23, 30, tzinfo=timezone.get_fixed_timezone(0))
    bill = make_bill(expires_at=moment)
    assert "January 16, 2030, 12:30 AM (Central European Time)" in readable(
        mail(Kind.PAYMENT_LINK, bill).body
    )
    french = readable(mail(Kind.PAYMENT_LINK, make_bill(expires_at=moment, language="fr")).body)
    assert "16 janvier 2030" in french
    assert "00:30" in french
    assert "heure d’Europe centrale" in french


@override_settings(TIME_ZONE="Europe/Paris")
@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("America/New_York", "January 15, 2030, 6:30 PM (Eastern Time)"),
        ("UTC", "January 15, 2030, 11:30 PM (UTC)"),
        *(
            (unknown, "January 16, 2030, 12:30 AM (Central European Time)")
            for unknown in ("", "Mars/Olympus", "../../etc/passwd", "America", "a\nb", "x" * 64)
        ),
    ],
)
def test_times_are_those_of_the_site_if_it_has_a_time_zone(make_bill, mail, site, zone, text):
    SiteBillingSettings.objects.create(site=site, time_zone=zone)
    moment = timezone.datetime(2030, 1, 15, 23, 30, tzinfo=timezone.get_fixed_timezone(0))
    assert text in readable(mail(Kind.PAYMENT_LINK, make_bill(expires_at=moment)).body)


# --- Names that try to be more than names ---------------------------------------------------

EVIL = [
    "Evil\r\nBcc: victim@example.com",
    "Evil\nSubject: other",
    "Evil\x07\x1b[31m",
    "Atelier, Inc",
    'Quote " quote',
    "Angle <a@b.example>",
    "Ünïcödé 💥",
    "x" * 300,
]


@pytest.mark.parametrize("name", EVIL, ids=range(len(EVIL)))
def test_names_stay_names_in_headers(bill, mail, agency, name):
    # Past every form, as a shell would write it.
    bill.site_name = name[:255]
    bill.save()
    agency.agency_name = name[:100]
    agency.save()
    message = mail(Kind.PAYMENT_LINK)
    raw = message.message()
    assert set(raw.keys()) <= {
        "Content-Type", "MIME-Version", "Subject", "From", "To", "Reply-To", "Date",
        "Message-ID", "Auto-Submitted",
    }  # fmt: skip
    assert "\n" not in message.subject
    assert len(message.subject) <= 180
    from email import message_from_bytes, policy

    parsed = message_from_bytes(raw.as_bytes(), policy=policy.default)
    (reply,) = parsed["Reply-To"].addresses
    assert reply.addr_spec == "hello@atelier.example"
    assert [each.addr_spec for each in parsed["To"].addresses] == ["client@customer.example"]


def test_markup_in_names_is_text(bill, mail, agency):
    bill.site_name = agency.agency_name = "<script>alert('x')</script>"
    bill.save()
    agency.save()
    text, html = bodies(mail(Kind.PAYMENT_LINK))
    assert "<script>" not in html
    assert "<script>alert('x')</script>" in text


@pytest.mark.parametrize(
    ("given", "longest", "expected"),
    [
        ("a\r\nb", 80, "a b"),
        ("  a \t b  ", 80, "a b"),
        ("1\u202f234\xa0€", 80, "1\u202f234\xa0€"),
        ("abcdef", 4, "abc…"),
        ("abcd", 4, "abcd"),
        ("\x00\x1b\x7f\u2028", 9, ""),
    ],
)
def test_one_line(given, longest, expected):
    assert one_line(given, longest) == expected
