"""The agency's own words in one message and one language."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..mail.wording import PARTS, placeholders_of, unknown_placeholders
from ..models import MessageSettings
from .fields import OneLineField


class MessageForm(forms.Form):
    """Subject, greeting and note; all may be left blank."""

    subject = OneLineField(
        label=gettext_lazy("Subject"),
        max_length=150,
        required=False,
        help_text=gettext_lazy("Leave blank for ours. In test mode TEST comes before it."),
    )
    greeting = forms.CharField(
        label=gettext_lazy("Greeting"),
        max_length=300,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Before our text."),
    )
    note = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=gettext_lazy("After our text. Plain text; line breaks are kept."),
    )

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind

    def _known(self, name: str) -> str:
        text = self.cleaned_data[name]
        unknown = unknown_placeholders(self.kind, text)
        if unknown:
            known = ", ".join(f"{{{each}}}" for each in placeholders_of(self.kind))
            shown = ", ".join(each[:40] for each in unknown[:5])
            if not known:
                words = _("Nothing in braces can be filled in here: %(unknown)s.")
            else:
                words = _("%(unknown)s cannot be filled in. You can write %(known)s.")
            raise ValidationError(words % {"unknown": shown, "known": known}, code="placeholder")
        return text

    def clean_subject(self) -> str:
        return self._known("subject")

    def clean_greeting(self) -> str:
        return self._known("greeting")

    def clean_note(self) -> str:
        return self._known("note")

    def save(self, language: str) -> MessageSettings:
        """Keeps the words of one language; those of the others stay as they are."""
        words = {part: self.cleaned_data[part] for part in PARTS if self.cleaned_data[part]}
        with transaction.atomic():
            MessageSettings.objects.get_or_create(kind=self.kind)
            row = MessageSettings.objects.select_for_update().get(kind=self.kind)
            row.texts = {code: each for code, each in row.texts.items() if code != language}
            if words:
                row.texts[language] = words
            row.save(update_fields=["texts"])
        return row
