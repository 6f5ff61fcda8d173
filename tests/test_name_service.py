"""The service of the names: what it answers, what it refuses, many at once, and the page in a real browser."""

import asyncio
import json
import math
import os
import re
import shutil
import signal
import socket
import urllib.error
import urllib.request
from urllib.parse import quote

import programs
import pytest
from programs import ROOT

pytest.importorskip("fastapi_offline")
pytest.importorskip("uvicorn")
from name_languages.network import WEIGHTS, load
from name_languages.predict import predict
from name_languages.serve import Batcher

from scratch.fast import fast


@pytest.fixture(scope="module")
def model():
    return fast(load(WEIGHTS), threads=1)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running service: its port, and its process."""
    port = free_port()
    process = programs.start("name_languages", "serve", "--port", port, cwd=tmp_path_factory.mktemp("serve"))
    assert f"http://localhost:{port}/" in process.stdout.readline()
    yield port, process
    process.kill()
    process.communicate()


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
    sizes = []

    def counted(model, names, top):
        sizes.append(len(names))
        if "Bad" in names:
            raise RuntimeError("broken")
        return predict(model, names, top)

    monkeypatch.setattr("name_languages.serve.predict", counted)

    async def ask_many():
        batcher = Batcher(model)
        task = asyncio.create_task(batcher.run())
        names = [f"Name{'abc'[k % 3] * (k % 7)}" for k in range(150)]
        results = await asyncio.gather(*(batcher.ask(name) for name in names))
        gone = asyncio.create_task(batcher.ask("Gone"))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(RuntimeError, match="broken"):
            await batcher.ask("Bad")
        assert (await batcher.ask("Satoshi"))[0][1] == "Japanese"  # and it goes on
        task.cancel()
        return names, results

    names, results = asyncio.run(ask_many())
    assert sizes[:3] == [64, 64, 22]
    for name, result in zip(names, results, strict=True):
        ((log_p, label),) = predict(model, [name], 1)[0]
        assert result[0] == (pytest.approx(log_p, abs=1e-5), label)


def test_a_person_types_a_name_and_sees_the_bars(server):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    port, _ = server
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        dialogs = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(f"http://localhost:{port}/")
        for name, language in (("Satoshi", "Japanese"), ("Papadopoulos", "Greek")):
            page.fill("#name", "")
            page.type("#name", name)
            page.wait_for_function(f"document.querySelector('#json').textContent == '/{name}'")
            page.wait_for_function(f"document.querySelector('.language').textContent == '{language}'")
            widths = page.eval_on_selector_all(".bar", "bars => bars.map(bar => parseFloat(bar.style.width))")
            assert len(widths) == 10 and widths[0] > 50 and widths == sorted(widths, reverse=True)
            assert page.inner_text(".share").endswith("%")
        page.fill("#name", "<img src=x onerror=alert(1)>")
        page.wait_for_function("document.querySelector('#json').textContent.startsWith('/%3Cimg')")
        page.fill("#name", "123")
        page.wait_for_function("document.querySelector('#message').textContent.includes('no letter')")
        page.fill("#name", "../x")
        page.wait_for_function("document.querySelector('#message').textContent.includes('slash')")
        page.fill("#name", "")
        page.wait_for_function("document.querySelectorAll('.bar').length == 0")
        assert dialogs == []
        browser.close()


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
