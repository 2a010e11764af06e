"""One action on many requests: recorded at once, done by the worker, true to the end."""

import time
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from wagtail_client_billing import lifecycle, tasks
from wagtail_client_billing.errors import BeingChanged, NotAllowed
from wagtail_client_billing.gateway import bulk
from wagtail_client_billing.gateway.changes import edit_request
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.models import BillingRequest, BulkItem, BulkJob, StripeConnection
from wagtail_client_billing.sandbox import books, keys

Kind = BulkJob.Kind


def all_requests():
    return BillingRequest.objects.all()


def drain():
    BulkItem.objects.update(next_try_at=timezone.now())
    return bulk.drain(time.monotonic() + 30)


def results(job):
    return {item.request_id: item.result for item in job.items.all()}


def progress(job):
    found = BulkJob.objects.with_progress().get(pk=job.pk)
    return found.finished, found.total


def test_deleting_many_holds_first_and_ends_with_what_became_of_each(world, make_bill):
    plain, opened, paid, deleted = (make_bill() for _each in range(4))
    for each in (opened, paid):
        open_checkout(each.pk)
    lifecycle.move(BillingRequest.objects.filter(pk=deleted.pk), "deleted", cause="editor")
    before = len(books.api_calls())
    # As Wagtail does.
    with transaction.atomic():
        job = bulk.start(Kind.DELETE, all_requests(), user=None)
    assert len(books.api_calls()) == before
    assert progress(job) == (1, 4)
    for each in (plain, opened, paid):
        with pytest.raises(BeingChanged):
            open_checkout(each.pk)
    # The client was on Stripe's page already.
    world.pay(paid)
    assert drain() == 3
    assert results(job) == {
        plain.pk: "deleted",
        opened.pk: "deleted",
        paid.pk: "paid",
        deleted.pk: "not_allowed",
    }
    assert progress(job) == (4, 4)
    statuses = dict(all_requests().values_list("pk", "status"))
    assert statuses == {
        plain.pk: "deleted",
        opened.pk: "deleted",
        paid.pk: "paid",
        deleted.pk: "deleted",
    }
    assert world.payable(opened) == []
    assert not all_requests().exclude(hold="").exists()


def test_with_stripe_down_a_row_waits_and_is_done_later(world, make_bill):
    bill = make_bill()
    open_checkout(bill.pk)
    job = bulk.start(Kind.DELETE, all_requests(), user=None)
    world.down()
    drain()
    assert results(job) == {bill.pk: "waiting"}
    assert progress(job) == (0, 1)
    world.up()
    assert bulk.drain(time.monotonic() + 5) == 0, "not before its time"
    drain()
    assert results(job) == {bill.pk: "deleted"}
    assert progress(job) == (1, 1)


def test_an_outage_does_not_cost_a_time_out_for_every_row(world, make_bill):
    for _each in range(6):
        open_checkout(make_bill().pk)
    bulk.start(Kind.DELETE, all_requests(), user=None)
    world.down()
    assert bulk.drain(time.monotonic() + 30) == 3


def test_an_account_that_is_lost_ends_with_the_sessions_own_end(world, make_bill):
    bill = make_bill()
    open_checkout(bill.pk)
    keys.revoke_key("rk_test_bills_0123456789")
    job = bulk.start(Kind.DELETE, all_requests(), user=None)
    drain()
    assert (results(job), progress(job)) == ({bill.pk: "lost"}, (0, 1))
    bill.attempts.update(expires_at=timezone.now() - timedelta(minutes=6))
    drain()
    assert (results(job), progress(job)) == ({bill.pk: "deleted"}, (1, 1))


def test_what_the_sweep_finished_first_is_told_as_it_is(world, make_bill):
    bill = make_bill()
    job = bulk.start(Kind.DELETE, all_requests(), user=None)
    BillingRequest.objects.update(hold_since=timezone.now() - timedelta(minutes=3))
    tasks.sweep()
    drain()
    assert results(job) == {bill.pk: "deleted"}
    assert lifecycle.move(all_requests(), "deleted", cause="editor") == []


def test_sending_many_again_makes_one_new_request_each(world, make_bill, django_user_model):
    user = django_user_model.objects.create_user("ed")
    gone, pending = make_bill(description="Hosting"), make_bill()
    lifecycle.move(BillingRequest.objects.filter(pk=gone.pk), "deleted", cause="editor")
    job = bulk.start(Kind.SEND_AGAIN, all_requests(), user=user)
    drain()
    assert results(job) == {gone.pk: "sent", pending.pk: "not_allowed"}
    made = job.items.get(request=gone).made
    assert (made.status, made.description, made.created_by) == ("pending", "Hosting", user)
    assert made.token != gone.token
    # A worker that died after it had made it: the next one finds it.
    BulkItem.objects.filter(request=gone).update(
        state="working", made=None, claimed_at=timezone.now() - timedelta(minutes=6)
    )
    drain()
    assert job.items.get(request=gone).made == made
    assert all_requests().count() == 3


