"""What Health and the doctor say of the agency's mail server."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from django.utils.translation import override

from wagtail_client_billing import sealing
from wagtail_client_billing.admin.notices import mail_notices
from wagtail_client_billing.health import Level, diagnose
from wagtail_client_billing.models import EmailDelivery, MailServer

Problem = EmailDelivery.Problem


@pytest.fixture
def server(db):
    return MailServer.objects.create(
        enabled=True, host="smtp.atelier.example", sealed_password=sealing.seal("hunter2")
    )


def said(check, word):
    found = [each for each in diagnose() if each.check == check and word in each.text]
    return [(each.level, each.text) for each in found]


def test_default_mail_is_not_spoken_of(server):
    MailServer.objects.update(enabled=False)
    assert said("mail", "smtp.atelier.example") == []


def test_it_was_never_tested(server):
    ((level, text),) = said("mail", "smtp.atelier.example")
    assert level == Level.ADVICE
    assert "never tested" in text


def test_it_was_tested(server):
    MailServer.objects.update(tested_at=timezone.now())
    ((level, text),) = said("mail", "smtp.atelier.example")
    assert level == Level.OK


def test_the_test_failed(server):
    MailServer.objects.update(tested_at=timezone.now(), test_problem=Problem.LOGIN)
    ((level, text),) = said("mail", "smtp.atelier.example")
    assert level == Level.ADVICE
    assert "refuses the user name" in text


def test_it_fails_since_and_why(server):
    MailServer.objects.update(
        tested_at=timezone.now(),
        failing_since=timezone.now(),
        failing_problem=Problem.CERTIFICATE,
    )
    ((level, text),) = said("mail", "smtp.atelier.example")
    assert level == Level.PROBLEM
    assert "certificate cannot be trusted" in text


def test_a_lost_key(server):
    assert said("secrets", "smtp.atelier.example") == []
    MailServer.objects.update(sealed_password="enc1:lost")
    ((level, _text),) = said("secrets", "smtp.atelier.example")
    assert level == Level.PROBLEM
    assert said("secrets", "can be opened") == []


def test_what_is_put_off_until_the_morning_is_not_late(bill, agency):
    bill.deliveries.update(created_at=timezone.now() - timedelta(hours=2))
    assert [level for level, _text in said("mail", "waiting")] == [Level.PROBLEM]
    bill.deliveries.update(next_try_at=timezone.now() + timedelta(hours=6))
    assert said("mail", "waiting") == []
    bill.deliveries.update(problem=Problem.LATER)
    assert [level for level, _text in said("mail", "waiting")] == [Level.PROBLEM]


def test_a_notice_that_failed_and_went_later_is_well(db):
    def notice(state):
        return EmailDelivery.objects.create(
            kind=EmailDelivery.Kind.AGENCY_MAIL,
            to="billing@atelier.example",
            state=state,
            problem=Problem.BOUNCED,
            message_id=f"<{state}@atelier.example>",
        )

    notice("bounced")
    assert [level for level, _text in said("mail", "failing")] == [Level.PROBLEM]
    notice("sent")
    assert said("mail", "failing") == []


@pytest.mark.parametrize("language", ["en", "fr"])
def test_no_sentence_ends_twice(server, language):
    """Django's English writes 11:51 p.m. with a full stop of its own."""
    MailServer.objects.update(
        failing_since=datetime(2026, 7, 1, 23, 51, tzinfo=UTC), failing_problem=Problem.LOGIN
    )
    boss = get_user_model().objects.create_superuser("boss", "boss@agency.example", "pw")
    with override(language):
        (notice,) = mail_notices(boss)
        ((_level, text),) = said("mail", "smtp.atelier.example")
    assert ".." not in notice.text + text
    assert "23" in text or "11:51" in text
