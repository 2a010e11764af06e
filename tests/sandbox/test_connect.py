"""Connect: accounts of a platform, onboarding links, OAuth, and ending a connection."""

from urllib.parse import parse_qs, urlsplit

import pytest
import stripe
from django.test import Client

from wagtail_client_billing.sandbox import books, deliveries, keys, platforms

PLATFORM = "sk_test_theplatform"
INCLUDE = ["configuration.merchant", "requirements", "identity", "defaults"]
WANTED = {
    "contact_email": "hello@agency.example",
    "display_name": "Northlight",
    "dashboard": "full",
    "identity": {"country": "gb"},
    "configuration": {"merchant": {"capabilities": {"card_payments": {"requested": True}}}},
    "defaults": {"responsibilities": {"fees_collector": "stripe", "losses_collector": "stripe"}},
    "metadata": {"wcb_connection": "c-1"},
    "include": INCLUDE,
}
BACK = "http://localhost:8000/admin/back/"
AGAIN = "http://localhost:8000/admin/again/"


@pytest.fixture
def platform(client_for):
    return client_for(PLATFORM)


@pytest.fixture
def account(platform):
    return platform.v2.core.accounts.create(WANTED, {"idempotency_key": "account-1"})


def as_account(account):
    return {"stripe_account": account}


def link_to(platform, account):
    return platform.v2.core.account_links.create(
        {
            "account": account.id,
            "use_case": {
                "type": "account_onboarding",
                "account_onboarding": {"refresh_url": AGAIN, "return_url": BACK},
            },
        }
    )


def press(link, action):
    return Client().post(urlsplit(link.url).path, {"action": action})


def retrieve(platform, account):
    return platform.v2.core.accounts.retrieve(account.id, {"include": INCLUDE})


def refusal(call):
    with pytest.raises(stripe.StripeError) as caught:
        call()
    return caught.value


def test_a_new_account_can_do_nothing_yet(platform, account):
    assert account.identity.country == "gb"
    assert account.defaults.currency == "gbp"
    assert account.configuration.merchant.capabilities.card_payments.status == "restricted"
    assert [entry.description for entry in account.requirements.entries] == list(platforms.DUE)
    again = platform.v2.core.accounts.create(WANTED, {"idempotency_key": "account-1"})
    assert again.id == account.id
    changed = {**WANTED, "display_name": "Other"}
    error = refusal(
        lambda: platform.v2.core.accounts.create(changed, {"idempotency_key": "account-1"})
    )
    assert error.http_status == 400
    bare = platform.v2.core.accounts.retrieve(account.id)
    assert "requirements" not in bare and "identity" not in bare
    seen = platform.v1.accounts.retrieve_current(options=as_account(account.id))
    assert (seen.id, seen.charges_enabled, seen.details_submitted) == (account.id, False, False)


@pytest.mark.parametrize(
    ("action", "status", "left"),
    [
        ("finish", "active", 0),
        ("review", "pending", 0),
        ("half", "restricted", 2),
        ("back", "restricted", 4),
    ],
)
def test_onboarding_ends_as_its_owner_chooses(platform, account, action, status, left):
    link = link_to(platform, account)
    assert b"Answer everything" in Client().get(urlsplit(link.url).path).content
    answer = press(link, action)
    assert (answer.status_code, answer["Location"]) == (303, BACK)
    found = retrieve(platform, account)
    assert found.configuration.merchant.capabilities.card_payments.status == status
    assert len(found.requirements.entries) == left
    # The link works once.
    assert Client().get(urlsplit(link.url).path)["Location"] == AGAIN
    assert press(link, "finish")["Location"] == AGAIN


def test_a_link_can_be_let_expire(platform, account):
    assert press(link_to(platform, account), "expire")["Location"] == AGAIN


def authorize(asked, **pressed):
    query = {"response_type": "code", "client_id": "ca_test_1", "redirect_uri": BACK, **asked}
    return Client().post("/sandbox/stripe/oauth/authorize", pressed, query_params=query)


def code_of(answer):
    return parse_qs(urlsplit(answer["Location"]).query)


