"""Says the amount of the form back as money while it is typed."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import render
from django.views import View

from ..permissions import may
from .amounts import said_back


class SaidBackView(View):
    """Answers with a piece of the form; reads nothing but what was sent, and writes nothing.

    The form posts itself here, since in an address the client's e-mail would end up in the logs
    of web servers.
    """

    http_method_names = ["get", "post", "head", "options"]

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(may(request.user, action) for action in ("add", "change", "refund")):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.answer(request.GET)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.answer(request.POST)

    def answer(self, data: Any) -> HttpResponse:
        sent = (data.get(name, "") for name in ("amount", "currency", "billing_type"))
        return render(
            self.request,
            "wagtail_client_billing/admin/includes/said_back.html",
            {"said_back": said_back(*sent)},
        )
