"""The PyTorch tutorial's JSON service: GET /Satoshi returns the likeliest languages of that name; / is a web page.

The answer is {"result": [[-0.47, "Scottish"], ...]}: pairs of log-probability (nats) and language, the likeliest first.
The service listens on localhost only, and answers only requests for localhost. Names of similar length that arrive
together are predicted as one batch, which takes little longer than a single name. A connection that makes no progress
is closed.
"""

import asyncio
import base64
import hashlib
import logging
import re
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi_offline import FastAPIOffline
from name_languages.letters import MAX_LENGTH, check, encode
from name_languages.network import WEIGHTS, NameReader, load
from name_languages.predict import predict
from pydantic import BaseModel, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.tools import program

PAGE = Path(__file__).with_name("page.html")
TITLE, SWAGGER = "Names to languages", "/static-offline-docs/swagger-ui"
SHORT, MAX_BATCH = 16, 64  # a batch has at most 64 names of up to 16 letters, 32 of up to 32, 16 of up to 64, and so on
HOST = "127.0.0.1"
# Any other host in a request is that of a web site which made its name point to this machine (DNS rebinding).
HOSTS = ["localhost", HOST, "[::1]"]
PATIENCE, LAST_PATIENCE = 15, 2  # seconds for a request and its answer: normally, and once the service is stopping
# tuple[float, str] would be more exact, but not every OpenAPI reader supports the prefixItems that it becomes.
Guess = Annotated[list[float | str], Field(min_length=2, max_length=2)]
Gone = Callable[[], Awaitable[bool]]


class Guesses(BaseModel):
    """Pairs of log-probability (nats) and language, the likeliest first."""

    result: list[Guess] = Field(examples=[[[-0.47, "Scottish"], [-1.52, "English"], [-3.57, "Irish"]]])


class Refusal(BaseModel):
    """Why there is no result: the network knows no letter of the name, or the name contains a slash."""

    detail: str


