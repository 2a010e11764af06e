"""The same in French: the admin in the editor's language, page and mail in the site's."""

import re

import pytest
from playwright.sync_api import expect

from .people import NUMBER, Agency

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def test_a_french_site_writes_in_french(connected, windows, client_of, demo):
    email = "francois@client.example"
    agency = windows(Agency, locale="fr-FR").log_in()
    agency.choose("Paramètres", "Facturation clients")
    agency.page.get_by_label("Site:").select_option("Hollis & Vane Lawyers")
    expect(agency.page.get_by_label("Site:").locator(":checked")).to_have_text(
        re.compile("Hollis & Vane Lawyers")
    )
    agency.page.get_by_role("tab", name="Valeurs par défaut").click()
    agency.page.get_by_role("combobox", name="Langue", exact=True).select_option("fr")
    agency.page.get_by_role("button", name="Enregistrer").click()
    expect(agency.page.locator(".messages .success")).to_be_visible()

    agency.page.get_by_role("tab", name="Demandes de paiement").click()
    agency.press("Ajouter une demande de paiement")
    dialog = agency.page.get_by_role("dialog")
    dialog.get_by_label("E-mail").fill(email)
    dialog.get_by_label("Montant").fill("1 234,56")
    agency.press("Envoyer la demande de paiement", within=dialog)
    expect(agency.page.get_by_text(NUMBER).first).to_be_visible()
    agency.until_row(email, "En attente", "1 234,56 £")

    client = client_of(email)  # whose browser speaks English
    client.open_mail("Hollis & Vane Lawyers : paiement de 1 234,56 £")
    assert "Consultez la demande et payez-la ici" in client.mail_text()
    assert client.open_link().startswith(f"http://lawyers.localhost:{demo.port}/")
    expect(client.page.locator("html")).to_have_attribute("lang", "fr")
    expect(client.page.locator("main")).to_contain_text("À payer avant le")
    expect(client.page.get_by_role("button", name=re.compile("^Payer 1"))).to_be_visible()
