"""Where load and questions may go: the list itself, and that no socket is opened to any other place."""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any

import pytest
import requests
from distributed_runs import IDS, VLLM, stage
from hypothesis import given
from hypothesis import strategies as st
from locust_runs import LOCUSTFILES, run, simulator

from harness import addresses, allowed_hosts, connection, control, key_origin, target
from harness.addresses import literal
from harness.allowed_hosts import AllowedHosts, HostRefused
from harness.backends import find
from harness.control import cause, session
from harness.engine import Engine
from harness.errors import ConfigError, ErrorClass
from harness.exchange import Exchange, Timeouts
from harness.proxy import Proxy
from harness.server_facts import ask_server
from harness.target import Target

METADATA = IPv4Address("169.254.169.254")
QUICK = Timeouts(2, 2, 2, 2)


def allow(text: str) -> AllowedHosts:
    return allowed_hosts.read({"TOKENSWARM_ALLOWED_HOSTS": text})


# The list


@st.composite
def spellings(draw: st.DrawFn, address: IPv4Address = METADATA) -> str:
    """An address as inet_aton takes it: one to four numbers, each in one of three bases, some with zeros in front."""
    whole, many = int(address), draw(st.integers(1, 4))
    heads = [(whole >> (24 - 8 * at)) & 255 for at in range(many - 1)]
    numbers = [*heads, whole & ((1 << (8 * (5 - many))) - 1)]
    forms = [
        "{:d}".format,
        "0x{:x}".format,
        "0X{:X}".format,
        "0x00{:x}".format,
        "0{:o}".format,
        "000{:o}".format,
    ]
    return ".".join(draw(st.sampled_from(forms))(number) for number in numbers)


@st.composite
def wrapped(draw: st.DrawFn, address: IPv4Address = METADATA) -> str:
    """An IPv6 address that has the IPv4 one inside it, in one of the usual spellings."""
    low = int(address)
    prefix = draw(st.sampled_from(["::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::"]))
    whole = draw(
        st.sampled_from([int(IPv6Address(prefix)) | low, (0x2002 << 112) | (low << 80) | draw(st.just(1))])
    )
    made = IPv6Address(whole)
    return draw(st.sampled_from([str(made), made.exploded, str(made).upper()]))


@given(spellings())
def test_every_spelling_of_the_metadata_address_is_refused(host: str) -> None:
    """What the system's resolver would connect to is what we take it for, and it is refused before and after."""
    assert str(literal(host)) == socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM)[0][4][0]
    place = target.parse(f"http://{host}")
    for leads in (None, (), [str(METADATA)]):
        why = AllowedHosts().refusal(place.host, place.port, leads)
        assert why
        assert "169.254.169.254" in why
        assert "TOKENSWARM_ALLOWED_HOSTS" in why


@given(wrapped())
def test_every_wrapping_of_the_metadata_address_is_refused(host: str) -> None:
    """As a literal, and as what a name leads to."""
    place = target.parse(f"http://[{host}]")
    assert AllowedHosts().refusal(place.host, place.port, None)
    assert AllowedHosts().refusal("innocent.example", 80, [host])
    assert allow("169.254.169.254").refusal(place.host, place.port, None) is None


@pytest.mark.parametrize(
    "url",
    [
        *("http://169.254.0.1", "http://[fe80::1]", "http://[fe80::1%25eth0]", "http://[febf::ffff]:8080"),
        *("http://[fd00:ec2::254]", "http://100.100.100.200", "http://168.63.129.16", "http://192.0.0.192"),
        *("http://metadata.google.internal", "http://METADATA.google.internal.:80"),
        *(
            "http://\uff11\uff16\uff19.254\u3002169.254",
            "http://169.254.169.254.",
            "https://169.254.169.254/v1",
        ),
    ],
)
@pytest.mark.parametrize("listed", ["", "0.0.0.0/0,::/0", "*.internal,169.254.169.25,100.64.0.0/10,fe00::/7"])
def test_guarded_places_are_refused_unless_listed_as_such(url: str, listed: str) -> None:
    """A wide network does not list them, and neither does a domain."""
    place = target.parse(url)
    assert allow(listed).refusal(place.host, place.port, None)
    assert allow(listed).refusal(place.host, place.port, ())


