"""What a browser may do with the service of the names, which hosts it answers for, and its page in a real browser."""

import json
import shutil
import socket

import programs
import pytest

pytestmark = pytest.mark.needs("fastapi_offline", "uvicorn")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running service: its port, and its process."""
    with programs.name_service(tmp_path_factory.mktemp("serve")) as running:
        yield running


def received(port, *lines):
    """The first line, the headers and the body of the answer to a request of these lines."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall("".join(f"{line}\r\n" for line in (*lines, "Connection: close", "")).encode())
        head, _, body = b"".join(iter(lambda: client.recv(2**16), b"")).decode().partition("\r\n\r\n")
    first, *headers = head.splitlines()
    return first, dict(line.lower().split(": ", 1) for line in headers), body


@pytest.mark.parametrize("lines", [
    *((f"GET {path} HTTP/1.1", "Host: localhost") for path in ("/", "/docs", "/Abe", "/123", "/Abe?top=0", "/a/b")),
    ("GET / HTTP/1.1", "Host: x"), ("POST /Abe HTTP/1.1", "Host: localhost"), ("nonsense",),
], ids=lambda lines: " ".join(lines))
def test_every_answer_limits_what_a_browser_may_do(lines, server):
    _, headers, _ = received(server[0], *lines)
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "deny"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ") and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy


@pytest.mark.parametrize("host", [
    "localhost", "localhost:5533", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:5533",
])
def test_requests_for_localhost_are_answered(host, server):
    assert received(server[0], "GET /Abe HTTP/1.1", f"Host: {host}")[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("path", ["/Abe", "/", "/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"])
@pytest.mark.parametrize("headers", [
    ["Host: evil.example"], ["Host: localhost.evil.example:5533"], ["Host: xlocalhost"], ["Host: 127.0.0.2"],
    ["Host: evil.example:127.0.0.1"], ["Host: localhost@evil.example"], ["Host: "], [],
], ids=str)
def test_other_requests_are_not(headers, path, server):
    first, _, body = received(server[0], f"GET {path} HTTP/1.1", *headers)
    assert (first, body) == ("HTTP/1.1 400 Bad Request", "Invalid host header")


@pytest.fixture
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


def test_a_person_types_a_name_and_sees_the_bars(server, browser):
    page = browser.new_page(bypass_csp=True)  # wait_for_function calls eval
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(f"http://localhost:{server[0]}/")
    page.evaluate("moved = 0; document.addEventListener('transitionrun', () => ++moved)")
    for name, language in (("Satoshi", "Japanese"), ("Papadopoulos", "Greek"), ("Kim", "Korean")):
        page.fill("#name", "")
        page.type("#name", name)
        page.wait_for_function(f"document.querySelector('#json').textContent == '/{name}'")
        page.wait_for_function(f"document.querySelector('.language')?.textContent == '{language}'")
        # The answers for its first letters may have the same language.
        page.wait_for_function("parseFloat(document.querySelector('.bar').style.width) > 50")
        widths = page.eval_on_selector_all(".bar", "bars => bars.map(bar => parseFloat(bar.style.width))")
        assert 1 <= len(widths) <= 10 and widths == sorted(widths, reverse=True)
        shares = page.locator(".share").all_inner_texts()
        assert all(share.endswith(" %") and share != "0.0 %" for share in shares) and len(shares) == len(widths)
    page.wait_for_function("moved >= 3")
    page.evaluate("bar = document.querySelector('.bar')")
    page.click("text=Schmidhuber")
    page.wait_for_function("document.querySelector('.language')?.textContent == 'German'")
    assert page.input_value("#name") == "Schmidhuber" and page.inner_text("#json") == "/Schmidhuber"
    assert page.evaluate("bar === document.querySelector('.bar')")  # a bar that is replaced cannot move
    page.fill("#name", "<img src=x onerror=alert(1)>")
    page.wait_for_function("document.querySelector('#json').textContent.startsWith('/%3Cimg')")
    for name, message, address in (
        ("123", "no letter", "/123"), ("../x", "slash", "/Satoshi"), ("Abe", "", "/Abe"), ("", "", "/Satoshi"),
        ("docs", "documentation", "/Satoshi"), (" Li ", "", "/Li"), ("...", "dots", "/Satoshi"),
    ):
        page.fill("#name", name)
        page.wait_for_function("words => document.querySelector('#message').textContent.includes(words)", arg=message)
        assert page.inner_text("#json") == page.get_attribute("#json", "href") == address
        if message or not name:
            page.wait_for_function("document.querySelectorAll('.bar').length == 0")
    assert dialogs == []


CONTRAST = """selector => {
    const channels = css => css.match(/[\\d.]+/g).slice(0, 3).map(c => c / 255);
    const light = css => channels(css).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
    const canvas = document.body.appendChild(document.createElement("i"));
    canvas.style.background = "Canvas";
    const [a, b] = [getComputedStyle(document.querySelector(selector)).color, getComputedStyle(canvas).backgroundColor];
    canvas.remove();
    return (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_is_readable(scheme, width, server, browser):
    page = browser.new_page(bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 800})
    sure = json.dumps({"result": [[0, "Vietnamese"], [-20, "Greek"]]})
    page.route("**/Sure", lambda route: route.fulfill(body=sure, content_type="application/json"))
    page.goto(f"http://localhost:{server[0]}/")
    page.fill("#name", "Sure")
    page.wait_for_selector(".share")
    assert page.inner_text(".share") == "100.0 %"
    height = "selector => document.querySelector(selector).getBoundingClientRect().height"
    assert page.evaluate(height, ".share") == page.evaluate(height, ".language")  # one line
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in ("a", "button", "p", "footer", "#message"):
        assert page.evaluate(CONTRAST, selector) >= 7, selector


def test_the_pages_work_under_their_policy_and_nothing_else_runs(server, browser):
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"http://localhost:{server[0]}/")
    page.fill("#name", "Satoshi")
    page.locator(".language", has_text="Japanese").wait_for()
    assert page.locator("button").count() == 5
    assert page.evaluate("getComputedStyle(document.querySelector('#bars')).display") == "grid"
    assert page.eval_on_selector(".bar", "bar => bar.style.width") != "0"
    page.goto(f"http://localhost:{server[0]}/docs")
    page.locator(".opblock-summary").click()
    page.get_by_text("Try it out").click()
    page.get_by_placeholder("name").fill("Satoshi")
    page.get_by_text("Execute", exact=True).click()
    page.locator(".responses-inner", has_text="Japanese").first.wait_for()
    assert said == []
    page.goto(f"http://localhost:{server[0]}/")
    page.evaluate("""() => {
        document.body.append(Object.assign(document.createElement("script"), {textContent: "moved = 1"}));
        document.body.insertAdjacentHTML("beforeend", "<img src=/x/y onerror='moved = 1'>");
    }""")
    while sum("Content Security Policy" in text for text in said) < 2:
        page.wait_for_timeout(50)
    assert page.evaluate("typeof moved") == "undefined"
