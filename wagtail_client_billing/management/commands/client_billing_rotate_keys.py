"""Seals every stored secret with the newest key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from wagtail_client_billing import sealing
from wagtail_client_billing.models import MailServer, StripeConnection, WebhookEndpoint


class Command(BaseCommand):
    help = (
        "Seals every stored secret with the first of ENCRYPTION_KEYS. After that the older keys "
        "can be taken out. Fails if there are secrets that no key opens."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable: list[str] = []
        sealed = 0
        for connection in StripeConnection.objects.exclude(sealed_key=""):
            try:
                new_key = sealing.rotate(connection.sealed_key)
            except sealing.SecretUnreadable:
                unreadable.append(f"the key of {connection}")
                continue
            # Only what was read: somebody may have typed a new key meanwhile.
            same = StripeConnection.objects.filter(
                pk=connection.pk, sealed_key=connection.sealed_key
            )
            sealed += same.update(sealed_key=new_key)
        for endpoint in WebhookEndpoint.objects.exclude(sealed_secrets=[]):
            try:
                new_secrets = [sealing.rotate(secret) for secret in endpoint.sealed_secrets]
            except sealing.SecretUnreadable:
                unreadable.append(f"a secret of webhook endpoint {endpoint}")
                continue
            same_secrets = WebhookEndpoint.objects.filter(
                pk=endpoint.pk, sealed_secrets=endpoint.sealed_secrets
            )
            sealed += same_secrets.update(sealed_secrets=new_secrets)
        for server in MailServer.objects.exclude(sealed_password=""):
            try:
                new_password = sealing.rotate(server.sealed_password)
            except sealing.SecretUnreadable:
                unreadable.append(f"the password of mail server {server}")
                continue
            same_server = MailServer.objects.filter(
                pk=server.pk, sealed_password=server.sealed_password
            )
            sealed += same_server.update(sealed_password=new_password)
        if options["verbosity"]:
            self.stdout.write(f"Sealed anew: {sealed}.")
        if unreadable:
            raise CommandError(f"No known key opens {', '.join(unreadable)}.")