@pytest.mark.parametrize(
    ("listed", "host", "addresses"),
    [
        ("169.254.169.254", "169.254.169.254", None),
        ("169.254.169.254:80", "2852039166", ["169.254.169.254"]),
        ("169.254.0.0/16", "node.example", ["169.254.7.7"]),
        ("[fe80::1]", "fe80::1%eth0", ["fe80::1%eth0"]),
        ("fe80::/64", "fe80::1", None),
        ("metadata.google.internal,169.254.169.254", "metadata.google.internal", ["169.254.169.254"]),
    ],
)
def test_they_may_be_listed(listed: str, host: str, addresses: list[str] | None) -> None:
    """By themselves, or by a network that is no wider than their range."""
    assert allow(listed).refusal(host, 80, addresses) is None


def test_a_listed_name_is_no_way_to_the_metadata_address() -> None:
    """It is allowed wherever else it leads; the metadata address must be listed too."""
    name, hosts = "llm.example", allow("llm.example")
    assert hosts.refusal(name, 80, ["203.0.113.7"]) is None
    assert hosts.refusal(name, 80, ["10.0.0.7"]) is None
    why = hosts.refusal(name, 80, ["169.254.169.254"])
    assert why == (
        "llm.example (169.254.169.254) is a link-local address, where nothing is sent to: if it is meant, "
        "list 169.254.169.254 in TOKENSWARM_ALLOWED_HOSTS"
    )
    assert hosts.refusal("metadata.google.internal", 80, ["10.0.0.7"])
    assert allow("llm.example,169.254.169.254").refusal(name, 80, ["169.254.169.254"]) is None


def test_only_the_permitted_of_a_names_addresses_are_kept() -> None:
    """Of a name that leads to several places; none is an error."""
    assert AllowedHosts().permitted("h", 80, ["169.254.1.1", "10.0.0.1"]) == {"10.0.0.1"}
    assert allow("10.0.0.0/8").permitted("h", 80, ["::1", "10.0.0.1", "10.9.9.9"]) == {"10.0.0.1", "10.9.9.9"}
    with pytest.raises(HostRefused, match=r"h \(::1\) at port 80 is not among"):
        allow("10.0.0.0/8").permitted("h", 80, ["::1"])


@given(st.data())
def test_networks_are_those_of_ipaddress(data: st.DataObject) -> None:
    """For all networks and addresses outside of what is guarded, near the network's edges and anywhere."""
    version = data.draw(st.sampled_from([4, 6]))
    bits, base = (32, 11 << 24) if version == 4 else (128, 0x2A00 << 112)
    width = data.draw(st.integers(9 if version == 4 else 17, bits))
    inside = data.draw(st.integers(0, (1 << (bits - 8)) - 1 if version == 4 else (1 << 100) - 1))
    make = IPv4Address if version == 4 else IPv6Address
    network = ip_network((int(base + inside) >> (bits - width) << (bits - width), width))
    edges = [int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1]
    address = make(data.draw(st.sampled_from(edges) | st.integers(base, base + (1 << 24) - 1)))
    for text in (str(network), f"[{network.network_address}]/{width}" if version == 6 else str(network)):
        assert (allow(text).refusal(str(address), 8000, None) is None) == (address in network)
        assert (allow(text).refusal("h.example", 8000, [str(address)]) is None) == (address in network)


