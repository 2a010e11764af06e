"""The outbox against a real mail server."""

import smtplib
import socket
import threading
import time
from datetime import timedelta

import pytest
from django.core import mail as django_mail
from django.db import connections
from django.utils import timezone

from wagtail_client_billing import lifecycle, tasks
from wagtail_client_billing.mail import delivering, outbox, sending
from wagtail_client_billing.mail.delivering import Courier
from wagtail_client_billing.models import BillingRequest, EmailDelivery, LogEntry

State = EmailDelivery.State
Problem = EmailDelivery.Problem


def drain(seconds=30):
    return outbox.drain(time.monotonic() + seconds)


def only(bill):
    return bill.deliveries.get()


def due_now():
    EmailDelivery.objects.filter(state=State.QUEUED).update(next_try_at=timezone.now())


def test_a_mail_goes_out_and_counts_as_sent_once_it_is_accepted(bill, server):
    assert only(bill).state == State.QUEUED
    assert drain() == 1
    (message,) = server.messages
    delivery = only(bill)
    assert message["Message-ID"] == delivery.message_id
    assert message["To"] == "client@customer.example"
    assert (delivery.state, delivery.attempts, delivery.problem) == (State.SENT, 1, "")
    bill.refresh_from_db()
    assert bill.sent_at == delivery.sent_at
    assert bill.log_entries.filter(action=LogEntry.Action.SENT).count() == 1
    assert drain() == 0
    assert len(server.messages) == 1


ANSWERS = [
    # mode of the server, problem, tried again
    ("bounce", Problem.REFUSED, False),
    ("sender", Problem.SENDER, True),
    ("spam", Problem.REFUSED, False),
    ("greylist", Problem.LATER, True),
    ("full", Problem.LATER, True),
    ("drop", Problem.UNREACHABLE, True),
    ("break", Problem.UNCERTAIN, False),
]


@pytest.mark.parametrize(("mode", "problem", "again"), ANSWERS)
def test_what_the_server_answers(bill, server, mode, problem, again):
    server.mode = mode
    assert drain() == 1
    delivery = only(bill)
    assert delivery.problem == problem
    assert delivery.state == (State.QUEUED if again else State.FAILED)
    assert delivery.error
    bill.refresh_from_db()
    assert bill.sent_at is None
    failed = bill.log_entries.filter(action=LogEntry.Action.MAIL_FAILED)
    assert failed.count() == (0 if again else 1)
    arrived = len(server.messages)
    assert arrived == (1 if mode == "break" else 0)
    server.mode = "good"
    due_now()
    drain()
    assert len(server.messages) == arrived + (1 if again else 0)
    assert only(bill).state == (State.SENT if again else State.FAILED)


def test_server_down(bill, use_mailer):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    use_mailer("127.0.0.1", port)
    drain()
    delivery = only(bill)
    assert (delivery.state, delivery.problem) == (State.QUEUED, Problem.UNREACHABLE)
    assert delivery.next_try_at > timezone.now() + timedelta(seconds=50)


def test_a_server_that_says_nothing_is_given_up(bill, use_mailer, deaf_server):
    use_mailer("127.0.0.1", deaf_server, timeout=0.5)
    before = time.monotonic()
    drain()
    assert time.monotonic() - before < 5
    assert only(bill).problem == Problem.TIMEOUT


def test_a_mailer_without_a_limit_waits_no_longer(bill, use_mailer, deaf_server, monkeypatch):
    monkeypatch.setattr(sending, "STEP_SECONDS", 0.5)
    use_mailer("127.0.0.1", deaf_server, timeout=None)
    before = time.monotonic()
    drain()
    assert time.monotonic() - before < 5
    assert only(bill).problem == Problem.TIMEOUT
    assert socket.getdefaulttimeout() is None


