"""The tutorial's JSON service: GET /Yourname gives {"result": [[-0.47, "Scottish"], ...]}; and a page at / to try it.

It answers this machine only. Names that are asked for at about the same time are read by the network as one batch,
which takes little longer than one name.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi_offline import FastAPIOffline
from names.letters import MAX_LENGTH, check, predict
from names.networks import NameReader
from pydantic import BaseModel, Field

from scratch.checks import ScratchError

PAGE = Path(__file__).with_name("page.html")
MAX_BATCH = 64
HOST = "127.0.0.1"
# tuple[float, str] would say it better, but not every reader of OpenAPI understands the prefixItems that it becomes.
Guess = Annotated[list[float | str], Field(min_length=2, max_length=2)]


class Guesses(BaseModel):
    """Pairs of log-probability (nats) and language, the likeliest first."""

    result: list[Guess] = Field(examples=[[[-0.47, "Scottish"], [-1.52, "English"], [-3.57, "Irish"]]])


class Refusal(BaseModel):
    """Why there is no answer: the name has no letter that the network knows, or a slash."""

    detail: str


class Batcher:
    """Collects the names that are waiting, and has the network read them together."""

    def __init__(self, model: NameReader) -> None:
        self.model = model
        self.waiting: asyncio.Queue[tuple[str, asyncio.Future]] = asyncio.Queue()

    async def ask(self, name: str) -> list[tuple[float, str]]:
        """Every language for `name`, the likeliest first."""
        answer: asyncio.Future = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait((name, answer))
        return await answer

    async def run(self) -> None:
        """Answer for ever. Only this task uses the network, so that its memory is never shared."""
        while True:
            batch = [await self.waiting.get()]
            while len(batch) < MAX_BATCH and not self.waiting.empty():
                batch.append(self.waiting.get_nowait())
            names, answers = [name for name, _ in batch], [answer for _, answer in batch]
            try:
                # In a thread, so that meanwhile the next requests can come in and gather.
                results = await asyncio.to_thread(predict, self.model, names, len(self.model.labels))
            except Exception as error:  # whatever it was, those who wait must hear of it
                for answer in answers:
                    if not answer.cancelled():
                        answer.set_exception(error)
                continue
            for answer, result in zip(answers, results, strict=True):
                if not answer.cancelled():  # as it is when its client has gone
                    answer.set_result(result)


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
        name: Annotated[str, PathParameter(max_length=MAX_LENGTH, description="a name, percent-encoded")],
        top: Annotated[int, Query(ge=1, le=1000, description="how many languages to give")] = 10,
    ) -> JSONResponse:
        """The likeliest languages of a name, each with its log-probability."""
        try:
            check(name, model.alphabet)
        except ScratchError as error:
            return JSONResponse({"detail": str(error)}, status_code=404)
        guesses = await batcher.ask(name)
        return JSONResponse({"result": guesses[:top]})

    @app.exception_handler(404)
    async def unknown(request: Request, error: Any) -> JSONResponse:
        return JSONResponse({"detail": "expected /NAME, with no slash in the name"}, status_code=404)

    return app


def serve(model: NameReader, port: int) -> None:
    """Answer until Ctrl-C. Raises: ScratchError when the port is not free."""
    try:
        listener = socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise ScratchError(f"port {port} cannot be used ({error}); choose another with --port") from None
    print(f"http://localhost:{port}/ is the page, http://localhost:{port}/Satoshi an answer; Ctrl-C ends", flush=True)
    config = uvicorn.Config(make_app(model), log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
