"""Settings → Groups: which rights a group has on the billing requests of which site."""

from typing import Any

from django import forms
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from wagtail.models import GroupSitePermission, Site

from ..models import BillingRequest
from ..permissions import ACTIONS

LABELS = {
    "view": _("See"),
    "add": _("Add"),
    "change": _("Edit"),
    "delete": _("Delete"),
    "resend": _("Resend e-mail"),
    "refund": _("Refund"),
    "mark_paid": _("Mark as paid"),
}


class SiteBillingPermissionForm(forms.Form):
    """A row of boxes for each site; ticking none of them shows none of its requests."""

    template_name = "wagtail_client_billing/admin/group_permissions.html"

    def __init__(self, *args: Any, instance: Any = None, **kwargs: Any) -> None:
        kwargs["prefix"] = kwargs.get("prefix") or "client_billing_permissions"
        self.instance = instance
        content_type = ContentType.objects.get_for_model(BillingRequest)
        codenames = {f"{action}_billingrequest": action for action in ACTIONS}
        self.permissions = {
            codenames[permission.codename]: permission
            for permission in Permission.objects.filter(
                content_type=content_type, codename__in=codenames
            )
        }
        super().__init__(*args, **kwargs)
        granted = self.granted()
        chosen = {site for site, _permission in granted}
        sites = Site.objects.order_by("site_name", "hostname")
        # Of hundreds, those that somebody looks for are at the top.
        for site in sorted(sites, key=lambda site: site.pk not in chosen):
            self.fields[f"site_{site.pk}"] = forms.MultipleChoiceField(
                label=site.site_name or site.hostname,
                required=False,
                widget=forms.CheckboxSelectMultiple,
                choices=[(action, LABELS[action]) for action in ACTIONS],
                initial=[
                    action
                    for action in ACTIONS
                    if action in self.permissions
                    and (site.pk, self.permissions[action].pk) in granted
                ],
            )

    def granted(self) -> set[tuple[int, int]]:
        """Pairs of site and permission that the group has now."""
        if self.instance is None or self.instance.pk is None:
            return set()
        return set(
            GroupSitePermission.objects.filter(
                group=self.instance, permission__in=self.permissions.values()
            ).values_list("site_id", "permission_id")
        )

    def as_admin_panel(self) -> str:
        return render_to_string(
            self.template_name, {"form": self, "headings": [LABELS[action] for action in ACTIONS]}
        )

    def save(self) -> None:
        wanted = {
            (int(name.removeprefix("site_")), permission.pk)
            for name, chosen in self.cleaned_data.items()
            for action, permission in self.permissions.items()
            if action in chosen
        }
        granted = self.granted()
        GroupSitePermission.objects.bulk_create(
            [
                GroupSitePermission(group=self.instance, site_id=site, permission_id=permission)
                for site, permission in sorted(wanted - granted)
            ],
            # Whoever saved the same at the same time.
            ignore_conflicts=True,
        )
        # Of the sites that the form showed: others may have come since.
        shown = {int(name.removeprefix("site_")) for name in self.cleaned_data}
        for permission in self.permissions.values():
            taken = [
                site
                for site, granted_one in granted - wanted
                if granted_one == permission.pk and site in shown
            ]
            if taken:
                GroupSitePermission.objects.filter(
                    group=self.instance, permission=permission, site__in=taken
                ).delete()
