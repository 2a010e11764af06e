"""Agency settings → Email (SMTP): the tab, and trying out what it says."""

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages
from wagtail.admin.panels import FieldPanel, MultiFieldPanel, Panel

from ..limits import Limit, wait_for
from ..mail.probe import send_test, sentence_of
from ..models import AgencySettings, MailServer
from .mail_form import FIELDS, PREFIX
from .notices import mail_notices
from .pages import AgencyPage
from .panels import Tab
from .urls import EMAIL_TAB, admin_url, agency_settings_url

RIGHT = f"{AgencySettings._meta.app_label}.change_{AgencySettings._meta.model_name}"
# Counted for each person, and for all together: a mail server blocks who knocks too often.
TESTS_OF_A_USER = Limit("smtp-test", 5, seconds=300)
TESTS = Limit("smtp-test-all", 20, seconds=300)


class MailTestPanel(Panel):
    """The button, and what the last test came to."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "wagtail_client_billing/admin/panels/mail_test.html"

        def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
            context = super().get_context_data(parent_context)
            server = MailServer.objects.select_related("tested_by").order_by("pk").first()
            context.update(
                notices=mail_notices(self.request.user, on_email_tab=True),
                server=server,
                email=self.request.user.email,
                test_url=admin_url("test_mail"),
                account_url_name="wagtailadmin_account",
            )
            if server is not None and server.tested_at:
                context["sentence"] = sentence_of(server.test_problem)
                context["tester"] = _name_of(server.tested_by)
            return context


class TestMailView(AgencyPage):
    """*Send test e-mail to me*: by what is saved, and to the acting user's own address only.

    Reaches the mail server: no transaction may be open around it.
    """

    http_method_names = ["get", "post", "head", "options"]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponseRedirect(agency_settings_url(EMAIL_TAB))

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        back = HttpResponseRedirect(agency_settings_url(EMAIL_TAB))
        if not request.user.email:
            messages.error(request, _("Your account has no e-mail address to send it to."))
            return back
        wait = wait_for(TESTS_OF_A_USER, request.user.pk) or wait_for(TESTS, "")
        if wait:
            text = _("Too many test e-mails. Try again in %(seconds)d seconds.")
            messages.error(request, text % {"seconds": wait})
            return back
        send_test(request.user)
        return back


def email_tab() -> Tab:
    """Default mail or custom SMTP; whoever may not change it does not get the fields."""
    first, *others = (FieldPanel(PREFIX + name, permission=RIGHT) for name in _order())
    return Tab(
        [
            first,
            MultiFieldPanel(
                others,
                heading=gettext_lazy("Your mail server"),
                attrs={
                    "data-w-rules-target": "show",
                    "data-w-rules": json.dumps({f"{PREFIX}enabled": ["on"]}),
                },
            ),
            MailTestPanel(heading=gettext_lazy("Try it out")),
        ],
        heading=gettext_lazy("Email (SMTP)"),
        anchor=EMAIL_TAB,
        attrs={"data-controller": "w-rules", "data-action": "change->w-rules#resolve"},
        classname="wcb-tab",
    )


def _order() -> list[str]:
    """The password right after the username that it belongs to."""
    names = [name for name in FIELDS if name != "password"]
    names.insert(names.index("username") + 1, "password")
    return names


def _name_of(user: Any) -> str:
    if not isinstance(user, get_user_model()):
        return ""
    return str(user.get_full_name() or user.get_username())
