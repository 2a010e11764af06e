"""What every public page has in common: who may see it, and what its headers say."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static

View = Callable[..., HttpResponse]


def public(view: View) -> View:
    """A page for people without a login, outside of ``ATOMIC_REQUESTS``, with safe headers.

    Outside of a transaction since pages speak to Stripe, which must not happen inside of one.
    """

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        for name, value in safe_headers().items():
            response.headers[name] = value
        if response.status_code >= 400:
            # Django would log the path, and the path holds the token.
            response._has_been_logged = True  # type: ignore[attr-defined]
        return response

    return login_not_required(transaction.non_atomic_requests(wrapper))


def safe_headers() -> dict[str, str]:
    """The headers; a project's own middleware leaves headers alone that are there already."""
    return {
        # Not no-referrer: Chromium then posts "Origin: null", which Django's CSRF check refuses.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "private, no-store",
        "X-Robots-Tag": "noindex",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": content_security_policy(),
    }


def content_security_policy() -> str:
    """The pages' own policy. It names no form-action: Chromium applies that to the redirect that
    follows a POST, and ours leads to Stripe."""
    styles = " ".join(["'self'", *static_origin()])
    images = " ".join(["'self'", *static_origin(), "data:"])
    return (
        f"default-src 'none'; style-src {styles}; img-src {images}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def static_origin() -> list[str]:
    """The origin of the static files, where that is not the page's own."""
    parts = urlsplit(static("wagtail_client_billing/"))
    return [f"{parts.scheme or 'https'}://{parts.netloc}"] if parts.netloc else []
