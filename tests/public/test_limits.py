"""How often a link may be used."""

import pytest
from django.core.cache import cache
from django.test import Client, RequestFactory, override_settings

from tests.public.conftest import address
from wagtail_client_billing import limits as counting
from wagtail_client_billing.public import limits


def settings_with(**more):
    from django.conf import settings

    return {**settings.WAGTAIL_CLIENT_BILLING, **more}


@pytest.fixture(autouse=True)
def one_window(monkeypatch):
    """Windows are fixed: a minute that ends within a test would allow more."""
    monkeypatch.setattr(counting.time, "time", lambda: 1_800_000_010.0)


@pytest.mark.parametrize(
    ("name", "ask", "limit"),
    [("checkout", "post", limits.PAY), ("return", "get", limits.COME_BACK)],
)
def test_one_more_than_allowed_is_429(bill_in, name, ask, limit):
    bill = bill_in("deleted")
    client = Client()
    for _each in range(limit.times):
        assert getattr(client, ask)(address(name, bill)).status_code != 429
    response = getattr(client, ask)(address(name, bill))
    assert response.status_code == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 61
    assert "try again in" in response.content.decode()


def test_links_are_counted_apart(bill_in, make_bill):
    tired, fresh = bill_in("deleted"), make_bill(status="expired")
    for _each in range(limits.PAY.times + 1):
        response = Client().post(address("checkout", tired))
    assert response.status_code == 429
    assert Client().post(address("checkout", fresh)).status_code != 429
    assert Client().get(address("pay", tired)).status_code == 200


def test_the_next_window_counts_anew(monkeypatch):
    limit = limits.Limit("x", 1)
    assert limits.wait_for(limit, "a") == 0
    assert 0 < limits.wait_for(limit, "a") <= 61
    monkeypatch.setattr(counting.time, "time", lambda: 1_800_000_010.0 + 60)
    assert limits.wait_for(limit, "a") == 0


def test_a_cache_out_of_order_lets_clients_pay(monkeypatch, caplog):
    def broken(*args, **kwargs):
        raise ConnectionError("no cache")

    monkeypatch.setattr(cache, "add", broken)
    assert limits.wait_for(limits.PAY, 1) == 0
    assert "not counted" in caplog.text


ADDRESSES = [
    # REMOTE_ADDR, X-Forwarded-For, TRUSTED_PROXIES, counted by
    ("8.8.8.8", "", [], "8.8.8.8"),
    ("8.8.8.8", "9.9.9.9", [], "8.8.8.8"),
    ("10.0.0.1", "", [], ""),
    ("127.0.0.1", "9.9.9.9", [], ""),
    ("", "9.9.9.9", [], ""),
    ("unix:", "9.9.9.9", [], ""),
    ("10.0.0.1", "9.9.9.9", ["10.0.0.0/8"], "9.9.9.9"),
    ("10.0.0.1", "1.1.1.1, 9.9.9.9", ["10.0.0.0/8"], "9.9.9.9"),
    ("10.0.0.1", "1.1.1.1, 9.9.9.9, 10.0.0.2", ["10.0.0.0/8"], "9.9.9.9"),
    ("10.0.0.1", "1.1.1.1, nonsense", ["10.0.0.1"], "10.0.0.1"),
    ("10.0.0.1", "", ["10.0.0.1"], "10.0.0.1"),
    ("10.9.9.9", "9.9.9.9", ["10.0.0.1"], "10.9.9.9"),
    ("2a00:1450:4001:81b::1", "", [], "2a00:1450:4001:81b::"),
    ("::ffff:8.8.8.8", "", [], "8.8.8.8"),
]


@pytest.mark.parametrize(("remote", "forwarded", "proxies", "expected"), ADDRESSES)
def test_whom_to_count(remote, forwarded, proxies, expected):
    request = RequestFactory().get("/", REMOTE_ADDR=remote, HTTP_X_FORWARDED_FOR=forwarded)
    with override_settings(WAGTAIL_CLIENT_BILLING=settings_with(TRUSTED_PROXIES=proxies)):
        assert limits.client_address(request) == expected


def test_a_made_up_header_does_not_open_a_new_window(make_bill, monkeypatch):
    monkeypatch.setattr(limits, "PAY_FROM_ADDRESS", limits.Limit("few", 2))
    codes = []
    for number in range(3):
        # A bill that cannot be paid, so that nobody is asked.
        bill = make_bill(status="deleted")
        response = Client().post(
            address("checkout", bill),
            REMOTE_ADDR="8.8.8.8",
            HTTP_X_FORWARDED_FOR=f"9.9.9.{number}",
        )
        codes.append(response.status_code)
    assert codes[-1] == 429
    assert 429 not in codes[:-1]


def test_behind_an_unnamed_proxy_clients_do_not_share_a_limit(make_bill, monkeypatch):
    monkeypatch.setattr(limits, "PAY_FROM_ADDRESS", limits.Limit("few", 2))
    for _each in range(4):
        bill = make_bill(status="deleted")
        response = Client().post(address("checkout", bill), REMOTE_ADDR="10.0.0.1")
        assert response.status_code != 429
