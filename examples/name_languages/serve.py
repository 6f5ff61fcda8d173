"""The PyTorch tutorial's JSON service: GET /Satoshi returns the likeliest languages of that name; / is a web page.

The answer is {"result": [[-0.47, "Scottish"], ...]}: pairs of log-probability (nats) and language, the likeliest first.
The service listens on localhost only. Names that arrive together are predicted as one batch, which takes little longer
than a single name. A connection that makes no progress is closed.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi_offline import FastAPIOffline
from name_languages.letters import MAX_LENGTH, check
from name_languages.network import WEIGHTS, NameReader, load
from name_languages.predict import predict
from pydantic import BaseModel, Field
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.tools import program

PAGE = Path(__file__).with_name("page.html")
MAX_BATCH = 64
HOST = "127.0.0.1"
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
    """Collects the waiting names into batches for the network."""

    def __init__(self, model: NameReader) -> None:
        self.model = model
        self.waiting: asyncio.Queue[tuple[str, asyncio.Future, Gone]] = asyncio.Queue()

    async def ask(self, name: str, gone: Gone) -> list[tuple[float, str]]:
        """Every language for `name`, the likeliest first; an empty list if its client disconnects before its turn."""
        answer: asyncio.Future = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait((name, answer, gone))
        return await answer

    async def run(self) -> None:
        """Answer until cancelled. Only this task uses the network, whose layers remember one forward at a time."""
        while True:
            names, answers, entry = [], [], await self.waiting.get()
            while True:
                name, answer, gone = entry
                if not await gone():
                    names.append(name)
                    answers.append(answer)
                elif not answer.cancelled():
                    answer.set_result([])
                if len(names) == MAX_BATCH or self.waiting.empty():
                    break
                entry = self.waiting.get_nowait()
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


def make_app(model: NameReader) -> FastAPI:
    """The service, for one network."""
    batcher = Batcher(model)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(batcher.run())
        yield
        task.cancel()

    app = FastAPIOffline(
        title="Names to languages", version="1", description=__doc__, lifespan=lifespan, redoc_url=None,
    )
    page = PAGE.read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

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
    return uvicorn.Server(uvicorn.Config(
        make_app(model), http=Impatient, ws="none", log_config=None, log_level="error", access_log=False,
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
