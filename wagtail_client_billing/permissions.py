"""Who may do what on which site.

``ACCESS_CHECK`` comes first: whoever it turns away has no client billing at all, superusers
included. Then a right counts globally (Django's permission) or for a site
(``GroupSitePermission``). Every object is reached through ``requests_for`` or ``sites_for``, so
that other sites' rows do not exist for whoever asks.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import QuerySet
from django.utils.module_loading import import_string
from wagtail.models import Site
from wagtail.permission_policies import ModelPermissionPolicy
from wagtail.permission_policies.sites import SitePermissionPolicy

from .compat import register_permission_policy, set_setting_policy
from .conf import billing_settings
from .models import AgencySettings, BillingRequest, SiteBillingSettings
from .models.billing import BillingRequestQuerySet

# Rights that make somebody one of those who bill.
WORK = ("add", "change", "delete", "resend", "refund", "mark_paid")
ACTIONS = ("view", *WORK)


def has_access(user: Any) -> bool:
    """What ``ACCESS_CHECK`` says; without one, everybody has access.

    Asked once for each user object, which lives as long as a request: a listing would otherwise
    run the operator's check for every row.
    """
    path = billing_settings.ACCESS_CHECK
    if not path:
        return True
    known = user.__dict__.get("_client_billing_access")
    if known is None or known[0] != path:
        check: Callable[[Any], Any] = import_string(path)
        known = (path, bool(check(user)))
        user.__dict__["_client_billing_access"] = known
    return bool(known[1])


class AccessGate:
    """Puts ``ACCESS_CHECK`` in front of a permission policy of Wagtail's."""

    def user_has_permission(self, user: Any, action: str) -> bool:
        return has_access(user) and super().user_has_permission(user, action)  # type: ignore[misc]

    def user_has_any_permission(self, user: Any, actions: Iterable[str]) -> bool:
        return has_access(user) and super().user_has_any_permission(  # type: ignore[misc]
            user, actions
        )

    def user_has_permission_for_instance(self, user: Any, action: str, instance: Any) -> bool:
        return has_access(user) and super().user_has_permission_for_instance(  # type: ignore[misc]
            user, action, instance
        )

    def user_has_any_permission_for_instance(
        self, user: Any, actions: Iterable[str], instance: Any
    ) -> bool:
        return has_access(user) and super().user_has_any_permission_for_instance(  # type: ignore[misc]
            user, actions, instance
        )


class AgencyPolicy(AccessGate, ModelPermissionPolicy):
    """Rights on the agency settings: global only."""


class PerSitePolicy(AccessGate, SitePermissionPolicy):
    """Rights on what belongs to a site."""

    def sites_user_has_any_permission_for(
        self, user: Any, actions: Iterable[str]
    ) -> QuerySet[Site]:
        if not has_access(user):
            return Site.objects.none()
        return super().sites_user_has_any_permission_for(user, list(actions))

    def instances_user_has_any_permission_for(self, user: Any, actions: Iterable[str]) -> Any:
        actions = list(actions)
        if not (user.is_authenticated and user.is_active and has_access(user)):
            return self.model._default_manager.none()
        if self.has_global(user, actions):
            # Wagtail's own filters by site, and so loses the bills whose site was deleted.
            return self.model._default_manager.all()
        sites = self.sites_user_has_any_permission_for(user, actions)
        return self.model._default_manager.filter(site__in=sites.values("pk"))

    def has_global(self, user: Any, actions: Iterable[str]) -> bool:
        """Whether one of the rights holds for all sites, and for bills that have none."""
        return any(user.has_perm(self._get_permission_name(action)) for action in actions)

    def user_has_global(self, user: Any, actions: Iterable[str]) -> bool:
        """The same for anybody: also people who are logged out, gone or turned away."""
        return bool(user.is_authenticated and user.is_active) and (
            has_access(user) and self.has_global(user, actions)
        )


request_policy = PerSitePolicy(BillingRequest)
agency_policy = AgencyPolicy(AgencySettings)
site_settings_policy = PerSitePolicy(SiteBillingSettings)

register_permission_policy(BillingRequest, request_policy)
set_setting_policy(AgencySettings, agency_policy)
set_setting_policy(SiteBillingSettings, site_settings_policy)


def may(user: Any, action: str, obj: Any = None) -> bool:
    """Whether the user may do this.

    ``obj`` is a billing request or a site; without one the question is "on any site at all?".
    With ``AgencySettings`` (or ``SiteBillingSettings`` and a site's row of it) the question is
    about those settings.
    """
    if obj is AgencySettings or isinstance(obj, AgencySettings):
        return agency_policy.user_has_permission(user, action)
    if isinstance(obj, SiteBillingSettings):
        return site_settings_policy.user_has_permission_for_instance(user, action, obj)
    actions = _implied_by((action,))
    if obj is None:
        return request_policy.user_has_any_permission(user, actions)
    return request_policy.user_has_any_permission_for_instance(user, actions, obj)


def requests_for(user: Any, *actions: str) -> BillingRequestQuerySet:
    """The billing requests on which the user may do one of these; without any, may see.

    Requests of a deleted site belong to those who hold the right globally.
    """
    return request_policy.instances_user_has_any_permission_for(
        user, _implied_by(actions or ("view",))
    )


def works_on(user: Any, obj: Any = None) -> bool:
    """Whether the user belongs to those who bill, on this request or site, or on any at all.

    Whoever may only see one site's requests is its client: to them belongs what they were asked
    for and what they paid, and nothing of how the agency works.
    """
    if request_policy.user_has_global(user, ("view",)):
        return True
    if obj is None:
        return request_policy.user_has_any_permission(user, WORK)
    return request_policy.user_has_any_permission_for_instance(user, WORK, obj)


def requests_worked_on_by(user: Any) -> BillingRequestQuerySet:
    """The billing requests that the user sees with all that is known of them."""
    if request_policy.user_has_global(user, ("view",)):
        return request_policy.instances_user_has_any_permission_for(user, ("view",))
    return request_policy.instances_user_has_any_permission_for(user, WORK)


def sites_worked_on_by(user: Any) -> QuerySet[Site]:
    """The sites whose requests the user sees with all that is known of them."""
    actions = ("view",) if request_policy.user_has_global(user, ("view",)) else WORK
    return request_policy.sites_user_has_any_permission_for(user, actions).order_by(
        "site_name", "hostname", "port"
    )


def sites_for(user: Any, *actions: str) -> QuerySet[Site]:
    """The sites on which the user may do one of these; without any, may see requests."""
    return request_policy.sites_user_has_any_permission_for(
        user, _implied_by(actions or ("view",))
    ).order_by("site_name", "hostname", "port")


def _implied_by(actions: Iterable[str]) -> tuple[str, ...]:
    """Who may do anything to a request may also see it."""
    return ACTIONS if "view" in actions else tuple(actions)
