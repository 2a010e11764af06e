"""What can only be known by asking: Stripe, the broker, and the pages that clients see."""

import logging
from collections.abc import Iterator
from io import BytesIO
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from wagtail.models import Site

from ..errors import BillingError, StripeUnavailable
from ..gateway.checkup import check_up
from ..links import site_address
from ..models import StripeConnection
from .findings import Finding, ok, problem

logger = logging.getLogger(__name__)

STRIPE_HOST = "checkout.stripe.com"


def stripe() -> Iterator[Finding]:
    """Asks Stripe about every linked account; what it answers is on the connections then."""
    asked = 0
    for connection in StripeConnection.objects.active():
        try:
            check_up(connection)
            asked += 1
        except StripeUnavailable:
            yield problem(
                "stripe",
                _("Stripe cannot be reached from here."),
                _("See whether this server may connect to api.stripe.com, then check again."),
            )
            # The next account would only wait as long.
            return
        except BillingError as error:
            facts = {"account": connection, "answer": error}
            text = _("%(account)s: %(answer)s") % facts
            yield problem("stripe", text, _("See the account in Stripe's dashboard."))
    if asked:
        yield ok("stripe", _("Stripe answers."))


def broker() -> Iterator[Finding]:
    """Whether Django-Q's broker answers: without it the worker hears of nothing."""
    if not (apps.is_installed("django_q") and getattr(settings, "Q_CLUSTER", None)):
        return
    try:
        from django_q.brokers import get_broker

        reached = bool(get_broker().ping())
    except Exception:
        # Whatever library stands behind it.
        logger.warning("The broker does not answer", exc_info=True)
        reached = False
    if reached:
        yield ok("broker", _("The worker's queue can be reached."))
    else:
        yield problem(
            "broker",
            _("The worker's queue (the broker in Q_CLUSTER) cannot be reached."),
            _("Start it, or run client_billing_sweep every minute until it is back."),
        )


def policy_of_our_pages() -> Iterator[Finding]:
    """Whether a middleware puts a Content-Security-Policy on our pages that stops the way to
    Stripe: browsers hold the redirect after a press on Pay against ``form-action``.

    Goes through the project's own middleware, in this process, with a link that is none.
    """
    try:
        path = reverse("client_billing:pay", urlconf=settings.ROOT_URLCONF, args=["-"])
    except NoReverseMatch:
        return
    response = _answer(path)
    if "X-Robots-Tag" not in response.headers:
        # Not our page: a host that is not allowed here, or a middleware that leads elsewhere.
        return
    policies = [
        policy
        for name, header in response.items()
        if name.lower() == "content-security-policy"
        for policy in header.split(",")
    ]
    if all(_lets_through(policy) for policy in policies):
        yield ok("csp", _("No policy of this project stops the way from Pay to Stripe."))
    else:
        yield problem(
            "csp",
            _("A Content-Security-Policy with form-action stops clients on the way to Stripe."),
            _("Leave our pages out of it, or add https://%(host)s to form-action.")
            % {"host": STRIPE_HOST},
        )


def _answer(path: str) -> HttpResponseBase:
    site = Site.objects.filter(is_default_site=True).first()
    address = urlsplit(site_address(site) or "https://localhost")
    request = WSGIRequest(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "HTTP_HOST": address.netloc,
            "SERVER_NAME": address.hostname or "localhost",
            "SERVER_PORT": str(address.port or 443),
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": address.scheme,
            "wsgi.input": BytesIO(),
        }
    )
    handler = BaseHandler()
    # A middleware may choose a language, and leave it behind.
    with override(get_language()):
        handler.load_middleware()
        return handler.get_response(request)


def _lets_through(policy: str) -> bool:
    for directive in policy.split(";"):
        name, *sources = directive.split() or [""]
        if name.lower() == "form-action":
            return any(_is_stripe(source.lower()) for source in sources)
    return True


def _is_stripe(source: str) -> bool:
    host = source.removeprefix("https://").rstrip("/")
    return source in ("*", "https:") or host in (STRIPE_HOST, "*.stripe.com")
