"""Our webhook view against the least that such a view must do; prints a ratio."""

import hashlib
import hmac
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
EVENTS = 200
SECRET = "whsec_benchmark"


def prepare():
    """A database of its own, gone at the end."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    os.environ.pop("DATABASE_URL", None)
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    folder = tempfile.TemporaryDirectory()
    settings.DATABASES["default"]["NAME"] = str(Path(folder.name) / "benchmark.sqlite3")
    call_command("migrate", verbosity=0)
    return folder


def endpoint():
    from wagtail_client_billing import sealing
    from wagtail_client_billing.models import StripeConnection, WebhookEndpoint

    connection = StripeConnection.objects.create(
        livemode=False, flow="restricted_key", account_id="acct_benchmark"
    )
    return WebhookEndpoint.objects.create(
        connection=connection,
        livemode=False,
        url="http://localhost/",
        idempotency_key="benchmark",
        sealed_secrets=[sealing.seal(SECRET)],
        state="active",
    )


def event(number):
    told = {
        "id": f"evt_{number}",
        "object": "event",
        "type": "checkout.session.completed",
        "livemode": False,
        "data": {"object": {"id": f"cs_test_{number}", "metadata": {}, "filler": "x" * 1500}},
    }
    return json.dumps(told)


def signed(body):
    moment = int(time.time())
    digest = hmac.new(SECRET.encode(), f"{moment}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def minimal(request):
    """Signature by the standard library, one row."""
    from django.http import HttpResponse

    from wagtail_client_billing.models import StripeEvent

    parts = dict(part.split("=", 1) for part in request.headers["Stripe-Signature"].split(","))
    body = request.body
    expected = hmac.new(
        SECRET.encode(), f"{parts['t']}.".encode() + body, hashlib.sha256
    ).hexdigest()
    if not hmac.compare_digest(expected, parts["v1"]):
        return HttpResponse(status=400)
    told = json.loads(body)
    StripeEvent.objects.create(
        endpoint_id=minimal.endpoint, event_id=told["id"], type=told["type"], livemode=False
    )
    return HttpResponse()


def seconds(call, first):
    bodies = [event(first + number) for number in range(EVENTS)]
    headers = [signed(body) for body in bodies]
    start = time.perf_counter()
    for body, header in zip(bodies, headers, strict=True):
        answer = call(body, header)
        if answer.status_code != 200:
            raise SystemExit(f"The view answered {answer.status_code}")
    return time.perf_counter() - start


def main():
    folder = prepare()
    from django.test import Client
    from django.urls import clear_url_caches, path, reverse
    from django.views.decorators.csrf import csrf_exempt

    from tests import urls

    row = endpoint()
    minimal.endpoint = row.pk
    urls.urlpatterns.insert(0, path("least/", csrf_exempt(minimal), name="least"))
    clear_url_caches()
    client = Client()

    def posting(url):
        return lambda body, header: client.post(
            url, body, content_type="application/json", headers={"stripe-signature": header}
        )

    ours = posting(reverse("client_billing:webhook", args=[row.uuid]))
    least = posting(reverse("least"))
    seconds(ours, 0)
    seconds(least, EVENTS)
    ratios = []
    for number in range(1, ROUNDS + 1):
        first = number * 10 * EVENTS
        ratios.append(seconds(ours, first) / seconds(least, first + EVENTS))
    middle = statistics.median(ratios)
    sys.stdout.write(
        f"our webhook view takes {middle:.2f} times the least such view "
        f"[{min(ratios):.2f} to {max(ratios):.2f}], {ROUNDS} rounds of {EVENTS} events\n"
    )
    folder.cleanup()


if __name__ == "__main__":
    main()