def test_oauth_leads_back_with_a_code_that_works_once(platform, client):
    mine = client.v1.accounts.retrieve_current().id
    page = Client().get(
        "/sandbox/stripe/oauth/authorize",
        {"response_type": "code", "client_id": "ca_test_1", "redirect_uri": BACK},
    )
    assert mine in page.content.decode()
    back = code_of(authorize({"state": "s-1"}, action="approve", account=mine))
    assert back["state"] == ["s-1"]
    given = {"grant_type": "authorization_code", "code": back["code"][0]}
    token = platform.oauth.token(given)
    assert (token.stripe_user_id, token.livemode) == (mine, False)
    assert platform.v1.accounts.retrieve_current(options=as_account(mine)).id == mine
    error = refusal(lambda: platform.oauth.token(given))
    assert isinstance(error, stripe.oauth_error.InvalidGrantError)


def test_oauth_can_be_refused(platform):
    back = code_of(authorize({"state": "s-1"}, action="refuse"))
    assert (back["error"], back["state"]) == (["access_denied"], ["s-1"])


@pytest.mark.parametrize(
    "wrong",
    [{"redirect_uri": "https://elsewhere.example/"}, {"client_id": "x"}, {"response_type": "x"}],
)
def test_oauth_does_not_lead_elsewhere(wrong):
    answer = authorize(wrong, action="approve")
    assert answer.status_code == 400 and "Location" not in answer


def test_only_connected_accounts_can_be_acted_for(platform, client, account, client_for, params):
    stranger = client.v1.accounts.retrieve_current().id
    for call in (
        lambda: platform.v1.accounts.retrieve_current(options=as_account(stranger)),
        lambda: platform.v1.checkout.sessions.create(params(), as_account(stranger)),
        lambda: platform.v2.core.accounts.retrieve(stranger),
        # The other mode of the platform is not connected to it.
        lambda: client_for("sk_live_theplatform").v1.accounts.retrieve_current(
            options=as_account(account.id)
        ),
    ):
        error = refusal(call)
        assert (error.http_status, error.error.code) == (403, "account_invalid")
    session = platform.v1.checkout.sessions.create(params(), as_account(account.id))
    assert books.sessions()[0]["account"] == account.id
    assert refusal(lambda: platform.v1.checkout.sessions.retrieve(session.id)).http_status == 404


@pytest.fixture
def listening(platform, receiver):
    return platform.v1.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": ["*"], "connect": True}
    )


def test_a_platforms_endpoint_hears_of_its_accounts_and_of_nobody_else(
    platform, account, listening, receiver, client, session, params
):
    platform.v1.checkout.sessions.expire(
        platform.v1.checkout.sessions.create(params(), as_account(account.id)).id,
        options=as_account(account.id),
    )
    client.v1.checkout.sessions.expire(session.id)
    press(link_to(platform, account), "finish")
    deliveries.deliver_due()
    assert receiver.types == ["checkout.session.expired", "account.updated"]
    assert {event["account"] for event in receiver.events} == {account.id}


def test_a_live_platform_endpoint_hears_of_test_events_too(client_for, receiver, client, params):
    live = client_for("sk_live_theplatform")
    live.v1.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": ["*"], "connect": True}
    )
    mine = client.v1.accounts.retrieve_current().id
    back = code_of(authorize({"client_id": "ca_live_1"}, action="approve", account=mine))
    live.oauth.token({"grant_type": "authorization_code", "code": back["code"][0]})
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(params()).id)
    deliveries.deliver_due()
    assert [(event["livemode"], event["account"]) for event in receiver.events] == [(False, mine)]


def test_either_side_can_end_it_and_the_platform_hears(
    client_for, platform, account, listening, receiver
):
    page = Client().get("/sandbox/keys/").content.decode()
    platform_id = keys.identify(PLATFORM).account
    assert platform_id in page and "Disconnect" in page
    given = {"platform": platform_id, "account": account.id, "livemode": "0"}
    assert Client().post("/sandbox/connected/end/", given).status_code == 302
    assert Client().post("/sandbox/connected/end/", given).status_code == 404
    deliveries.deliver_due()
    assert receiver.types == ["account.application.deauthorized"]
    assert receiver.events[0]["account"] == account.id
    assert refusal(lambda: retrieve(platform, account)).http_status == 403
    with_id = stripe.StripeClient(
        PLATFORM,
        client_id="ca_test_1",
        base_addresses=platform._requestor.base_addresses,
        http_client=platform._requestor._get_http_client(),
    )
    other = platform.v2.core.accounts.create(WANTED)
    ended = with_id.oauth.deauthorize({"stripe_user_id": other.id})
    assert ended.stripe_user_id == other.id
    error = refusal(lambda: with_id.oauth.deauthorize({"stripe_user_id": other.id}))
    assert isinstance(error, stripe.oauth_error.InvalidClientError)