def test_a_limit_of_the_project_for_all_sockets_stays():
    socket.setdefaulttimeout(77)
    try:
        with sending.no_endless_wait():
            assert socket.getdefaulttimeout() == 77
        assert socket.getdefaulttimeout() == 77
    finally:
        socket.setdefaulttimeout(None)


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
def test_wrong_password(bill, use_mailer):
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    from tests.mail.conftest import Handler, free_port

    def no(server, session, envelope, mechanism, data):
        return AuthResult(success=False, handled=False)

    controller = Controller(
        Handler(),
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=no,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    try:
        use_mailer("127.0.0.1", controller.port, username="u", password="secret-word")
        drain()
    finally:
        controller.stop()
    delivery = only(bill)
    assert (delivery.state, delivery.problem) == (State.QUEUED, Problem.LOGIN)
    assert "secret-word" not in delivery.error


# --- Trying again ---------------------------------------------------------------------------


def test_the_ladder(bill):
    delivery = only(bill)
    now = delivery.created_at
    minutes = []
    for delivery.attempts in range(1, 8):
        again = delivering.next_try(delivery, Problem.LATER, now)
        minutes.append(round((again - now).total_seconds() / 60))
    assert minutes == [1, 5, 15, 30, 60, 60, 60]
    late = now + timedelta(hours=22, minutes=59)
    assert delivering.next_try(delivery, Problem.LATER, late) is not None
    assert delivering.next_try(delivery, Problem.LATER, now + timedelta(hours=23)) is None
    assert delivering.next_try(delivery, Problem.REFUSED, now) is None


def test_what_is_wrong_with_the_server_burns_no_mail(bill):
    delivery = only(bill)
    for problem in EmailDelivery.OF_SERVER:
        delivery.attempts = 99
        later = delivery.created_at + timedelta(days=9)
        assert delivering.next_try(delivery, problem, later) == later + timedelta(minutes=15)


def test_after_a_day_it_has_failed(bill, server):
    server.mode = "greylist"
    EmailDelivery.objects.update(created_at=timezone.now() - timedelta(hours=24))
    drain()
    delivery = only(bill)
    assert (delivery.state, delivery.problem) == (State.FAILED, Problem.LATER)
    assert "450" in delivery.error


def test_what_is_not_due_waits(bill, server):
    EmailDelivery.objects.update(next_try_at=timezone.now() + timedelta(minutes=1))
    assert drain() == 0
    assert server.messages == []


def test_three_failures_in_a_row_end_the_round(make_bill, use_mailer):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    use_mailer("127.0.0.1", port)
    for _each in range(5):
        make_bill()
    assert drain() == 3
    assert EmailDelivery.objects.filter(attempts=0, state=State.QUEUED).count() == 2


def test_rule_7_a_task_does_not_go_on_after_an_outage(make_bill, use_mailer, monkeypatch):
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)
    for _ in range(8):
        make_bill()
    use_mailer("127.0.0.1", 1)
    assert tasks.drain_outbox() == 3
    assert EmailDelivery.objects.filter(attempts=0).count() == 5


def test_refused_mails_do_not_end_the_round(make_bill, server):
    server.mode = "bounce"
    for _each in range(5):
        make_bill()
    assert drain() == 5


def test_the_deadline_is_kept(make_bill, server):
    for _each in range(3):
        make_bill()
    assert outbox.drain(time.monotonic()) == 0
    assert server.messages == []


# --- What has changed meanwhile -------------------------------------------------------------


@pytest.mark.parametrize("status", ["paid", "expired", "deleted"])
def test_a_link_that_can_no_longer_be_paid_is_not_sent(bill, server, status):
    BillingRequest.objects.filter(pk=bill.pk).update(status=status)
    drain()
    delivery = only(bill)
    assert (delivery.state, delivery.problem) == (State.DROPPED, Problem.OBSOLETE)
    assert server.messages == []


def test_receipts_and_news_to_the_agency_are_always_sent(bill, server):
    EmailDelivery.objects.all().delete()
    BillingRequest.objects.filter(pk=bill.pk).update(status="paid", review_since=timezone.now())
    for kind in ("receipt", "agency_paid", "agency_late", "agency_review"):
        EmailDelivery.objects.create(request=bill, kind=kind, to="a@b.example", message_id=kind)
    assert drain() == 4
    assert len(server.messages) == 4