@pytest.mark.parametrize(
    ("listed", "host", "port", "fits"),
    [
        ("llm.example", "llm.example", 1, True),
        ("LLM.Example.", "llm.example", 1, True),
        ("llm.example", "LLM.EXAMPLE.", 1, True),
        ("llm.example", "xllm.example", 1, False),
        ("llm.example", "llm.example.evil.example", 1, False),
        ("llm.example:8000", "llm.example", 8000, True),
        ("llm.example:8000", "llm.example", 443, False),
        ("*.corp.example", "a.corp.example", 1, True),
        ("*.corp.example", "a.b.corp.example", 1, True),
        ("*.corp.example", "corp.example", 1, False),
        ("*.corp.example", "evilcorp.example", 1, False),
        ("*.corp.example:443", "a.corp.example", 80, False),
        ("bücher.example", "xn--bcher-kva.example", 1, True),
        ("a.example, b.example ,", "b.example", 1, True),
        ("10.1.2.3", "10.1.2.3", 1, True),
        ("10.1.2.3", "167838211", 1, True),
        ("10.1.2.3:8000", "10.1.2.3", 8001, False),
        ("10.1.2.3", "10.1.2.30", 1, False),
        ("10.1.2.3", "::ffff:10.1.2.3", 1, True),
        ("::ffff:10.1.2.3", "10.1.2.3", 1, True),
        ("[::1]:8080", "::1", 8080, True),
        ("::1", "0:0:0:0:0:0:0:1", 1, True),
        ("[::1]", "127.0.0.1", 1, False),
    ],
)
def test_entries(listed: str, host: str, port: int, *, fits: bool) -> None:
    """Names as DNS has them, addresses in any spelling, ports where one is given."""
    for leads in (None, ()):
        assert (allow(listed).refusal(host, port, leads) is None) == fits


def test_what_is_said_of_a_host_that_is_not_listed() -> None:
    """Host, address, variable, its value, and what to add."""
    assert allow("a.example,10.0.0.0/8").refusal("llm.example", 8000, ["203.0.113.7"]) == (
        "llm.example (203.0.113.7) at port 8000 is not among TOKENSWARM_ALLOWED_HOSTS=a.example,10.0.0.0/8: "
        "add llm.example:8000 or 203.0.113.7 to it"
    )
    assert allow("a.example").refusal("::1", 80, None) == (
        "::1 at port 80 is not among TOKENSWARM_ALLOWED_HOSTS=a.example: add [::1]:80 to it"
    )


def test_a_name_waits_for_its_addresses_only_where_they_count() -> None:
    """Before a name is resolved no network can be asked; a proxy resolves by itself, and names must be listed."""
    assert allow("10.0.0.0/8").refusal("llm.example", 80, None) is None
    assert allow("a.example").refusal("llm.example", 80, None)
    assert allow("10.0.0.0/8").refusal("llm.example", 80, ())
    assert AllowedHosts().refusal("llm.example", 80, ()) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://a.example", "'http://a.example' is a URL, and not a host: give host or host:port alone"),
        ("http://me:secret@a.example", "an entry is a URL, and not a host: give host or host:port alone"),
        ("*", "'*' would be every host: leave the variable empty for that"),
        ("a.*.example", "'a.*.example' has a * elsewhere than at its beginning, as in *.corp.example"),
        ("10.0.0.*", "'10.0.0.*' has a * elsewhere than at its beginning, as in *.corp.example"),
        ("10.0.0.1/8", "'10.0.0.1/8' is no network, since its address has bits beyond its width: write 10.0.0.0/8"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no network: give address/bits, and no path"),
        ("a.example/v1", "'a.example/v1' is no network: give address/bits, and no path"),
        ("10.0.0.0/8:80", "'10.0.0.0/8:80' is a network with a port: give the network alone"),
        ("a.example:0", "'a.example:0' has no port from 1 to 65535 behind its colon"),
        ("a.example:", "'a.example:' has no port from 1 to 65535 behind its colon"),
        ("a.example:99999", "'a.example:99999' has no port from 1 to 65535 behind its colon"),
        ("0x7f.1", "'0x7f.1' is an unusual spelling of an address: write 127.0.0.1"),
        ("2130706433", "'2130706433' is an unusual spelling of an address: write 127.0.0.1"),
        ("256.1.1.1", "'256.1.1.1' is no host, address or network"),
        ("a b", "'a b' is no host, address or network"),
        ("::1:zz", "'::1:zz' is no host, address or network: IPv6 with a port is written [::1]:8080"),
        (",", "',' names no host; leave it empty to allow every host"),
    ],
)  # fmt: skip
def test_malformed_entries_are_told(text: str, problem: str) -> None:
    """Variable, entry, what is wrong, an example; no password."""
    with pytest.raises(ConfigError) as told:
        allow(text)
    example = "for example llm.example:8000,*.corp.example,10.0.0.0/8,[::1]:8080"
    joint = ", " if text == "," else "; "
    assert str(told.value) == f"TOKENSWARM_ALLOWED_HOSTS: {problem}{joint}{example}"


