"""Custom SMTP that fails: known from the first time on, told once, by default mail."""

import time
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from wagtail_client_billing import lifecycle
from wagtail_client_billing.mail import outbox
from wagtail_client_billing.models import EmailDelivery, MailServer, MessageSettings
from wagtail_client_billing.models.mail import EmailDelivery as Delivery

State = EmailDelivery.State
Problem = EmailDelivery.Problem
LOGIN = ("billing@atelier.example", "hunter2 is no password")
AGENCY = "billing@atelier.example"


def drain():
    return outbox.drain(time.monotonic() + 60)


def due_now():
    EmailDelivery.objects.filter(state=State.QUEUED).update(next_try_at=timezone.now())


@pytest.fixture
def custom(start_smtp, save_server):
    server = start_smtp(encryption="starttls", login=LOGIN)
    save_server(server)
    return server


@pytest.fixture(autouse=True)
def default(start_smtp, use_mailer):
    server = start_smtp()
    use_mailer("127.0.0.1", server.port)
    return server


def row():
    return MailServer.objects.get()


def notices():
    return list(EmailDelivery.objects.filter(kind="agency_mail").order_by("pk"))


@pytest.mark.parametrize(
    ("mode", "problem"),
    [("wrong_login", Problem.LOGIN), ("no_auth", Problem.LOGIN), ("sender", Problem.SENDER)],
)
def test_what_no_time_mends_is_told_at_once_by_default_mail(mode, problem, bill, custom, default):
    custom.mode = mode
    drain()
    assert row().failing_since and row().failing_told_at
    assert row().failing_problem == problem
    (notice,) = notices()
    assert (notice.state, notice.via, notice.to) == (State.SENT, "default", AGENCY)
    (taken,) = default.taken
    assert taken.recipients == [AGENCY]
    assert taken.message["Message-ID"] == notice.message_id
    assert custom.taken == []
    # Once, however often it fails.
    for _again in range(3):
        due_now()
        drain()
    assert len(notices()) == len(default.taken) == 1


def test_the_password_that_cannot_be_read_is_told_at_once(bill, custom, default):
    MailServer.objects.update(sealed_password="gAAAAA-lost")
    drain()
    assert row().failing_problem == Problem.UNREADABLE
    assert len(default.taken) == 1


@pytest.mark.parametrize("mode", ["busy", "drop"])
def test_what_may_pass_is_told_after_an_hour(mode, bill, custom, default):
    custom.mode = mode
    drain()
    assert row().failing_since and not row().failing_told_at
    assert default.taken == []
    with time_machine.travel(timezone.now() + timedelta(minutes=59)):
        due_now()
        drain()
        assert notices() == []
    with time_machine.travel(timezone.now() + timedelta(minutes=61)):
        # Also where no message meets it at that moment.
        EmailDelivery.objects.update(next_try_at=timezone.now() + timedelta(minutes=5))
        drain()
        assert len(notices()) == len(default.taken) == 1
        drain()
        assert len(notices()) == 1


def test_the_first_message_that_it_takes_ends_it_and_sends_what_waited(make_bill, custom):
    first, second = make_bill(), make_bill()
    custom.mode = "wrong_login"
    drain()
    assert {each.state for each in (first.deliveries.get(), second.deliveries.get())} == {"queued"}
    custom.mode = "good"
    first.deliveries.update(next_try_at=timezone.now())
    drain()
    assert (row().failing_since, row().failing_problem, row().failing_told_at) == (None, "", None)
    assert {each.state for each in (first.deliveries.get(), second.deliveries.get())} == {"sent"}


def test_a_message_that_is_refused_says_nothing_of_the_server(bill, custom):
    custom.mode = "wrong_login"
    drain()
    custom.mode = "bounce"
    due_now()
    drain()
    assert row().failing_since
    assert bill.deliveries.get().state == State.FAILED


def test_the_next_time_is_told_again_but_not_what_comes_and_goes(make_bill, custom, default):
    def fail():
        custom.mode = "wrong_login"
        make_bill()
        due_now()
        drain()
        custom.mode = "good"
        due_now()
        drain()
        assert row().failing_since is None

    fail()
    fail()
    assert len(notices()) == 1
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        fail()
    assert len(notices()) == 2