def test_a_review_that_is_over_is_no_news(bill, server):
    EmailDelivery.objects.all().delete()
    EmailDelivery.objects.create(
        request=bill, kind="agency_review", to="a@b.example", message_id="review"
    )
    drain()
    assert server.messages == []


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        ({}, 1),
        ({"status": "expired"}, 1),
        ({"status": "paid"}, 0),
        ({"status": "deleted"}, 0),
        ({"processing_since": timezone.now()}, 0),
    ],
)
@pytest.mark.parametrize("kind", ["payment_failed", "agency_failed"])
def test_news_of_a_failed_payment_is_sent_while_it_is_true(bill, server, values, sent, kind):
    EmailDelivery.objects.all().delete()
    BillingRequest.objects.filter(pk=bill.pk).update(**values)
    EmailDelivery.objects.create(request=bill, kind=kind, to=bill.email, message_id="<x@y>")
    drain()
    assert len(server.messages) == sent


def test_a_late_first_mail_names_the_new_deadline(make_bill, server):
    created = timezone.now() - timedelta(hours=5)
    bill = make_bill(created_at=created, expires_at=created + timedelta(hours=24))
    drain()
    bill.refresh_from_db()
    assert bill.expires_at > timezone.now() + timedelta(hours=23, minutes=59)
    text = server.messages[0].get_body("plain").get_content()
    local = bill.expires_at
    assert f"{local:%B} {local.day}, {local.year}" in text


# --- Rule 11: the rows are the queue --------------------------------------------------------


def test_rule_11_a_row_that_another_worker_has_is_left_alone(bill, server):
    EmailDelivery.objects.update(state=State.SENDING, claimed_at=timezone.now())
    assert drain() == 0
    assert server.messages == []


def test_rule_11_whoever_claims_first_has_it(bill, server, monkeypatch):
    """Two workers that read the same row: only one of the two updates finds it queued."""
    first = next(outbox._claims(), None)
    assert first is not None
    assert next(outbox._claims(), None) is None
    courier = Courier()
    courier.deliver(first)
    courier.close()
    assert len(server.messages) == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_rule_11_four_workers_at_once_send_each_mail_once(make_bill, server):
    bills = [make_bill() for _each in range(12)]
    errors = []

    def work():
        try:
            drain()
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    sent = sorted(message["Message-ID"] for message in server.messages)
    assert sent == sorted(only(bill).message_id for bill in bills)
    assert {only(bill).state for bill in bills} == {State.SENT}


def test_rule_11_the_claim_is_written_before_the_server_is_called(bill, server, monkeypatch):
    seen = []

    def look(self, *args):
        seen.append((only(bill).state, only(bill).attempts))
        return ""

    monkeypatch.setattr(sending.Way, "send", look)
    drain()
    assert seen == [(State.SENDING, 1)]


def test_rule_11_what_a_dead_worker_may_have_sent_is_not_sent_twice(bill, server):
    EmailDelivery.objects.update(
        state=State.SENDING,
        claimed_at=timezone.now() - timedelta(minutes=16),
        handed_over_at=timezone.now() - timedelta(minutes=16),
    )
    assert drain() == 1
    delivery = only(bill)
    assert (delivery.state, delivery.problem) == (State.FAILED, Problem.UNCERTAIN)
    assert server.messages == []


def test_rule_11_what_a_dead_worker_had_not_sent_goes_out_as_the_same_message(bill, server):
    long_ago = timezone.now() - timedelta(minutes=16)
    EmailDelivery.objects.update(state=State.SENDING, claimed_at=long_ago, attempts=1)
    known = only(bill).message_id
    assert drain() == 2
    (message,) = server.messages
    assert message["Message-ID"] == known
    assert (only(bill).state, only(bill).attempts) == (State.SENT, 2)
    assert drain() == 0


def test_rule_11_a_worker_that_was_taken_for_dead_sends_nothing(bill, server, monkeypatch):
    """It wakes up right before the text, when another one has sent it."""
    asleep = next(outbox._claims(), None)
    EmailDelivery.objects.update(claimed_at=timezone.now() - timedelta(minutes=16))
    assert drain() == 2
    courier = Courier()
    courier.deliver(asleep)
    courier.close()
    assert len(server.messages) == 1
    assert (only(bill).state, only(bill).problem) == (State.SENT, "")


