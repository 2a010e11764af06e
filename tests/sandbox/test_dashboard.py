"""The pages that stand where Stripe's dashboard does."""

import re

import pytest
import stripe
from django.test import Client

from tests.sandbox_server import SandboxServer, sandbox_books
from wagtail_client_billing.sandbox import books


@pytest.mark.parametrize(("path", "mode"), [("", "live"), ("test/", "test")])
def test_a_key_from_the_key_page_works_and_looking_stores_nothing(tmp_path, path, mode):
    with sandbox_books(tmp_path / "books.sqlite3"), SandboxServer() as server:
        page = Client().get(
            f"/sandbox/dashboard/{path}apikeys/create",
            {"permissions[]": ["rak_checkout_session_write"]},
        )
        assert "<code>checkout_session_write</code>" in page.text
        assert not books._rows("SELECT * FROM api_keys")
        (key,) = re.findall(rf"rk_{mode}_\w+", page.text)
        client = stripe.StripeClient(key, base_addresses={"api": server.base})
        assert client.v1.accounts.retrieve_current().id.startswith("acct_")


def test_other_addresses_of_the_dashboard_lead_to_the_first_page():
    for path in ("", "test/payments/pi_123"):
        answer = Client().get(f"/sandbox/dashboard/{path}")
        assert (answer.status_code, answer["Location"]) == (302, "/sandbox/")
