"""The addresses of the pages about the agency's Stripe account."""

from typing import Any

from django.db import transaction
from django.urls import path

from . import connecting, onboarding


def account_patterns() -> list[Any]:
    """Below the viewset's prefix. What reaches Stripe runs outside any transaction."""
    outside = transaction.non_atomic_requests
    return [
        path("account/connect/", outside(connecting.ConnectView.as_view()), name="connect"),
        path(
            "account/<int:pk>/check/",
            outside(connecting.CheckAccountView.as_view()),
            name="check_account",
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
    ]
