"""What the lists of invoices have in common: search, filters and order."""

from django.db.models import QuerySet
from django.utils.functional import cached_property
from wagtail.admin.views import generic

from ..models import BillingRequest
from ..permissions import ACTIONS
from .filters import search_condition
from .tables import ordered_by


class SearchedList(generic.IndexView):
    """A list that search and filters narrow down; what is no valid filter filters nothing."""

    any_permission_required = list(ACTIONS)
    model = BillingRequest
    is_searchable = True
    default_ordering = "-created_at"
    # A list that does not show addresses does not tell by searching whose they are.
    searches_emails = True

    def get_page_title(self) -> str:
        return str(self.page_title)

    def filter_queryset(self, queryset: QuerySet[BillingRequest]) -> QuerySet[BillingRequest]:
        if not self.filters:
            return queryset
        self.filters.is_valid()
        return self.filters.filter_queryset(queryset)

    @cached_property
    def is_filtering(self) -> bool:
        return bool(self.active_filters)

    def search_queryset(self, queryset: QuerySet[BillingRequest]) -> QuerySet[BillingRequest]:
        if not self.is_searching:
            return queryset
        return queryset.filter(search_condition(self.search_query, in_emails=self.searches_emails))

    def order_queryset(self, queryset: QuerySet[BillingRequest]) -> QuerySet[BillingRequest]:
        ordering = self.ordering
        return queryset.order_by(*(ordered_by(ordering) if isinstance(ordering, str) else ordering))
