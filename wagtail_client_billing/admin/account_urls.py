"""The addresses of the pages about the agency's Stripe account."""

from typing import Any

from django.db import transaction
from django.urls import path
from django.views.decorators.debug import sensitive_post_parameters

from . import account_changes, connecting, copies, health, mail_panel, onboarding


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
        path(
            "account/<int:pk>/onboarding/",
            outside(onboarding.ContinueView.as_view()),
            name="onboarding",
        ),
        path(
            "account/<int:pk>/onboarding/refresh/",
            outside(onboarding.RefreshView.as_view()),
            name="onboarding_refresh",
        ),
        path(
            "account/<int:pk>/onboarding/return/",
            outside(onboarding.ReturnView.as_view()),
            name="onboarding_return",
        ),
        path("account/<int:pk>/start-over/", onboarding.StartOverView.as_view(), name="start_over"),
        path(
            "account/oauth/callback/",
            outside(onboarding.CallbackView.as_view()),
            name="oauth_callback",
        ),
        path("account/<int:pk>/unlink/", outside(connecting.UnlinkView.as_view()), name="unlink"),
        path(
            "account/<int:pk>/real/",
            outside(copies.ConfirmHostView.as_view()),
            name="confirm_host",
        ),
        path("account/<int:pk>/forget/", outside(copies.ForgetView.as_view()), name="forget"),
        path("account/health/", outside(health.HealthView.as_view()), name="health"),
        path("account/mail/test/", outside(mail_panel.TestMailView.as_view()), name="test_mail"),
        path("account/health/try-again/", health.ReplayView.as_view(), name="replay"),
    ]
