"""The service of the names: what it answers, what it refuses, and many at once. `test_name_page.py` has its page."""

import asyncio
import json
import math
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from urllib.parse import quote

import programs
import pytest
from programs import ROOT, free_port

pytest.importorskip("fastapi_offline", reason="needs fastapi_offline: pip install -e '.[dev]'")
pytest.importorskip("uvicorn", reason="needs uvicorn: pip install -e '.[dev]'")
from name_languages.network import WEIGHTS, load
from name_languages.predict import predict
from name_languages.serve import Batcher, Impatient, make_server

from scratch.fast import fast

pytestmark = pytest.mark.needs("fastapi_offline", "uvicorn")


@pytest.fixture(scope="module")
def model():
    return fast(load(WEIGHTS), threads=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running service: its port, and its process."""
    with programs.name_service(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture
def ask(server):
    """A function from path (and method) to status, content type and body."""

    def get(path, method="GET"):
        try:
            # The port listens before the service is ready; the kernel keeps the first requests meanwhile.
            request = urllib.request.Request(f"http://127.0.0.1:{server[0]}{path}", method=method)
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers["content-type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["content-type"], error.read().decode()

    return get


def test_answers_are_those_of_predict(ask, model):
    for name in ("Satoshi", "Ślusàrski", "O'Neàl", "van der Berg", "<script>alert(1)<script>", "a%b", "..x", "A\nb"):
        status, kind, body = ask("/" + quote(name, safe=""))
        assert (status, kind) == (200, "application/json"), name
        result, expected = json.loads(body)["result"], predict(model, [name], 10)[0]
        assert [label for _, label in result] == [label for _, label in expected]
        assert [log_p for log_p, _ in result] == pytest.approx([log_p for log_p, _ in expected])
    whole = json.loads(ask("/Satoshi?top=99")[2])["result"]
    assert len(whole) == 18 and sum(math.exp(log_p) for log_p, _ in whole) == pytest.approx(1, abs=1e-5)
    assert len(json.loads(ask("/Satoshi?top=3")[2])["result"]) == 3


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/12345", 404), ("/%F0%9F%98%80", 404), ("/%00%01", 404), ("/%FF%FE", 404), ("/%20", 404), ("/...", 404),
        ("/" + "x" * 201, 422), ("/" + "x" * 10_000, 422), ("/Abe?top=0", 422), ("/Abe?top=x", 422),
        ("/Abe?top=1001", 422), ("/a/b", 404), ("/a%2Fb", 404), ("/../../etc/passwd", 404),
        ("/%2E%2E%2Fetc%2Fpasswd", 404),
    ],
)
def test_what_cannot_be_answered(ask, path, expected):
    status, kind, body = ask(path)
    assert (status, kind) == (expected, "application/json") and json.loads(body)["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_wrong_methods(ask, method):
    assert ask("/Abe", method)[0] == 405


def test_the_page_and_the_documentation(ask):
    page = ask("/")[2]
    assert "<title>Names to languages</title>" in page and "innerHTML" not in page and "https://" not in page
    docs = ask("/docs")[2]
    assert "swagger" in docs and "https://" not in docs
    for script in re.findall(r'src="([^"]+)"', docs):
        assert ask(script)[0] == 200
    schema = json.loads(ask("/openapi.json")[2])
    assert list(schema["paths"]) == ["/{name}"]
    assert set(schema["paths"]["/{name}"]["get"]["responses"]) == {"200", "404", "422"}


def test_names_that_wait_are_read_together(model, monkeypatch):
    sizes, seen = [], set()

    def counted(model, names, top):
        sizes.append(len(names))
        seen.update(names)
        if "Bad" in names:
            raise RuntimeError("broken")
        return predict(model, names, top)

    monkeypatch.setattr("name_languages.serve.predict", counted)

    async def here():
        return False

    async def gone():
        return True

    async def ask_many():
        batcher = Batcher(model)
        task = asyncio.create_task(batcher.run())
        names = [f"Name{'abc'[k % 3] * (k % 7)}" for k in range(150)]
        dropped = [batcher.ask("Gone", gone) for _ in range(100)]
        *nothing, results = await asyncio.gather(*dropped, asyncio.gather(*(batcher.ask(name, here) for name in names)))
        assert nothing == [[]] * 100 and "Gone" not in seen
        cancelled = asyncio.create_task(batcher.ask("Cancelled", here))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(RuntimeError, match="broken"):
            await batcher.ask("Bad", here)
        assert (await batcher.ask("Satoshi", here))[0][1] == "Japanese"  # and it goes on
        task.cancel()
        return names, results

    names, results = asyncio.run(ask_many())
    assert sizes[:3] == [64, 64, 22]
    for name, result in zip(names, results, strict=True):
        ((log_p, label),) = predict(model, [name], 1)[0]
        assert result[0] == (pytest.approx(log_p, abs=1e-5), label)


def test_long_names_do_not_hold_up_short_ones(model, monkeypatch):
    batches = []

    def noted(model, names, top):
        batches.append([len(name) for name in names])
        return predict(model, names, top)

    monkeypatch.setattr("name_languages.serve.predict", noted)

    async def here():
        return False

    async def ask_many():
        batcher = Batcher(model)
        task = asyncio.create_task(batcher.run())
        names = [*["x" * 190] * 20, *["Abe"] * 70, *["y" * 30] * 5, "한" * 190]
        results = await asyncio.gather(*(batcher.ask(name, here) for name in names))
        assert (await batcher.ask("Satoshi", here))[0][1] == "Japanese"  # and it goes on
        task.cancel()
        return names, results

    names, results = asyncio.run(ask_many())
    # Each length has its turn. (A Korean syllable is read as its two or three letters.)
    assert batches == [[190] * 4, [3] * 64, [30] * 5, [190], [190] * 4, [3] * 6, *[[190] * 4] * 3, [7]]
    for name, result in zip(names, results, strict=True):
        ((log_p, label),) = predict(model, [name], 1)[0]
        assert result[0] == (pytest.approx(log_p, abs=1e-5), label)


@pytest.fixture
def patient_server(model, monkeypatch):
    """A service in this process, of little patience, whose network waits for `go`: its port, `go`, and what it read."""
    go, seen = threading.Event(), []

    def slow(model, names, top):
        seen.extend(names)
        go.wait(20)
        return predict(model, names, top)

    monkeypatch.setattr("name_languages.serve.predict", slow)
    monkeypatch.setattr("name_languages.serve.PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = make_server(model)
        thread = threading.Thread(target=service.run, args=([listener],))
        thread.start()
        yield listener.getsockname()[1], go, seen
        go.set()
        service.should_exit = True
        thread.join()


def connect(port, text=b""):
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(20)
    client.sendall(text)
    return client


def test_a_name_whose_client_has_gone_is_not_read(patient_server, monkeypatch):
    port, go, seen = patient_server
    lost, connection_lost = [], Impatient.connection_lost

    def noted(connection, error):
        connection_lost(connection, error)
        lost.append(connection)

    monkeypatch.setattr(Impatient, "connection_lost", noted)
    with connect(port, b"GET /First HTTP/1.1\r\nHost: localhost\r\n\r\n") as first:
        while not seen:
            time.sleep(0.01)
        for _ in range(20):
            connect(port, b"GET /Gone HTTP/1.1\r\nHost: localhost\r\n\r\n").close()
        with connect(port, b"GET /Last HTTP/1.1\r\nHost: localhost\r\n\r\n") as last:
            while len(lost) < 20:
                time.sleep(0.01)
            go.set()
            assert first.recv(1000).startswith(b"HTTP/1.1 200") and last.recv(1000).startswith(b"HTTP/1.1 200")
    assert seen == ["First", "Last"]


BIG = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"  # more than a socket buffers


@pytest.mark.parametrize("sent", [
    b"", b"GET /Ab", b"GET /Abe HTTP/1.1\r\nHost: localhost\r\n", BIG * 20,
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1",
    b"GET /Slow HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
])
def test_a_connection_without_progress_is_closed(sent, patient_server):
    with connect(patient_server[0], sent) as client:
        time.sleep(1.2)  # a client that reads meanwhile makes progress
        started = time.monotonic()
        with suppress(ConnectionError):
            while client.recv(2**20):
                pass
        assert time.monotonic() - started < 3  # uvicorn's own limit of 5 seconds, if it applied, would be later


def test_a_client_that_sends_a_byte_at_a_time_is_not_waited_for(patient_server):
    with connect(patient_server[0], b"GET /") as client, pytest.raises(ConnectionError):
        for _ in range(200):
            client.sendall(b"x")
            time.sleep(0.05)


def test_a_body_does_not_wait_until_its_head_was_received(patient_server, monkeypatch):
    options = []

    def noted(connection, seconds):
        at_once = connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        options.append(at_once)

    monkeypatch.setattr(Impatient, "give", noted)
    with connect(patient_server[0], b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        while not options:
            time.sleep(0.01)
    assert all(options)


MALFORMED = [
    b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\n\r\n", b"GET /Abe HTTP/1.1\r\nbad header\r\n\r\n", bytes(range(256)) * 9,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n", b"POST /Abe HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /Abe HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: x\r\n\r\n",
    b"GET /Abe HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500, BIG * 20,
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whatever_clients_do_the_service_is_quiet_and_ends_in_seconds(number, tmp_path):
    port = free_port()
    process = programs.start("name_languages", "serve", "--port", port, cwd=tmp_path)
    process.stdout.readline()
    for sent in MALFORMED:
        connect(port, sent).close()  # some go before they read an answer
        with connect(port, sent) as client, suppress(ConnectionError):
            client.shutdown(socket.SHUT_WR)
            while client.recv(2**16):
                pass
    clients = [connect(port, sent) for sent in (BIG * 20, b"", b"GET /Ab")]
    assert clients[0].recv(1)  # it is being answered
    process.send_signal(number)
    _, err = process.communicate(timeout=12)  # less than the patience with a client
    for client in clients:
        client.close()
    stopped = number == signal.SIGINT
    assert (process.returncode, err) == ((130, "name_languages: stopped\n") if stopped else (-signal.SIGTERM, ""))


def test_the_service_needs_its_extra(tmp_path):
    (tmp_path / "fastapi.py").write_text("raise ImportError('no fastapi')")
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    assert "pip install -e '.[serve]'" in programs.refused("name_languages", "serve", cwd=tmp_path, env=env)


def test_a_busy_port_and_an_interrupt(server, tmp_path):
    port, process = server
    busy = programs.refused("name_languages", "serve", "--port", port, cwd=tmp_path)
    assert f"port {port} cannot be used" in busy and "--port" in busy
    assert "port 99999 cannot be used" in programs.refused("name_languages", "serve", "--port", 99999, cwd=tmp_path)
    process.send_signal(signal.SIGINT)  # the last test: it ends the server
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and err == "name_languages: stopped\n"
