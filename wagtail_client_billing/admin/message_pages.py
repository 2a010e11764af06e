"""The pages of one message: its words, whether it is sent, and what it looks like."""

from typing import Any

from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages
from wagtail.log_actions import log

from ..mail.compose import compose
from ..mail.kinds import ALWAYS_ON
from ..mail.wording import placeholders_of
from ..models import EmailDelivery, MailServer, MessageSettings
from .message_form import MessageForm
from .message_list import WHEN, language_names, message_name
from .message_samples import Sample, sample_of
from .pages import AgencyPage
from .urls import MESSAGES_TAB, admin_url, agency_settings_url

# What a message contains was written by many people: nothing in it may run, load or be sent.
HTML_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox"
)


class MessagePage(AgencyPage):
    """A page about one kind of message."""

    header_icon = "mail"
    kind: str

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.kind = kwargs["kind"]
        if self.kind not in EmailDelivery.Kind.values:
            raise Http404

    def get_page_subtitle(self) -> str:
        return message_name(self.kind)

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        tab = {"url": agency_settings_url(MESSAGES_TAB), "label": _("Messages")}
        *before, here = super().get_breadcrumbs_items()
        return [*before, tab, here]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            when=WHEN[self.kind], back_url=agency_settings_url(MESSAGES_TAB), **kwargs
        )


class MessageInLanguagePage(MessagePage):
    """The same in one of the languages that messages are written in."""

    language: str
    name: str

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.language = kwargs["language"]
        if self.language not in language_names():
            raise Http404

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            language=self.language,
            languages=[
                (code, name, admin_url(self.name, self.kind, code))
                for code, name in language_names().items()
            ],
            edit_url=admin_url("message", self.kind, self.language),
            preview_url=admin_url("message_preview", self.kind, self.language),
            **kwargs,
        )


class MessageView(MessageInLanguagePage):
    """The agency's own words."""

    template_name = "wagtail_client_billing/admin/message.html"
    page_title = gettext_lazy("Message")
    name = "message"

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        row = MessageSettings.objects.filter(kind=self.kind).first()
        words = row.texts.get(self.language, {}) if row else {}
        return self.show(MessageForm(kind=self.kind, initial=words))

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        form = MessageForm(request.POST, kind=self.kind)
        if not form.is_valid():
            messages.error(request, _("Nothing was changed. Please correct the errors."))
            return self.show(form)
        row = form.save(self.language)
        data = {"language": self.language}
        log(instance=row, action="client_billing.message_words", user=request.user, data=data)
        messages.success(request, _("The message was saved."))
        return HttpResponseRedirect(admin_url("message_preview", self.kind, self.language))

    def show(self, form: MessageForm) -> HttpResponse:
        known = [f"{{{each}}}" for each in placeholders_of(self.kind)]
        return self.render_to_response(self.get_context_data(form=form, placeholders=known))


class SwitchView(MessagePage):
    """Whether messages of this kind are sent."""

    template_name = "wagtail_client_billing/admin/confirm.html"
    page_title = gettext_lazy("Messages")

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.on = kwargs["to"] == "on"
        if self.kind in ALWAYS_ON:
            raise Http404

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        facts = {"message": message_name(self.kind)}
        words = (
            _("Send “%(message)s” from now on?")
            if self.on
            else _("Send “%(message)s” no more? What waits to be sent is left out as well.")
        )
        return super().get_context_data(
            sentences=[words % facts, WHEN[self.kind]],
            button=_("Switch on") if self.on else _("Switch off"),
            next_url=agency_settings_url(MESSAGES_TAB),
            **kwargs,
        )

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        row, _made = MessageSettings.objects.update_or_create(
            kind=self.kind, defaults={"enabled": self.on}
        )
        action = "message_on" if self.on else "message_off"
        log(instance=row, action=f"client_billing.{action}", user=request.user)
        words = _("“%(message)s” is sent.") if self.on else _("“%(message)s” is no longer sent.")
        messages.success(request, words % {"message": message_name(self.kind)})
        # Not where somebody comes from: an address without its tab would open the first one.
        return HttpResponseRedirect(agency_settings_url(MESSAGES_TAB))


class PreviewView(MessageInLanguagePage):
    """What the message looks like, with real facts that the user may see."""

    template_name = "wagtail_client_billing/admin/message_preview.html"
    page_title = gettext_lazy("Preview")
    name = "message_preview"
    http_method_names = ["get", "head", "options"]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        sample = self.sample()
        context = self.get_context_data(sample=sample)
        if sample is not None:
            message = compose(sample.delivery, MailServer.in_use())
            context |= {
                "message": message,
                "reply_to": ", ".join(message.reply_to),
                "html_url": admin_url("message_html", self.kind, self.language),
                "about": sample.delivery.request,
            }
        response = self.render_to_response(context)
        add_never_cache_headers(response)
        return response

    def sample(self) -> Sample | None:
        return sample_of(self.kind, self.language, self.request.user)


class PreviewHtmlView(PreviewView):
    """The HTML part by itself, for the sandboxed frame."""

    found: Sample

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        sample = self.sample()
        if sample is None:
            raise Http404
        self.found = sample

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        html, _type = compose(self.found.delivery, MailServer.in_use()).alternatives[0]
        response = HttpResponse(html, content_type="text/html; charset=utf-8")
        response["Content-Security-Policy"] = HTML_POLICY
        response["X-Frame-Options"] = "SAMEORIGIN"
        response["X-Content-Type-Options"] = "nosniff"
        response["Referrer-Policy"] = "no-referrer"
        add_never_cache_headers(response)
        return response


def message_patterns() -> list[Any]:
    """Below the viewset's prefix."""
    one = "account/messages/<str:kind>/"
    return [
        path(f"{one}on/", SwitchView.as_view(), {"to": "on"}, name="message_on"),
        path(f"{one}off/", SwitchView.as_view(), {"to": "off"}, name="message_off"),
        path(f"{one}in/<str:language>/", MessageView.as_view(), name="message"),
        path(f"{one}in/<str:language>/preview/", PreviewView.as_view(), name="message_preview"),
        path(
            f"{one}in/<str:language>/preview/html/",
            PreviewHtmlView.as_view(),
            name="message_html",
        ),
    ]