@given(st.text(max_size=30))
def test_no_text_is_a_crash(text: str) -> None:
    """Every value is a list or a line for each thing that is wrong with it."""
    try:
        listed = allow(text)
    except ConfigError as error:
        assert all(line.startswith("TOKENSWARM_ALLOWED_HOSTS: ") for line in str(error).split("\n"))  # noqa: PT017
    else:
        assert bool(listed.entries) == bool(text.strip())


# The sockets


@contextmanager
def listening() -> Iterator[tuple[int, socket.socket]]:
    """Something that takes note of connections: its port, and the socket that they would wait at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener.getsockname()[1], listener


def nobody_came(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False


def performed(place: Target, allowed: AllowedHosts, proxy: Proxy | None = None) -> Exchange:
    """One request of the load, to its end."""
    engine = Engine(place, QUICK, allowed=allowed, proxy=proxy)
    try:
        exchange = Exchange(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", lambda _: False)
        engine.perform(exchange)
    finally:
        engine.close()
    return exchange


def asked(place: Target, allowed: AllowedHosts, proxy: Proxy | None = None) -> BaseException:
    """Why one question was not answered."""
    with (
        session("sk-1", proxy=proxy, allowed=allowed) as opened,
        pytest.raises(requests.RequestException) as told,
    ):
        opened.get(place.url("/"), timeout=2)
    return cause(told.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_socket_is_opened_to_what_is_not_allowed(scheme: str) -> None:
    """Of the load and of the questions: nobody knocks there, and the error names host, address and variable."""
    with listening() as (port, listener):
        place = target.parse(f"{scheme}://localhost:{port}")
        said = f"localhost (127.0.0.1) at port {port} is not among TOKENSWARM_ALLOWED_HOSTS=10.0.0.0/8"
        failure = performed(place, allow("10.0.0.0/8")).failure
        assert failure is not None
        assert failure[0] is ErrorClass.CONNECT
        assert "at port" in failure[1]
        assert "TOKENSWARM_ALLOWED_HOSTS" in failure[1]
        why = asked(place, allow("10.0.0.0/8,[::1]:1"))
        assert isinstance(why, HostRefused)
        assert said in str(why) or "localhost (::1)" in str(why)
        assert nobody_came(listener)


def test_names_that_come_to_lead_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is checked is what is connected to: a name that passed before load leads to the metadata address at connect time."""
    with listening() as (port, listener):
        place = target.parse(f"http://llm.example:{port}")
        leads: list[str] = ["127.0.0.1"]
        monkeypatch.setattr(connection, "_resolve", lambda _: [(socket.AF_INET, (leads[0], port))])
        monkeypatch.setattr(control, "_resolve", lambda *_: leads)
        hosts = allow("llm.example")
        assert connection.refusal(place, None, hosts) is None
        leads[0] = "169.254.169.254"
        failure = performed(place, hosts).failure
        assert failure == (
            ErrorClass.CONNECT,
            (
                "llm.example (169.254.169.254) is a link-local address, where nothing is sent to: if it is meant, "
                "list 169.254.169.254 in TOKENSWARM_ALLOWED_HOSTS"
            ),
        )
        assert str(asked(place, hosts)) == failure[1]
        backend = find("openai", "chat")
        with session(None, allowed=hosts) as opened, pytest.raises(ConfigError) as told:
            ask_server(backend, place, model=None, asked=opened, ready_timeout_s=60, say=lambda _: None)
        assert str(told.value) == f"--host {place}: {failure[1]}"
        assert nobody_came(listener)