def test_rule_11_resending_after_that_is_a_new_delivery(bill, server):
    EmailDelivery.objects.update(state=State.FAILED, problem=Problem.UNCERTAIN)
    lifecycle.resend(bill, user=None)
    assert drain() == 1
    assert bill.deliveries.filter(state=State.SENT).count() == 1


@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt])
def test_what_stops_the_worker_is_written_down_and_raised_again(bill, server, monkeypatch, stop):
    def stopped(self, *args, **kwargs):
        raise stop("Task exceeded maximum timeout value")

    monkeypatch.setattr(smtplib.SMTP, "rcpt", stopped)
    with pytest.raises(stop):
        drain()
    monkeypatch.undo()
    assert only(bill).state == State.QUEUED
    due_now()
    drain()
    assert len(server.messages) == 1


def test_what_stops_the_worker_at_the_end_leaves_doubt(bill, server, monkeypatch):
    whole = smtplib.SMTP.getreply
    replies = []

    def stopped(self):
        reply = whole(self)
        replies.append(reply)
        if reply[0] == 250 and any(code == 354 for code, _ in replies):
            raise SystemExit("Task exceeded maximum timeout value")
        return reply

    monkeypatch.setattr(smtplib.SMTP, "getreply", stopped)
    with pytest.raises(SystemExit):
        drain()
    assert len(server.messages) == 1
    assert (only(bill).state, only(bill).problem) == (State.FAILED, Problem.UNCERTAIN)


def test_a_mail_that_cannot_be_composed_waits_to_be_mended(bill, server, monkeypatch, caplog):
    def broken(delivery, server):
        raise ValueError("a template is broken")

    monkeypatch.setattr(delivering, "compose", broken)
    drain()
    delivery = only(bill)
    assert (delivery.state, delivery.problem) == (State.QUEUED, Problem.OTHER)
    assert "a template is broken" in delivery.error
    monkeypatch.undo()
    due_now()
    drain()
    assert only(bill).state == State.SENT


@pytest.mark.parametrize("said", [0, None])
def test_a_mailer_that_counts_nothing_may_have_queued_it(said, bill, monkeypatch):
    """As django-post_office's does: tried again, its clients would have it once for each try."""
    given = []

    class Mailer:
        def open(self):
            pass

        def close(self):
            pass

        def send_messages(self, messages):
            given.extend(messages)
            return said

    monkeypatch.setattr(delivering, "default_mailer", Mailer)
    drain()
    due_now()
    drain()
    assert len(given) == 1
    assert (only(bill).state, only(bill).problem) == (State.FAILED, Problem.UNCERTAIN)
    bill.refresh_from_db()
    assert bill.sent_at is None


@pytest.mark.parametrize("mode", ["bounce", "spam"])
def test_a_mailer_that_keeps_quiet_is_seen_through(mode, bill, server, monkeypatch):
    """Told to fail silently, Django's own says only how many it has sent."""
    made = delivering.default_mailer

    def quiet():
        mailer = made()
        mailer.fail_silently = True
        return mailer

    monkeypatch.setattr(delivering, "default_mailer", quiet)
    server.mode = mode
    drain()
    handed = mode == "spam"
    assert only(bill).problem == (Problem.UNCERTAIN if handed else Problem.OTHER)
    assert only(bill).sent_at is None


def test_it_works_with_whatever_mailer_the_project_has(bill):
    drain()
    assert len(django_mail.outbox) == 1


def test_rule_7_no_mail_is_sent_inside_of_a_transaction(bill, server):
    from django.db import transaction

    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        drain()
    assert only(bill).state == State.QUEUED


def test_neither_link_nor_address_gets_into_the_log(bill, server, caplog):
    server.mode = "bounce"
    with caplog.at_level("DEBUG", logger="wagtail_client_billing"):
        drain()
    assert "Delivery" in caplog.text
    assert bill.token not in caplog.text
    assert bill.email not in caplog.text
