"""The part of Agency settings that is about the mail server.

The server is a model of its own, since Wagtail hands settings models to every front-end
template; these fields are added to the settings' form and saved in the same transaction.
"""

import ipaddress
from typing import Any

from django import forms
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from wagtail.admin.widgets import SwitchInput

from .. import lifecycle, netguard, sealing
from ..conf import billing_settings
from ..models import MailServer
from . import audit
from .fields import LongSelect, OneLineField, SecretField

PREFIX = "smtp_"
# The model's fields that are typed as they are.
TYPED = (
    "host",
    "port",
    "encryption",
    "username",
    "from_name",
    "from_email",
    "reply_to",
    "falls_back",
)
FIELDS = ("enabled", *TYPED, "password")
# With any of these the stored password would go elsewhere, or be heard by others.
LEADS_ELSEWHERE = ("host", "port", "encryption", "username")
Encryption = MailServer.Encryption


class MailAddressField(forms.EmailField):
    """An address as it stands in a header; never with a line break, which Django's may strip."""

    def clean(self, value: Any) -> Any:
        return super().clean(OneLineField(required=False).clean(value))


class MailServerFields(forms.Form):
    """Mixed into the form of ``AgencySettings``; each field is there for whoever may change it."""

    smtp_enabled = forms.BooleanField(
        label=_("Custom SMTP"),
        required=False,
        widget=SwitchInput,
        help_text=_("Send by your own mail server. Otherwise this website's default mail is used."),
    )
    smtp_host = OneLineField(
        label=_("Host"),
        max_length=253,
        required=False,
        help_text=_("Such as smtp.example.com."),
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none"}),
    )
    smtp_port = forms.IntegerField(
        label=_("Port"), required=False, initial=587, min_value=1, max_value=65535
    )
    smtp_encryption = forms.ChoiceField(
        label=_("Encryption"),
        choices=Encryption.choices,
        initial=Encryption.STARTTLS,
        required=False,
        widget=LongSelect,
    )
    smtp_username = OneLineField(
        label=_("Username"),
        max_length=255,
        required=False,
        help_text=_("Leave blank if the server asks for none."),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
        ),
    )
    smtp_password = SecretField(label=_("Password"), required=False, strip=False)
    smtp_from_name = OneLineField(label=_("From name"), max_length=100, required=False)
    smtp_from_email = MailAddressField(
        label=_("From address"),
        required=False,
        help_text=_("An address that this server may send from."),
    )
    smtp_reply_to = MailAddressField(
        label=_("Reply-to"),
        required=False,
        help_text=_("Where answers go. Leave blank to use the agency's contact e-mail."),
    )
    smtp_falls_back = forms.BooleanField(
        label=_("Use default mail when it fails"),
        required=False,
        help_text=_("Only for e-mails that your server has not begun to take."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mail_server = MailServer.current() or MailServer()
        if self.is_bound and self.add_prefix(f"{PREFIX}port") not in self.data:
            # A page without these fields says nothing of the mail server.
            for name in FIELDS:
                self.fields.pop(PREFIX + name, None)
            return
        for name in ("enabled", *TYPED):
            if PREFIX + name in self.fields:
                self.initial[PREFIX + name] = getattr(self.mail_server, name)
        if "smtp_password" in self.fields:
            # Browsers offer passwords of this website unless they are told that it is a new one.
            self.fields["smtp_password"].widget.attrs["autocomplete"] = "new-password"
            self.fields["smtp_password"].help_text = (
                gettext("Stored. Leave blank to keep it.")
                if self.mail_server.sealed_password
                else gettext("It is stored encrypted and never shown again.")
            )
        if "smtp_port" in self.fields:
            text = gettext("Allowed here: %(ports)s.")
            self.fields["smtp_port"].help_text = text % {"ports": _ports()}

    def full_clean(self) -> None:
        super().full_clean()
        if not self.is_bound or not self.errors or "smtp_password" in self.errors:
            return
        if "smtp_password" in self.fields and self.data.get(self.add_prefix("smtp_password")):
            self.add_error(
                "smtp_password",
                gettext("Enter the password again: it is not sent back to this page."),
            )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "smtp_enabled" not in self.fields:
            return data
        if not data.get("smtp_enabled"):
            # The fields are not to be seen: whatever is in them was not meant to be saved.
            for name in (*TYPED, "password"):
                self.errors.pop(PREFIX + name, None)
            return data
        self._check_server(data)
        self._check_login(data)
        return data

    def _check_server(self, data: dict[str, Any]) -> None:
        for name in ("host", "port", "encryption", "from_email"):
            if not data.get(PREFIX + name) and PREFIX + name not in self.errors:
                self.add_error(PREFIX + name, forms.Field.default_error_messages["required"])
        if (host := data.get("smtp_host")) and (sentence := _refused_host(host)):
            self.add_error("smtp_host", sentence)
        port = data.get("smtp_port")
        if port and port not in billing_settings.SMTP_PORTS:
            text = gettext("This port is not allowed here.")
            self.add_error("smtp_port", text)

    @sensitive_variables("data", "password")
    def _check_login(self, data: dict[str, Any]) -> None:
        username, password = data.get("smtp_username"), data.get("smtp_password")
        if "smtp_username" in self.errors or "smtp_password" in self.errors:
            return
        if not username:
            if password:
                self.add_error("smtp_username", gettext("Enter the username as well."))
            return
        if data.get("smtp_encryption") == Encryption.NONE:
            self.add_error(
                "smtp_encryption",
                gettext("Choose an encryption: a password is not sent without."),
            )
        if not username.isascii():
            self.add_error("smtp_username", _only_plain_letters())
        if not password:
            if not self.mail_server.sealed_password:
                self.add_error("smtp_password", gettext("Enter the password."))
            elif self._leads_elsewhere(data):
                self.add_error(
                    "smtp_password",
                    gettext(
                        "Enter the password again: it was stored for another host, port, "
                        "encryption or username."
                    ),
                )
        elif not password.isascii() or not password.isprintable():
            self.add_error("smtp_password", _only_plain_letters())
        else:
            try:
                data["smtp_sealed_password"] = sealing.seal(password)
            except sealing.BadEncryptionKey:
                self.add_error(
                    "smtp_password",
                    gettext(
                        "The password cannot be stored: an entry of ENCRYPTION_KEYS is malformed."
                    ),
                )

    def _leads_elsewhere(self, data: dict[str, Any]) -> bool:
        return any(
            data.get(PREFIX + name) != getattr(self.mail_server, name) for name in LEADS_ELSEWHERE
        )

    def save(self, commit: bool = True) -> Any:
        """Saves the settings, and the mail server with them."""
        with transaction.atomic():
            saved = super().save(commit=commit)  # type: ignore[misc]
            if commit and "smtp_enabled" in self.fields:
                self._save_server(saved)
        return saved

    def _save_server(self, settings: Any) -> None:
        data = self.cleaned_data
        # Somebody may have saved meanwhile, or made the row.
        server = MailServer.objects.select_for_update().order_by("pk").first() or MailServer()
        before = {name: getattr(server, name) for name in ("enabled", *TYPED, "sealed_password")}
        server.enabled = data["smtp_enabled"]
        if server.enabled:
            for name in TYPED:
                setattr(server, name, data[PREFIX + name])
            if not server.username:
                server.sealed_password = ""
            elif "smtp_sealed_password" in data:
                server.sealed_password = data["smtp_sealed_password"]
        changed = [name for name, value in before.items() if getattr(server, name) != value]
        if not changed:
            return
        server.changed_at = timezone.now()
        # What the last test said was said of other settings.
        server.tested_at = server.tested_by = None
        server.test_problem = ""
        server.save()
        lifecycle.mail_server_saved(server)
        names = ["password" if name == "sealed_password" else name for name in changed]
        audit.note_mail_server(self.for_user, settings, names)  # type: ignore[attr-defined]


def _ports() -> str:
    return ", ".join(str(port) for port in billing_settings.SMTP_PORTS)


def _refused_host(host: str) -> str:
    """What is wrong with a host as it was typed; empty where only a look-up can tell."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if any(letter in host for letter in "/@:?#[] "):
            return gettext("Enter the name only, without https://, user name or port.")
        return ""
    return "" if netguard.is_allowed(host) else gettext("This address is not allowed here.")


def _only_plain_letters() -> str:
    return gettext("Mail servers are sent plain letters, digits and signs only, without accents.")
