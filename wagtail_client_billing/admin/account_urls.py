"""The addresses of the pages about the agency's Stripe account."""

from typing import Any

from django.db import transaction
from django.urls import path
from django.views.decorators.debug import sensitive_post_parameters

from . import account_changes, connecting


def account_patterns() -> list[Any]:
    """Below the viewset's prefix. What reaches Stripe runs outside any transaction."""
    outside = transaction.non_atomic_requests
    # An error report shows what was posted, unless it is told not to.
    hidden = sensitive_post_parameters("key", "secret")
    return [
        path("account/connect/", outside(hidden(connecting.ConnectView.as_view())), name="connect"),
        path(
            "account/<int:pk>/check/",
            outside(connecting.CheckAccountView.as_view()),
            name="check_account",
        ),
        path(
            "account/<int:pk>/key/",
            outside(hidden(account_changes.ReplaceKeyView.as_view())),
            name="replace_key",
        ),
        path(
            "account/<int:pk>/webhook/",
            outside(hidden(account_changes.WebhookView.as_view())),
            name="webhook",
        ),
        path(
            "account/<int:pk>/legal/",
            account_changes.LegalPagesView.as_view(),
            name="legal_pages",
        ),
        path("account/<int:pk>/unlink/", outside(connecting.UnlinkView.as_view()), name="unlink"),
    ]
