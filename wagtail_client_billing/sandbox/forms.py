"""The forms of the control pages."""

from __future__ import annotations

from django import forms

from . import currencies, faults, keys


class KeyForm(forms.Form):
    """A further key for an account."""

    account = forms.ChoiceField()
    mode = forms.ChoiceField(choices=[("test", "Test"), ("live", "Live")])
    without = forms.MultipleChoiceField(
        label="Rights that the key lacks",
        choices=[(right, f"rak_{right}") for right in keys.RIGHTS],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: the key may do everything. Writing implies reading.",
    )

    def __init__(self, *args, accounts, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["account"] = forms.ChoiceField(
            choices=[(one["id"], f"{one['name']} ({one['id']})") for one in accounts]
        )


class AccountForm(forms.Form):
    """What the API says about an account."""

    name = forms.CharField(max_length=100)
    country = forms.RegexField("^[A-Za-z]{2}$", max_length=2, help_text="Two letters")
    default_currency = forms.ChoiceField(
        label="Currency", choices=[(code, code.upper()) for code in sorted(currencies.KNOWN)]
    )
    charges_enabled = forms.BooleanField(label="May take payments", required=False)
    details_submitted = forms.BooleanField(label="Onboarding finished", required=False)


class ClockForm(forms.Form):
    """How far the clock moves."""

    minutes = forms.IntegerField(label="Minutes", min_value=1, max_value=60 * 24 * 400, initial=60)


class MonthForm(forms.Form):
    """By how many months the clock moves."""

    months = forms.IntegerField(min_value=1, max_value=36)


class RefundForm(forms.Form):
    """How much goes back, as people write it; nothing: all that is left."""

    amount = forms.DecimalField(required=False, min_value=0, max_digits=15, decimal_places=3)


class SlowRefundsForm(forms.Form):
    """Whether new refunds wait."""

    slow = forms.BooleanField(label="New refunds stay pending", required=False)


class FaultForm(forms.Form):
    """A fault to switch on."""

    kind = forms.ChoiceField(
        label="Fault",
        choices=[
            ("500", "500: error in the work (remembered by the idempotency key)"),
            ("503", "503: service unavailable"),
            ("429", "429: too many requests"),
            ("401", "401: the key is refused"),
            ("lost", "Lost answer: the work is done, the connection closes"),
            ("slow", "Slow: waits before anything is looked at"),
            ("hold", "Slow: waits in the middle of the work"),
            ("swallow", "Webhooks are swallowed"),
        ],
    )
    method = forms.ChoiceField(
        choices=[("", "any"), ("GET", "GET"), ("POST", "POST"), ("DELETE", "DELETE")],
        required=False,
    )
    path = forms.CharField(
        label="Path or event type begins with",
        required=False,
        help_text="/v1/checkout/sessions, or checkout.session.completed for webhooks. Empty: all.",
    )
    times = forms.IntegerField(
        min_value=1, required=False, initial=1, help_text="Empty: until it is switched off."
    )
    delay_ms = forms.IntegerField(
        label="Delay in milliseconds",
        min_value=0,
        max_value=faults.MAX_DELAY_MS,
        required=False,
        initial=0,
    )


class HoldForm(forms.Form):
    """Whether webhooks wait, and in which order they go."""

    held = forms.BooleanField(label="Hold deliveries back", required=False)
    order = forms.ChoiceField(
        choices=[
            ("oldest", "oldest first"),
            ("newest", "newest first"),
            ("shuffled", "shuffled"),
        ]
    )