def test_the_connection_goes_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection resolves once, and the second answer of a name that changes is never used."""
    with listening() as (port, listener):
        answers = iter([["169.254.1.1", "127.0.0.1"], ["169.254.1.1"]])
        monkeypatch.setattr(control, "_resolve", lambda *_: next(answers))
        with session(None) as opened, pytest.raises(requests.RequestException):
            opened.get(f"http://llm.example:{port}/", timeout=0.2)
        listener.setblocking(True)
        peer, _ = listener.accept()
        with peer:
            assert b"\r\nHost: llm.example:" in peer.recv(4096)


def test_behind_a_proxy_names_and_literals_count() -> None:
    """The proxy is the user's own choice and not looked at; what it is asked for is."""
    with listening() as (port, listener):
        proxy = Proxy("127.0.0.1", port, "HTTP_PROXY")
        for host in ("169.254.169.254", "0xa9fea9fe", "metadata.google.internal", "b.example"):
            for scheme in ("http", "https"):
                place = target.parse(f"{scheme}://{host}")
                failure = performed(place, allow("a.example,10.0.0.0/8"), proxy).failure
                assert failure is not None
                assert "TOKENSWARM_ALLOWED_HOSTS" in failure[1]
                assert isinstance(asked(place, allow("a.example,10.0.0.0/8"), proxy), HostRefused)
        assert nobody_came(listener)
        failure = performed(target.parse("https://a.example"), allow("a.example"), proxy).failure
        assert failure is not None  # the proxy is silent
        assert not nobody_came(listener)


