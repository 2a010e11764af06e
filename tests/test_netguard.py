"""Which addresses may be dialled: the table of security.md row 6, and resolvers that cheat."""

import _socket
import socket
import threading

import pytest

from wagtail_client_billing import netguard

HOSTILE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:100.64.0.1",
    "::ffff:169.254.169.254",
    "::ffff:224.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::",
    # Teredo, of which nobody sends mail: client 192.168.1.1, and client 8.8.8.8.
    "2001:0:808:808::3f57:fefe",
    "2001:0:808:808::f7f7:f7f7",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "2001:db8::1",
    "::1%lo",
    "not an address",
    "",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "2606:4700::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]
# What stays shut where private networks are open.
NEVER = [
    "0.0.0.0",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "fe80::1%eth0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "ff02::1",
]
OPENED = ["127.0.0.1", "::1", "10.1.2.3", "172.20.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"]


@pytest.fixture
def open_private(settings):
    settings.WAGTAIL_CLIENT_BILLING = {"SMTP_ALLOW_PRIVATE_NETWORKS": True}


@pytest.fixture
def resolver(monkeypatch):
    """``resolver([...], [...])``: what the name is said to be, the first time, the second…"""
    asked = []

    def use(*answers):
        def getaddrinfo(host, port, **kwargs):
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append(host)
            if isinstance(answer, Exception):
                raise answer
            families = {True: socket.AF_INET6, False: socket.AF_INET}
            return [
                (families[":" in address], socket.SOCK_STREAM, 6, "", (address, port))
                for address in answer
            ]

        monkeypatch.setattr(netguard.socket, "getaddrinfo", getaddrinfo)
        return asked

    return use


@pytest.fixture
def real_resolver(monkeypatch):
    """The system's own, past the suite's guard; for what it need ask nobody about."""
    monkeypatch.setattr(
        netguard.socket,
        "getaddrinfo",
        lambda host, port, **kwargs: _socket.getaddrinfo(host, port, **kwargs),
    )


def resolve(host="mail.example", port=587, seconds=5):
    return [each.sockaddr[0] for each in netguard.resolve_once(host, port, seconds=seconds)]


@pytest.mark.parametrize("address", HOSTILE)
def test_addresses_that_are_refused(address):
    assert not netguard.is_allowed(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_that_are_dialled(address):
    assert netguard.is_allowed(address)


@pytest.mark.parametrize("address", NEVER)
def test_what_stays_shut(open_private, address):
    assert not netguard.is_allowed(address)


@pytest.mark.parametrize("address", [*OPENED, *PUBLIC])
def test_what_private_networks_open(open_private, address):
    assert netguard.is_allowed(address)


def test_one_private_address_among_public_ones_spoils_all(resolver):
    resolver(["8.8.8.8", "10.0.0.1"])
    with pytest.raises(netguard.NotAllowed):
        resolve()
    resolver(["10.0.0.1", "8.8.8.8"])
    with pytest.raises(netguard.NotAllowed):
        resolve()


def test_a_resolver_that_changes_its_mind_is_asked_once(resolver):
    asked = resolver(["8.8.8.8"], ["127.0.0.1"])
    assert resolve() == ["8.8.8.8"]
    assert asked == ["mail.example"]


@pytest.mark.parametrize("port", [22, 80, 0, 3306, 6379, 65535])
def test_ports_that_are_refused_before_anybody_is_asked(resolver, port):
    asked = resolver(["8.8.8.8"])
    with pytest.raises(netguard.NotAllowed):
        resolve(port=port)
    assert asked == []


@pytest.mark.parametrize("port", [25, 465, 587, 2525])
def test_ports_that_are_dialled(resolver, port):
    resolver(["8.8.8.8"])
    assert resolve(port=port) == ["8.8.8.8"]


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0", "127.0.0.1", "::ffff:7f00:1"]
)
def test_numbers_in_disguise(real_resolver, host):
    """Whatever the system takes for an address is judged as that address."""
    with pytest.raises(netguard.NotAllowed):
        resolve(host)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "mail\x00.example"])
def test_what_is_no_name(real_resolver, host):
    with pytest.raises(netguard.UnknownHost):
        resolve(host)


def test_a_name_without_an_address(resolver):
    resolver(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    with pytest.raises(netguard.UnknownHost):
        resolve()
    resolver([])
    with pytest.raises(netguard.UnknownHost):
        resolve()


def test_a_look_up_that_takes_too_long(monkeypatch):
    done = threading.Event()
    monkeypatch.setattr(netguard.socket, "getaddrinfo", lambda *args, **kwargs: done.wait(5))
    with pytest.raises(TimeoutError):
        resolve(seconds=0.05)
    done.set()
