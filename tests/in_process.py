"""Stripe's stand-in without a socket: for tests that take many steps and have no time.

``InProcessStripe`` takes the place of the SDK's ``stripe.RequestsClient``; ``deliver`` that of the
thread that sends webhooks. The SDK, the sandbox and our views are the real ones.
"""

import contextlib
from collections.abc import Callable, Collection
from urllib.parse import urlsplit
from wsgiref.handlers import format_date_time

import stripe
from django.http import HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import resolve
from requests.structures import CaseInsensitiveDict

from tests.exchanges import ValidateExchanges
from tests.sandbox_server import real_time
from wagtail_client_billing.sandbox import api, books, deliveries, due


class InProcessStripe(stripe.HTTPClient):
    """Hands each request of the SDK to the sandbox's view, in the URLconf that is in force.

    A lost answer and an answer that comes later than ``timeout`` (seconds, or seconds to connect
    and to read) are an ``APIConnectionError``, as with a socket. Nothing sleeps, not even the SDK
    before it repeats a request.
    """

    name = "in_process"

    def __init__(self, timeout=80, **options):
        super().__init__(**options)
        self._reads_for = timeout[1] if isinstance(timeout, tuple) else timeout

    def request(self, method, url, headers, post_data=None, **usage):
        given = {**(headers or {}), "Host": urlsplit(url).netloc}
        content_type = given.pop("Content-Type", "application/octet-stream")
        body = post_data.encode() if isinstance(post_data, str) else post_data or b""
        request = RequestFactory().generic(
            method.upper(),
            _path(url),
            body,
            content_type=content_type,
            headers=given,
            **{"wsgi.multithread": True},
        )
        with _counted_pauses() as pauses:
            response = ValidateExchanges(_answer)(request)
        if response.streaming or sum(pauses) > self._reads_for:
            raise stripe.APIConnectionError("Nobody answered.", should_retry=True)
        answered = {**response.headers, "Date": format_date_time(real_time())}
        return response.content, response.status_code, CaseInsensitiveDict(answered)

    def _sleep_time_seconds(self, num_retries):
        return 0

    def close(self):
        pass


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _answer(request) -> HttpResponseBase:
    view, args, options = resolve(request.path)
    return view(request, *args, **options)


@contextlib.contextmanager
def _counted_pauses():
    """The seconds that slow answers take, instead of taking them."""
    pauses: list[float] = []
    before, api.pause = api.pause, pauses.append
    try:
        yield pauses
    finally:
        api.pause = before


Order = Callable[[list], list]


def deliver(
    order: str | Order | None = None, drop: Collection[str] = (), repeat: Collection[str] = ()
) -> list[tuple[str, int]]:
    """Hands every webhook that is due, or was refused before, to our views at once.

    ``order`` is "oldest" (the default), "newest", "shuffled", or a function that arranges the
    list of deliveries (rows with ``event`` and ``type``). ``drop`` and ``repeat`` name events by
    id or by type: those never come, or come twice. Returns type and HTTP status of all that came.
    """
    due.apply()
    by_name = order if isinstance(order, str) else "oldest"
    with books.read() as db:
        rows = deliveries.waiting(db, by_name, ignore_back_off=True)
    came = []
    for row in order(list(rows)) if callable(order) else rows:
        names = {row["event"], row["type"]}
        if names & set(drop):
            deliveries.swallow(row)
            continue
        statuses: list[int] = []
        times = 2 if names & set(repeat) else 1
        deliveries.try_once(row, _posting(times, statuses))
        came += [(row["type"], status) for status in statuses]
    return came


def _posting(times: int, statuses: list[int]) -> Callable[[str, str, str], int]:
    """Posts so many times, and keeps what was answered."""

    def post(url: str, body: str, signature: str) -> int:
        for _ in range(times):
            answer = Client(enforce_csrf_checks=True).post(
                _path(url),
                data=body,
                content_type="application/json",
                headers={"stripe-signature": signature, "host": urlsplit(url).netloc},
            )
            statuses.append(answer.status_code)
        return statuses[-1]

    return post
