"""Where a browser may be sent: security row 12 and rule 14, as tables."""

import pytest

from wagtail_client_billing.redirects import BadAddress, check_address

GOOD = [
    "https://example.com",
    "https://example.com/",
    "https://example.com:8443/thanks?a=1&b=%20#done",
    "https://bücher.example/danke",
    "https://xn--bcher-kva.example/",
    "https://example.com./",
    "https://sub_domain.example.com/",
    "https://203.0.113.9/",
    "https://[2001:db8::1]:8443/",
    "HTTPS://EXAMPLE.COM/",
    "https://localhost/",
    "https://example.com/with@sign",
    "https://example.com/?next=//evil.example",
]

BAD = [
    "",
    " ",
    "//evil.example",
    "/thanks",
    "example.com",
    "https:example.com",
    "https:/example.com",
    "https:///example.com",
    "https://",
    "https://?x",
    "https:/\\evil.example",
    "https:\\\\evil.example",
    "https://good.example\\@evil.example",
    "https://good.example\\.evil.example",
    "https://good@evil.example",
    "https://user:password@evil.example",
    "https://@evil.example",
    "https://good.example%40evil.example/",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "ftp://example.com",
    "https://exa\tmple.com",
    "https://exa\nmple.com",
    "https://example.com/\r\nLocation: https://evil.example",
    "https://example.com/\x00",
    "https://example.com/ space",
    " https://example.com",
    "https://example.com/\u2028",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:port/",
    "https://[::1",
    "https://[fe80::1%25eth0]/",
    "https://-bad.example/",
    "https://.example/",
    "https://exa mple.com",
    "https://1.2.3/",
    "https://evil.1",
    "https://0x7f.0x1",
    "https://good.example\u2100evil.example/",
    "http://example.com/",
    "http://10.0.0.1/",
    "http://127.0.0.2/",
    "http://localhost.evil.example/",
    "http://evil-localhost/",
    "http://0x7f000001/",
]

LOOPBACK = [
    "http://localhost/",
    "http://localhost:8000/thanks",
    "http://bakery.localhost:8000/",
    "http://127.0.0.1:8000/",
    "http://[::1]:8000/",
]


@pytest.mark.parametrize("address", GOOD)
@pytest.mark.parametrize("test_mode", [True, False])
def test_rule_14_https_is_taken_as_it_is(address, test_mode):
    assert check_address(address, test_mode=test_mode) == address


@pytest.mark.parametrize("address", BAD)
@pytest.mark.parametrize("test_mode", [True, False])
def test_rule_14_everything_else_is_refused(address, test_mode):
    with pytest.raises(BadAddress) as caught:
        check_address(address, test_mode=test_mode)
    assert str(caught.value)


@pytest.mark.parametrize("address", LOOPBACK)
def test_rule_14_http_is_for_this_machine_in_test_mode(address):
    assert check_address(address, test_mode=True) == address
    with pytest.raises(BadAddress):
        check_address(address, test_mode=False)


@pytest.mark.parametrize(
    ("address", "hosts", "allowed"),
    [
        ("https://example.com/", None, True),
        ("https://example.com/", [], False),
        ("https://example.com/", ["example.com"], True),
        ("https://EXAMPLE.com/", ["Example.COM"], True),
        ("https://example.com./", ["example.com"], True),
        ("https://example.com:8443/", ["example.com"], True),
        ("https://example.com:8443/", ["example.com:8443"], True),
        ("https://example.com:8444/", ["example.com:8443"], False),
        ("https://example.com/", ["example.com:8443"], False),
        ("https://www.example.com/", ["example.com"], False),
        ("https://www.example.com/", [".example.com"], True),
        ("https://example.com/", [".example.com"], True),
        ("https://evilexample.com/", [".example.com"], False),
        ("https://example.com.evil.example/", ["example.com"], False),
        ("https://bücher.example/", ["xn--bcher-kva.example"], True),
        ("https://xn--bcher-kva.example/", ["bücher.example"], True),
        ("https://[2001:db8::1]/", ["[2001:db8::1]"], True),
        ("https://[2001:db8::1]:8443/", ["[2001:db8::1]:8443"], True),
    ],
)
def test_redirect_hosts(address, hosts, allowed):
    if allowed:
        assert check_address(address, hosts=hosts) == address
    else:
        with pytest.raises(BadAddress):
            check_address(address, hosts=hosts)