def test_nothing_is_sent_again_without_an_account(world, make_bill):
    bill = make_bill()
    lifecycle.move(all_requests(), "deleted", cause="editor")
    StripeConnection.objects.update(broken_at=timezone.now())
    job = bulk.start(Kind.SEND_AGAIN, all_requests(), user=None)
    drain()
    assert results(job) == {bill.pk: "unconnected"}


def test_checking_many(world, make_bill):
    untouched, waiting, paid = (make_bill() for _each in range(3))
    for each in (waiting, paid):
        open_checkout(each.pk)
    world.pay(paid)
    job = bulk.start(Kind.CHECK, all_requests(), user=None)
    drain()
    assert results(job) == {untouched.pk: "nothing", waiting.pk: "no_news", paid.pk: "news"}
    paid.refresh_from_db()
    assert paid.status == "paid"


def test_a_copy_of_production_holds_nothing(world, make_bill):
    bill = make_bill()
    StripeConnection.objects.update(host="elsewhere.example")
    job = bulk.start(Kind.DELETE, all_requests(), user=None)
    assert (results(job), progress(job)) == ({bill.pk: "copy"}, (1, 1))
    bill.refresh_from_db()
    assert bill.hold == ""


def test_one_row_that_fails_keeps_no_other_waiting(world, make_bill, monkeypatch):
    bad, good = make_bill(), make_bill()
    real = bulk.finish_hold

    def finish(pk):
        if pk == bad.pk:
            raise RuntimeError("broken row")
        return real(pk)

    monkeypatch.setattr(bulk, "finish_hold", finish)
    job = bulk.start(Kind.DELETE, all_requests(), user=None)
    drain()
    assert results(job) == {bad.pk: "failed", good.pk: "deleted"}
    assert progress(job) == (1, 2)
    for _try in range(bulk.MOST_TRIES - 1):
        drain()
    assert progress(job) == (2, 2)


def test_no_more_than_the_most_at_once(world, make_bill, monkeypatch):
    monkeypatch.setattr(BulkJob, "MOST", 2)
    for _each in range(3):
        make_bill()
    with pytest.raises(NotAllowed, match="At most 2"):
        bulk.start(Kind.DELETE, all_requests(), user=None)
    assert not BulkJob.objects.exists()
    assert not all_requests().exclude(hold="").exists()


def test_the_worker_and_the_sweep_do_it_and_old_jobs_are_forgotten(world, make_bill):
    bill = make_bill()
    job = bulk.start(Kind.DELETE, all_requests(), user=None)
    tasks.sweep()
    assert results(job) == {bill.pk: "deleted"}
    long_ago = timezone.now() - timedelta(days=31)
    BulkJob.objects.filter(pk=job.pk).update(created_at=long_ago)
    unfinished = BulkJob.objects.create(kind=Kind.CHECK, created_at=long_ago)
    BulkItem.objects.create(job=unfinished, request=bill)
    bulk.prune()
    assert list(BulkJob.objects.all()) == [unfinished]


@pytest.mark.parametrize(
    "values", [{"review_since": timezone.now()}, {"not_confirmed": True}], ids=["review", "asked"]
)
def test_nothing_in_doubt_is_sent_again(world, make_bill, values):
    bill = make_bill()
    BillingRequest.objects.filter(pk=bill.pk).update(status="expired", **values)
    job = bulk.start(Kind.SEND_AGAIN, all_requests(), user=None)
    drain()
    assert results(job) == {bill.pk: "doubt"}
    assert all_requests().count() == 1


def test_what_was_made_is_found_again_whatever_became_of_it(world, make_bill):
    bill = make_bill()
    lifecycle.move(all_requests(), "deleted", cause="editor")
    job = bulk.start(Kind.SEND_AGAIN, all_requests(), user=None)
    drain()
    made = job.items.get().made
    edit_request(made.pk, amount_minor=5000, description="", email="b@c.example", user=None)
    BulkItem.objects.update(state="queued", made=None)
    drain()
    assert job.items.get().made == made
    assert all_requests().count() == 2
    assert results(job) == {bill.pk: "sent"}


def test_what_is_sent_again_has_the_same_time_and_can_be_charged(world, make_bill):
    long, other = make_bill(link_lifetime=timedelta(days=30)), make_bill(currency="THB")
    lifecycle.move(all_requests(), "deleted", cause="editor")
    StripeConnection.objects.update(currencies=["EUR"])
    job = bulk.start(Kind.SEND_AGAIN, all_requests(), user=None)
    drain()
    assert results(job) == {long.pk: "sent", other.pk: "currency"}
    assert job.items.get(request=long).made.link_lifetime == timedelta(days=30)


def test_what_is_sent_again_goes_to_the_same_readers(world, make_bill):
    bill = make_bill(cc=["boss@customer.example"], bcc="archive@agency.example")
    lifecycle.move(all_requests(), "deleted", cause="editor")
    job = bulk.start(Kind.SEND_AGAIN, all_requests(), user=None)
    drain()
    made = job.items.get().made
    assert made.recipients == bill.recipients
    assert {(each.role, each.to) for each in made.deliveries.all()} == set(bill.recipients)
