"""Idempotency keys: replay, mismatch, in flight, and what is not remembered."""

import threading
import time

import pytest
import stripe

from wagtail_client_billing.sandbox import books, faults, idempotency, keys

from .conftest import wait_until


def create(client, params, key="key-1"):
    return client.v1.checkout.sessions.create(params, options={"idempotency_key": key})


def replayed(obj):
    return dict(obj.last_response.headers).get("Idempotent-Replayed")


def test_replay(client, params):
    given = params()
    first, second = create(client, given), create(client, given)
    assert (first.id, replayed(first), replayed(second)) == (second.id, None, "true")
    assert len(books.sessions()) == 1
    assert [call["replayed"] for call in books.api_calls()] == [False, True]


def test_a_replay_tells_the_first_answer(client, params):
    given = params()
    first = create(client, given)
    client.v1.checkout.sessions.expire(first.id)
    assert create(client, given).status == "open"


def test_other_parameters(client, params):
    create(client, params())
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        create(client, params(amount=999))
    assert len(books.sessions()) == 1


def test_other_endpoint(client, params, session):
    create(client, params())
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.checkout.sessions.expire(session.id, options={"idempotency_key": "key-1"})


def test_scoped_by_account_and_mode(client_for, params):
    given = params()
    made = {
        create(client_for(key), given).id
        for key in ("rk_test_agency42", "rk_live_agency42", "rk_test_agency43")
    }
    assert len(made) == 3


def test_two_keys_of_one_account_share_idempotency(client_for, params):
    client = client_for()
    other = client_for(keys.make_key(client.v1.accounts.retrieve_current().id))
    given = params()
    assert create(client, given).id == create(other, given).id


def test_too_long(client, params):
    with pytest.raises(stripe.InvalidRequestError):
        create(client, params(), "k" * 256)


def test_a_validation_error_is_not_remembered(client, params):
    with pytest.raises(stripe.InvalidRequestError):
        create(client, params(mode="gift"))
    assert create(client, params()).status == "open"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("401", stripe.AuthenticationError),
        ("429", stripe.RateLimitError),
        ("503", stripe.APIError),
    ],
)
def test_a_refusal_is_not_remembered(client, params, kind, error):
    faults.add(kind)
    given = params()
    with pytest.raises(error):
        create(client, given)
    assert replayed(create(client, given)) is None
    assert len(books.sessions()) == 1


def test_a_missing_right_is_not_remembered(client_for, client, params):
    account = client.v1.accounts.retrieve_current().id
    weak = client_for(keys.make_key(account, without=["checkout_session_write"]))
    given = params()
    with pytest.raises(stripe.PermissionError):
        create(weak, given)
    assert replayed(create(client, given)) is None


def test_a_500_is_remembered(client, params):
    faults.add("500")
    given = params()
    requests = []
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            create(client, given)
        assert caught.value.http_status == 500
        requests.append(caught.value.headers.get("Idempotent-Replayed"))
    assert requests == [None, "true"]
    assert books.sessions() == []
    assert create(client, given, "key-2").status == "open"


def test_a_refused_expire_is_remembered(client, session):
    client.v1.checkout.sessions.expire(session.id)
    answers = []
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.checkout.sessions.expire(session.id, options={"idempotency_key": "end"})
        answers.append(caught.value.headers.get("Idempotent-Replayed"))
    assert answers == [None, "true"]


def test_lost_answer_then_replay(client, params):
    faults.add("lost", path="/v1/checkout/sessions", method="POST")
    given = params()
    with pytest.raises(stripe.APIConnectionError) as caught:
        create(client, given)
    assert caught.value.should_retry
    (made,) = books.sessions()
    again = create(client, given)
    assert (again.id, replayed(again)) == (made["id"], "true")
    assert len(books.sessions()) == 1


def test_the_sdk_repeats_a_lost_answer_by_itself(client_for, params):
    faults.add("lost", method="POST")
    session = client_for(retries=2).v1.checkout.sessions.create(params())
    assert [s["id"] for s in books.sessions()] == [session.id]
    assert [call["fault"] for call in books.api_calls()] == ["lost", ""]


def test_in_flight(client_for, params):
    faults.add("hold", method="POST", delay_ms=1500)
    given, done = params(), []
    slow = threading.Thread(target=lambda: done.append(create(client_for(), given)))
    slow.start()
    assert wait_until(lambda: claims() == 1)
    with pytest.raises(stripe.APIError) as caught:
        create(client_for(), given)
    assert caught.value.http_status == 409
    assert caught.value.error.code == "idempotency_key_in_use"
    slow.join()
    assert create(client_for(), given).id == done[0].id
    assert len(books.sessions()) == 1


def claims():
    with books.read() as db:
        return db.execute("SELECT COUNT(*) FROM idempotency").fetchone()[0]


def test_an_abandoned_claim_is_taken_over(client, params):
    given = params()
    first = create(client, given)
    with books.write() as db:
        db.execute("DELETE FROM objects")
        db.execute(
            "UPDATE idempotency SET status = NULL, body = NULL, started_at = ?",
            (time.time() - idempotency.ABANDONED_AFTER - 1,),
        )
    second = create(client, given)
    assert second.id != first.id
    assert len(books.sessions()) == 1


def test_many_at_once_make_one(client_for, params):
    given, made, refused = params(), [], []

    def one():
        try:
            made.append(create(client_for(retries=0), given).id)
        except stripe.APIError as error:
            refused.append(error.http_status)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1 and set(refused) <= {409}
    assert len(books.sessions()) == 1
