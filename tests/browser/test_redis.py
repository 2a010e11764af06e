"""Redis as Django-Q's broker and as the cache; and what is left when it goes away."""

import pytest
from playwright.sync_api import expect

from .processes import Demo, Redis

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    redis = Redis(tmp_path_factory.mktemp("redis"))
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()


@pytest.fixture(scope="module")
def demo(prepared, redis, tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("on-redis"), REDIS_URL=redis.url)
    demo.prepare_from(prepared)
    try:
        demo.start()
        yield demo
    finally:
        demo.stop()


def test_a_bill_is_paid_over_redis_and_survives_its_end(editor, client_of, demo, redis, books):
    editor.send("rita@customer.example")
    client = client_of("rita@customer.example")
    client.open_bill()
    client.go_to_checkout()
    client.pay()
    editor.until_row("rita@customer.example", "Paid")

    editor.go_to_billing()
    dialog = editor.open_dialog()
    redis.stop()
    editor.fill_in(dialog, "ralf@customer.example", "30")
    editor.press("Send Billing Request", within=dialog)
    expect(editor.page.get_by_text("is queued for ralf@customer.example")).to_be_visible()
    expect(editor.row("ralf@customer.example")).to_contain_text("E-mail queued")
    assert not books.mails("ralf@customer.example")

    demo.manage("client_billing_sweep")
    client = client_of("ralf@customer.example")
    client.open_mail()
    editor.until_row("ralf@customer.example", "Pending", without="E-mail")
