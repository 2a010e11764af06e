"""The one schedule: the sweep, every minute."""

from django.apps import apps
from django.db import connections

NAME = "wagtail_client_billing.sweep"


def schedule_sweep(using: str = "default") -> None:
    """Creates the schedule once; does nothing where Django-Q is not installed or migrated.

    What an operator changed in it stays.
    """
    if not apps.is_installed("django_q"):
        return
    schedule = apps.get_model("django_q", "Schedule")
    tables = connections[using].introspection.table_names()
    if schedule._meta.db_table not in tables:
        return
    schedules = schedule.objects.using(using)
    # Names are not unique there: two may stand after two migrations at once, and do no harm.
    if not schedules.filter(name=NAME).exists():
        schedules.create(
            name=NAME,
            func="wagtail_client_billing.tasks.sweep",
            schedule_type="I",
            minutes=1,
            repeats=-1,
        )
