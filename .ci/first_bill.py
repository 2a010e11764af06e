"""first_bill.py PORT: in a stock project with its server up, sends a bill and opens its link.

Goes through the code that the admin goes through: the key is probed over HTTP, the account stored,
the request created, the mail sent by the sweep, and the link taken from that mail.
"""

import contextlib
import io
import os
import re
import sys
import time
import urllib.request

import django

PORT = int(sys.argv[1])
HERE = f"http://localhost:{PORT}"


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, answer.read().decode()


def wait_for_server() -> None:
    for _ in range(100):
        try:
            get(f"{HERE}/admin/login/")
        except OSError:
            time.sleep(0.3)
        else:
            return
    sys.exit("The server does not answer")


sys.path.insert(0, os.getcwd())
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings.dev")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from wagtail.models import Site  # noqa: E402

from wagtail_client_billing import lifecycle  # noqa: E402
from wagtail_client_billing.gateway.connect import connect_with_key  # noqa: E402

wait_for_server()
status, page = get(f"{HERE}/admin/")
assert status == 200 and "Sign in" in page, page
print(f"GET /admin/ -> {status}, asks for a login")

user = get_user_model().objects.create_superuser("agency", "agency@example.com", "demo")
site = Site.objects.get()
site.port = PORT
site.save()
connection = connect_with_key(
    key="rk_test_installation",
    livemode=False,
    country="FR",
    privacy_policy_url="https://example.com/privacy",
    terms_url="https://example.com/terms",
    user=user,
)
bill = lifecycle.create_request(
    site=site,
    connection=connection,
    email="client@example.com",
    currency="EUR",
    amount_minor=4990,
    success_url="https://example.com/thanks",
    cancel_url="https://example.com/cancelled",
    user=user,
)
# The stock project prints its mail.
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    call_command("client_billing_sweep")
mail = printed.getvalue().replace("=\n", "").replace("=3D", "=")
found = re.search(rf"{HERE}/billing/\S+", mail)
assert found, mail
status, page = get(found[0])
assert status == 200 and "49.90" in page, page
print(f"GET the payment page of {bill.number} -> {status}, asks for 49.90")