class Batcher:
    """Collects the waiting names into batches of similar length, because all are padded to the longest of their batch.

    waiting: the names by length, rounded up to a power of two. Lengths take turns, and batches of long names are
        smaller, so that all take about as long. So long names do not hold up short ones.
    """

    def __init__(self, model: NameReader) -> None:
        self.model = model
        self.waiting: dict[int, deque[tuple[str, asyncio.Future, Gone]]] = {}
        self.some_wait = asyncio.Event()

    async def ask(self, name: str, gone: Gone) -> list[tuple[float, str]]:
        """Every language for `name`, the likeliest first; an empty list if its client disconnects before its turn."""
        answer: asyncio.Future = asyncio.get_running_loop().create_future()
        length = max(len(encode(name, self.model.alphabet)), SHORT)
        self.waiting.setdefault(1 << (length - 1).bit_length(), deque()).append((name, answer, gone))
        self.some_wait.set()
        return await answer

    async def run(self) -> None:
        """Answer until cancelled. Only this task uses the network, whose layers remember one forward at a time."""
        while True:
            await self.some_wait.wait()
            names, answers = [], []
            length, waiting = next(iter(self.waiting.items()))
            most = max(MAX_BATCH * SHORT // length, 1)
            while waiting and len(names) < most:
                name, answer, gone = waiting.popleft()
                if not await gone():
                    names.append(name)
                    answers.append(answer)
                elif not answer.cancelled():
                    answer.set_result([])
            del self.waiting[length]
            if waiting:  # the next turn is another length's
                self.waiting[length] = waiting
            elif not self.waiting:
                self.some_wait.clear()
            if not names:
                continue
            try:
                # In a thread, so that the next requests can arrive meanwhile.
                results = await asyncio.to_thread(predict, self.model, names, len(self.model.labels))
            except Exception as error:  # passed on to every request that waits
                for answer in answers:
                    if not answer.cancelled():
                        answer.set_exception(error)
                continue
            for answer, result in zip(answers, results, strict=True):
                if not answer.cancelled():
                    answer.set_result(result)


class Impatient(AutoHTTPProtocol):
    """A connection that is closed unless its client sends a complete request and reads the answer in time.

    uvicorn's own time limits start only after an answer, and do not cover a client that does not read.
    """

    stopping = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.limit = self.loop.call_later(PATIENCE, transport.abort)
        # An answer is sent as a head and a body. Without this, the body waits until the client has confirmed the head,
        # which Linux does after 40 ms. (asyncio sets it only on sockets whose protocol number is explicit.)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.stopping and not self.transport.is_closing():
            self.give(PATIENCE)

    def shutdown(self) -> None:
        super().shutdown()
        self.stopping = True
        self.give(LAST_PATIENCE)

    def connection_lost(self, exc: Exception | None) -> None:
        self.limit.cancel()
        super().connection_lost(exc)

    def give(self, seconds: float) -> None:
        self.limit.cancel()
        self.limit = self.loop.call_later(seconds, self.transport.abort)


def policy(pages: Mapping[str, str]) -> str:
    """The Content-Security-Policy: browsers use only the scripts and styles of these pages and of the service's files.

    The hash of each script or style in a page allows it. `data:` allows the icons in the API documentation.
    """
    allowed: dict[str, list[str]] = {"script": ["'self'"], "style": ["'self'"]}
    for kind, text in re.findall(r"<(script|style)>(.*?)</\1>", "".join(pages.values()), flags=re.DOTALL):
        allowed[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
    return (
        f"default-src 'none'; script-src {' '.join(allowed['script'])}; style-src {' '.join(allowed['style'])}; "
        "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def make_app(model: NameReader, pages: Mapping[str, str]) -> FastAPI:
    """The service, for one network, with these pages by their addresses."""
    batcher = Batcher(model)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(batcher.run())
        yield
        task.cancel()

    app = FastAPIOffline(
        title=TITLE, version="1", description=__doc__, lifespan=lifespan, docs_url=None, redoc_url=None,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)

    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(pages[request.url.path])

    for path in pages:
        app.get(path, include_in_schema=False)(page)

    @app.get("/{name}", response_model=Guesses, responses={404: {"model": Refusal}})
    async def languages(
        request: Request,
        name: Annotated[str, PathParameter(max_length=MAX_LENGTH, description="the name, percent-encoded")],
        top: Annotated[int, Query(ge=1, le=1000, description="number of languages to return")] = 10,
    ) -> JSONResponse:
        """Return the likeliest languages of a name, each with its log-probability in nats."""
        try:
            check(name, model.alphabet)
        except ScratchError as error:
            return JSONResponse({"detail": str(error)}, status_code=404)
        guesses = await batcher.ask(name, request.is_disconnected)
        return JSONResponse({"result": guesses[:top]})

    @app.exception_handler(404)
    async def unknown(request: Request, error: Any) -> JSONResponse:
        return JSONResponse({"detail": "expected the address /NAME, with no slash in the name"}, status_code=404)

    return app


def make_server(model: NameReader) -> uvicorn.Server:
    """A server that is not yet bound to a port. It logs its own errors, but nothing that clients cause."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    documentation = get_swagger_ui_html(
        openapi_url="/openapi.json", title=TITLE, swagger_js_url=f"{SWAGGER}-bundle.js",
        swagger_css_url=f"{SWAGGER}.css", swagger_favicon_url="data:,",
    )
    pages = {"/": PAGE.read_text(encoding="utf-8"), "/docs": bytes(documentation.body).decode()}
    headers = [
        ("Content-Security-Policy", policy(pages)), ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"), ("X-Frame-Options", "DENY"),
    ]
    return uvicorn.Server(uvicorn.Config(
        make_app(model, pages), headers=headers, http=Impatient, ws="none",
        log_config=None, log_level="error", access_log=False,
        loop="asyncio",  # uvloop raises an error, which uvicorn logs, for writing to a client that has gone
        timeout_graceful_shutdown=2 * LAST_PATIENCE,
    ))


def serve(model: NameReader, port: int) -> None:
    """Run the service until Ctrl-C. Raises: ScratchError when the port cannot be used."""
    try:
        listener = socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise ScratchError(f"port {port} cannot be used ({error}); choose another with --port") from None
    address = f"http://localhost:{port}/"
    print(f"Web page: {address}; JSON: {address}Satoshi. Ctrl-C stops the service.", flush=True)
    make_server(model).run(sockets=[listener])


def command(arguments: list[str]) -> None:
    parser = program.Parser(
        "Serve predictions at http://localhost:5533/NAME, and a web page at /.", prog="name_languages serve"
    )
    parser.add_argument("--port", type=program.positive, default=5533, help="port on localhost (default: 5533)")
    parser.common(weights=WEIGHTS, device=None, plain=False)
    flags = parser.parse_args(arguments)
    program.begin(flags, small=True)
    model = load(flags.weights)
    serve(model if flags.plain else fast(model, threads=1), flags.port)  # batches are small
