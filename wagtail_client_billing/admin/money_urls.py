"""The addresses of what is done about money that came."""

from typing import Any

from django.db import transaction
from django.urls import path

from . import refunding, reviewing, subscription_pages


def money_patterns() -> list[Any]:
    """Below the viewset's prefix. What reaches Stripe runs outside any transaction."""
    outside = transaction.non_atomic_requests
    subscription = "<int:pk>/subscription/<int:subscription>"
    return [
        path(
            "<int:pk>/refund/<int:payment>/",
            outside(refunding.RefundView.as_view()),
            name="refund",
        ),
        path("<int:pk>/accept/", reviewing.AcceptReviewView.as_view(), name="accept_review"),
        path("<int:pk>/dismiss/", reviewing.DismissReviewView.as_view(), name="dismiss_review"),
        path(
            f"{subscription}/cancel-now/",
            outside(subscription_pages.CancelNowView.as_view()),
            name="cancel_now",
        ),
        path(
            f"{subscription}/cancel-later/",
            outside(subscription_pages.CancelLaterView.as_view()),
            name="cancel_later",
        ),
        path(
            f"{subscription}/keep/",
            outside(subscription_pages.KeepView.as_view()),
            name="keep",
        ),
    ]
