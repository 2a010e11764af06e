from django.db import migrations
from django.db.models import F


def name_intents(apps, schema_editor):
    """A one-time payment's source is its PaymentIntent, which refunds are asked for by."""
    payments = apps.get_model("wagtail_client_billing", "Payment").objects
    payments.filter(source__startswith="pi_", intent_id="").update(intent_id=F("source"))


class Migration(migrations.Migration):
    dependencies = [("wagtail_client_billing", "0003_payments_for_life")]

    operations = [migrations.RunPython(name_intents, migrations.RunPython.noop)]