def test_the_notice_goes_before_a_hundred_others(make_bill, custom, default):
    for _each in range(6):
        make_bill()
    custom.mode = "wrong_login"
    drain()
    assert [taken.recipients for taken in default.taken] == [[AGENCY]]
    assert EmailDelivery.objects.filter(kind="payment_link", attempts=0).count() == 3


def test_with_default_mail_failing_too_the_notice_waits(bill, custom, default):
    custom.mode, default.mode = "wrong_login", "busy"
    drain()
    (notice,) = notices()
    assert (notice.state, notice.problem) == (State.QUEUED, Problem.UNREACHABLE)
    assert bill.deliveries.get().state == State.QUEUED
    assert row().failing_since
    # And default mail that fails is no failing of custom SMTP.
    assert row().failing_problem == Problem.LOGIN
    default.mode = "good"
    due_now()
    drain()
    assert notices()[0].state == State.SENT
    assert bill.deliveries.get().state == State.QUEUED


def test_switched_off_it_is_not_told_but_known(bill, custom, default):
    MessageSettings.objects.create(kind="agency_mail", enabled=False)
    custom.mode = "wrong_login"
    drain()
    assert notices() == []
    assert row().failing_since


def test_a_failure_of_the_server_that_it_was_is_not_one_of_what_it_is(bill, custom):
    before = row()
    MailServer.objects.update(changed_at=timezone.now())
    lifecycle.mail_server_failed(before, Problem.LOGIN)
    assert row().failing_since is None


def test_saving_it_makes_the_waiting_due(bill, custom):
    custom.mode = "wrong_login"
    drain()
    assert outbox.drain(time.monotonic() + 60) == 0
    custom.mode = "good"
    lifecycle.mail_server_saved(row())
    drain()
    assert bill.deliveries.get().state == State.SENT


def test_switching_it_off_ends_its_failing_and_sends_by_default_mail(bill, custom, default):
    custom.mode = "wrong_login"
    drain()
    MailServer.objects.update(enabled=False)
    lifecycle.mail_server_saved(row())
    assert row().failing_since is None
    drain()
    assert bill.deliveries.get().via == "default"


def test_what_waits_for_its_recipient_is_not_made_due_by_the_server(bill, custom):
    custom.mode = "greylist"
    drain()
    lifecycle.mail_server_saved(row())
    assert drain() == 0


def test_both_lists_of_what_is_of_the_server_are_one():
    from wagtail_client_billing.mail.problems import OF_SERVER

    assert set(OF_SERVER) == set(Delivery.OF_SERVER)


# --- An outage of a day ---------------------------------------------------------------------


def test_after_a_day_without_a_server_no_dead_link_is_mailed(make_bill, custom, default):
    start = timezone.now()
    first = make_bill()
    known = make_bill()
    drain()
    assert len(custom.taken) == 2
    late = make_bill()
    custom.mode = "drop"
    for hour in range(25):
        with time_machine.travel(start + timedelta(hours=hour, minutes=1)):
            due_now()
            lifecycle.expire_overdue()
            drain()
    custom.mode = "good"
    with time_machine.travel(start + timedelta(hours=26)):
        lifecycle.resend(late, user=None)
        lifecycle.expire_overdue()
        due_now()
        drain()
        late.refresh_from_db()
        first.refresh_from_db()
        # Who knew of their link in time has lost it in time; who did not has a whole new day.
        assert first.status == "expired"
        assert late.status == "pending"
        assert late.expires_at > timezone.now() + timedelta(hours=23)
        links = [
            taken.message
            for taken in custom.taken[2:]
            if late.token in taken.message.get_body("plain").get_content()
        ]
        assert len(links) == 1
        assert known.token not in str([taken.raw for taken in custom.taken[2:]])


def test_after_a_day_without_a_worker_no_dead_link_is_mailed(make_bill, custom):
    bill = make_bill()
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        lifecycle.expire_overdue()
        drain()
        bill.refresh_from_db()
        assert bill.status == "expired"
        assert bill.deliveries.get(kind="payment_link").state == State.DROPPED
        assert bill.token not in str([taken.raw for taken in custom.taken])
