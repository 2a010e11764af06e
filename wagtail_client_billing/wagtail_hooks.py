"""Wiring only: what Wagtail is told about us."""

from typing import Any

from django.shortcuts import redirect
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.translation import gettext as _
from wagtail import hooks
from wagtail.contrib.settings.models import register_setting

# First of all: registers the permission policies, before anything asks Wagtail for them.
from . import permissions
from .admin import audit, bulk, gate, home, report, settings
from .admin.group_permissions import SiteBillingPermissionForm
from .admin.urls import agency_settings_url
from .admin.viewset import billing_request_viewset
from .models import AgencySettings

agency_model, site_model = settings.prepare()
register_setting(agency_model, icon="cogs", order=850)
register_setting(site_model, icon="wcb-invoice", order=851)


@hooks.register("register_admin_viewset")
def register_viewset() -> Any:
    return billing_request_viewset


# Before wagtail.contrib.settings, whose URLs come with order 0.
@hooks.register("register_admin_urls", order=-10)
def register_admin_urls() -> list[Any]:
    return gate.settings_patterns()


@hooks.register("after_edit_setting")
def after_edit_setting(request: Any, saved: Any) -> Any:
    tab = settings.tab_after_saving(saved)
    return redirect(tab) if tab else None


for bulk_action in bulk.ACTIONS:
    hooks.register("register_bulk_action", bulk_action)


@hooks.register("register_group_permission_panel")
def register_group_permission_panel() -> type:
    return SiteBillingPermissionForm


@hooks.register("register_account_menu_item")
def register_account_menu_item(request: Any) -> dict[str, Any] | None:
    if not permissions.may(request.user, "change", AgencySettings):
        return None
    return {
        "url": agency_settings_url("general"),
        "label": _("Agency settings"),
        "help_text": _("Your agency's name and its Stripe account."),
    }


@hooks.register("register_log_actions")
def register_log_actions(actions: Any) -> None:
    audit.register(actions)


@hooks.register("register_reports_menu_item")
def register_reports_menu_item() -> Any:
    return report.report_menu_item()


@hooks.register("construct_homepage_summary_items")
def construct_homepage_summary_items(request: Any, items: list[Any]) -> None:
    items += home.summary_items(request)


@hooks.register("construct_homepage_panels")
def construct_homepage_panels(request: Any, panels: list[Any]) -> None:
    panels += home.panels(request)


@hooks.register("register_icons")
def register_icons(icons: list[str]) -> list[str]:
    return [*icons, "wagtail_client_billing/admin/icons/wcb-invoice.svg"]


@hooks.register("insert_global_admin_css")
def insert_global_admin_css() -> str:
    return format_html(
        '<link rel="stylesheet" href="{}">', static("wagtail_client_billing/admin.css")
    )


@hooks.register("register_client_billing_urls")
def register_client_billing_urls() -> list[Any]:
    from .public.urls import public_patterns

    return public_patterns