def test_the_environment_is_asked_where_nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes an engine or a session without a list has that of the process."""
    monkeypatch.setenv("TOKENSWARM_ALLOWED_HOSTS", "a.example")
    engine = Engine(target.parse("http://127.0.0.1:1"), QUICK)
    exchange = Exchange(b"", lambda _: False)
    engine.perform(exchange)
    engine.close()
    assert exchange.failure is not None
    assert "TOKENSWARM_ALLOWED_HOSTS=a.example" in exchange.failure[1]
    with (
        session(None) as opened,
        pytest.raises(requests.ConnectionError, match="TOKENSWARM_ALLOWED_HOSTS=a"),
    ):
        opened.get("http://127.0.0.1:1/", timeout=2)


# Whole runs

PLAIN = ("-u", "1", "-t", "1s", *IDS, "--output-tokens", "4")


@pytest.mark.parametrize(
    ("listed", "host", "says"),
    [
        ("http://a", "http://127.0.0.1:9", "TOKENSWARM_ALLOWED_HOSTS: 'http://a' is a URL, and not a host"),
        ("", "http://0xa9fea9fe", "--host http://0xa9fea9fe: 0xa9fea9fe (169.254.169.254) is a link-local address"),
        ("a.example", "http://127.0.0.1:9", "--host http://127.0.0.1:9: 127.0.0.1 at port 9 is not among TOKENSWARM_"),
    ],
)  # fmt: skip
def test_a_run_is_refused_before_anything_is_sent(tmp_path: Path, listed: str, host: str, says: str) -> None:
    """Exit 2 and one line, also where nothing is asked before load."""
    env = {"TOKENSWARM_ALLOWED_HOSTS": listed}
    done = run("vllm.py", tmp_path / "results", *PLAIN, "--preflight", "no", "--host", host, env=env)
    assert done.code == 2, done.err
    (line,) = done.errors
    assert line.startswith(f"tokenswarm: error: {says}")
    assert "Traceback" not in done.err
    assert not (tmp_path / "results").exists()


def test_a_worker_goes_by_its_own_list(tmp_path: Path) -> None:
    """The master may send there and the worker may not: the run does not start, and the worker is named."""
    with stage(tmp_path, "one", plain=True, file=VLLM) as on:
        server = on.simulator("--speak", "vllm")
        env: Mapping[str, Any] = {"TOKENSWARM_ALLOWED_HOSTS": "127.0.0.1"}
        master = on.master("--host", server.url, *IDS, "-u", "1", "-t", "2s", workers=1, env=env)
        worker = on.worker("one", env={"TOKENSWARM_ALLOWED_HOSTS": "llm.example,10.0.0.0/8"})
        assert master.end(60) == 2, master.err
        (line,) = master.errors
        assert line.startswith("tokenswarm: error: worker ")
        assert "127.0.0.1 at port" in line
        assert "is not among TOKENSWARM_ALLOWED_HOSTS=llm.example,10.0.0.0/8" in line
        assert worker.end(30) == 2
        assert "Traceback" not in master.err + worker.err
        log = server.log.read_text().splitlines()
        assert all('"trial-' in one for one in log)  # the master's own


def test_a_worker_with_a_malformed_list_ends_at_once(tmp_path: Path) -> None:
    """Not when the first run comes: exit 2 with no master in sight."""
    env = {"TOKENSWARM_ALLOWED_HOSTS": "10.0.0.1/8"}
    with stage(tmp_path, "one", plain=True, file=VLLM) as on:
        worker = on.worker("one", "--master-port", "1", env=env)
        assert worker.end(60) == 2, worker.err
        (line,) = worker.errors
        assert "TOKENSWARM_ALLOWED_HOSTS: '10.0.0.1/8' is no network" in line
        assert "write 10.0.0.0/8" in line


def test_an_allowed_run_runs(tmp_path: Path) -> None:
    """The list lets through what it lists: load, trial, questions and metrics."""
    with simulator("--speak", "vllm") as server:
        port = server.url.rpartition(":")[2]
        env = {"TOKENSWARM_ALLOWED_HOSTS": f"127.0.0.1:{port},a.example"}
        done = run("vllm.py", tmp_path / "results", *PLAIN, "--host", server.url, env=env)
        assert done.code == 0, done.err
        assert set(done.requests.outcome) <= {"ok", "cancelled"}
        assert "ok" in set(done.requests.outcome)
        assert "Prometheus" not in done.err


# The document

SECURITY: Path = LOCUSTFILES.parent / "docs" / "security.md"


def test_the_document_lists_what_is_guarded() -> None:
    """Each range and name of its table is refused, none of the module is missing from it, and its examples can be read."""
    text = SECURITY.read_text(encoding="utf-8")
    table = text.partition("### Guarded addresses")[2].partition("\n## ")[0]
    told = re.findall(r"^\|.*\| (`.*`) \|$", table, re.MULTILINE)
    places = [place for row in told for place in re.findall("`([^`]+)`", row)]
    networks = {ip_network(place) for place in places if literal(place.partition("/")[0])}
    assert networks == {network for ranges in addresses._GUARDED.values() for network in ranges}
    names = {place for place in places if not literal(place.partition("/")[0])}
    assert names == allowed_hosts._NAMES
    for spelling in re.search(r"every spelling \(([^)]*)\)", table)[1].split(","):  # type: ignore[index]
        assert literal(spelling.strip(" `")) == METADATA
    (listed,) = re.findall(r"TOKENSWARM_ALLOWED_HOSTS='([^']*)'", text)
    assert len(allow(listed).entries) == 4
    for row in re.findall(r"^\| (`.*`) \| (?:this|all|a) ", text, re.MULTILINE):
        for entry in re.findall("`([^`]+)`", row):
            assert len(allow(entry).entries) == 1
    (origins,) = re.findall(r"export TOKENSWARM_API_KEY_ORIGIN=(\S*)", text)
    assert len(key_origin.read({"TOKENSWARM_API_KEY_ORIGIN": origins}) or ()) == 2
