"""The demo: what it fills in, what a second start leaves alone, and that it starts and ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from wagtail.models import Page, Site

from example_project.home.models import StandardPage
from wagtail_client_billing.models import AgencySettings, SiteBillingSettings
from wagtail_client_billing.permissions import may, sites_for

from .test_docs import ROOT

DEMO = [sys.executable, str(ROOT / "example_project" / "demo.py")]


def site_of(name):
    return Site.objects.get(hostname=f"{name}.localhost")


class TestContents:
    @pytest.fixture(autouse=True)
    def demo(self, db):
        call_command("load_demo", port=8123)

    def test_three_sites_on_the_port(self):
        addresses = sorted(site.root_url for site in Site.objects.all())
        assert addresses == [
            "http://bakery.localhost:8123",
            "http://lawyers.localhost:8123",
            "http://localhost:8123",
        ]
        assert Site.objects.get(is_default_site=True).hostname == "localhost"

    def test_prefilled_addresses_lead_to_pages(self, client):
        for name in ("bakery", "lawyers"):
            site = site_of(name)
            defaults = SiteBillingSettings.current(site)
            assert defaults.currency
            for url in (defaults.success_url, defaults.cancel_url):
                path = url.removeprefix(site.root_url)
                answer = client.get(path, headers={"host": f"{site.hostname}:{site.port}"})
                assert answer.status_code == 200
        for path in ("/", "/privacy/", "/terms/"):
            assert client.get(path, headers={"host": "localhost:8123"}).status_code == 200
        assert AgencySettings.current().notify

    def test_people(self):
        agency, editor, guest = (
            get_user_model().objects.get(username=name) for name in ("agency", "editor", "guest")
        )
        bakery, lawyers = site_of("bakery"), site_of("lawyers")
        for action in ("view", "add", "change", "delete", "resend"):
            assert may(agency, action, lawyers)
            assert may(editor, action, bakery)
            assert not may(editor, action, lawyers)
            assert not may(guest, action, bakery)
        assert not may(editor, "refund", bakery)
        assert list(sites_for(editor, "add")) == [bakery]
        assert may(editor, "change", SiteBillingSettings.current(bakery))
        assert not may(editor, "change", SiteBillingSettings.current(lawyers))
        assert not may(editor, "change", AgencySettings)
        assert may(agency, "change", AgencySettings)
        for user in (editor, guest):
            assert user.has_perm("wagtailadmin.access_admin")
            assert user.check_password("demo")

    def test_a_second_start_keeps_what_was_done_and_follows_the_port(self):
        bakery = site_of("bakery")
        bakery.site_name = "Renamed"
        bakery.save()
        defaults = SiteBillingSettings.current(bakery)
        defaults.cancel_url = "https://elsewhere.example/back"
        defaults.save()
        StandardPage.objects.get(url_path="/lawyers/cancelled/").delete()
        get_user_model().objects.get(username="guest").delete()
        pages = Page.objects.count()

        call_command("load_demo", port=9000)

        bakery = site_of("bakery")
        defaults = SiteBillingSettings.current(bakery)
        assert (bakery.site_name, bakery.port) == ("Renamed", 9000)
        assert defaults.success_url == "http://bakery.localhost:9000/thank-you/"
        assert defaults.cancel_url == "https://elsewhere.example/back"
        assert Page.objects.count() == pages
        assert not get_user_model().objects.filter(username="guest").exists()


class TestStarting:
    @pytest.fixture
    def port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def environment(self, folder, port):
        left_out = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
        given = {name: value for name, value in os.environ.items() if name not in left_out}
        return {**given, "PORT": str(port), "WCB_VAR": str(folder), "WCB_PYTHON": sys.executable}

    def test_a_port_in_use_is_a_sentence(self, tmp_path, port):
        with socket.create_server(("127.0.0.1", port)):
            done = subprocess.run(
                DEMO, env=self.environment(tmp_path, port), capture_output=True, text=True
            )
        assert done.returncode == 1
        assert f"Port {port} is in use" in done.stderr
        assert f"PORT={port + 1}" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.demo
    def test_five_lines_then_ctrl_c_ends_all_of_it(self, tmp_path, port):
        with subprocess.Popen(
            DEMO,
            env=self.environment(tmp_path, port),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                lines = [process.stdout.readline() for _ in range(5)]
                said = "".join(lines)
                assert f"http://localhost:{port}/admin/" in said
                assert f"http://bakery.localhost:{port}/" in said
                assert f"http://localhost:{port}/sandbox/inbox/" in said
                assert "Ctrl-C" in lines[-1]
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                    assert answer.status == 200
                mail_port = int(re.search(r":(\d+)", (tmp_path / "mail.log").read_text())[1])
                process.send_signal(signal.SIGINT)
                assert process.wait(40) == 0
            finally:
                process.kill()
        deadline = time.monotonic() + 5
        for each in (port, mail_port):
            while self.answers(each):
                assert time.monotonic() < deadline, f"{each} still answers"

    @staticmethod
    def answers(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
