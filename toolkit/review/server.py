"""The review's HTTP: `app(pages, port, token)`, behind `guard.Guard`; and `serve`, which runs it.

    with open_session(root) as session:
        serve(session, port=0, by="anna", ready=print)      # until it is stopped

What is sent and answered, `docs/review-http.md` lists. Every answer to a decision comes when it is on the disk.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import unquote

import msgspec
import uvicorn
from msgspec import Meta
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ...datasets.decisions import LONGEST, Draft
from ...datasets.errors import ReidkitError, UsageError
from ...datasets.text import printable
from .guard import Guard, PatientProtocol
from .judgement import as_built
from .machine import Machine
from .session import Change, Refused, Session
from .views import Views

PAGE = Path(__file__).parent / "page"
HOST = "127.0.0.1"
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
ALIVE = 15.0  # seconds between two signs of life of a stream of changes

Name = Annotated[str, Meta(max_length=LONGEST)]


class Deciding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/decide`."""

    revision: Annotated[int, Meta(ge=0)]
    decisions: Annotated[tuple[Draft, ...], Meta(min_length=1, max_length=1000)]
    by: Name = ""


class By(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/undo` and `/api/redo`."""

    by: Name = ""


Asked = TypeVar("Asked", Deciding, By)


class Pages:
    """The handlers. `by`: who decides where a request names nobody."""

    def __init__(self, session: Session, views: Views, by: str) -> None:
        self.session, self.views, self.by = session, views, by
        self.closing = asyncio.Event()
        # The files of the page, by name: nothing else is ever read from that folder.
        self._files = {p.name: p for p in sorted(PAGE.iterdir()) if p.suffix in TYPES} if PAGE.is_dir() else {}

    def routes(self) -> list[Route]:
        return [
            Route("/", self.index),
            Route("/static/{name}", self.static),
            Route("/api/state", self.state),
            Route("/api/changes", self.changes),
            Route("/api/decide", self.decide, methods=["POST"]),
            Route("/api/undo", self.undo, methods=["POST"]),
            Route("/api/redo", self.redo, methods=["POST"]),
            Route("/{rest:path}", self.other),
        ]

    def index(self, request: Request) -> Response:
        return self._file("index.html")

    def static(self, request: Request) -> Response:
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        path = self._files.get(name)
        if path is None:
            raise HTTPException(404, "There is no such page.")
        return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers={"Cache-Control": "no-cache"})

    def state(self, request: Request) -> Response:
        return _json(self.views.state())

    def other(self, request: Request) -> Response:
        """The pages whose address holds a tracklet's id or an event's name, which may hold anything: encoded whole."""
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        parts = [unquote(part) for part in raw.decode("latin-1").split("?")[0].split("/")[1:]]
        try:
            match parts:
                case ["api", "identity", number] if number.isdecimal() and len(number) < 17:
                    return _json(self.views.identity(int(number)))
                case ["api", "nobody", "junk" | "distractor" as kind]:
                    return _json(self.views.nobody(kind))
                case ["api", "timeline", event]:
                    return _json(self.views.timeline(event))
                case ["api", "frames", tracklet]:
                    return _json(self.views.frames(tracklet))
                case ["cover", name] if name.endswith(".jpg"):
                    return _jpeg(self.views.cover(name.removesuffix(".jpg")), "private, max-age=60")
                case ["crop", tracklet, name] if name.endswith(".jpg") and name[:-4].isdecimal() and len(name) < 17:
                    data, frame = self.views.crop(tracklet, int(name[:-4]))
                    answer = _jpeg(data, "private, max-age=86400, immutable")
                    answer.headers["X-Frame"] = str(frame)
                    return answer
        except KeyError:
            raise HTTPException(404, "That is not there, or no longer.") from None
        raise HTTPException(404, "There is no such page.")

    async def decide(self, request: Request) -> Response:
        return await self._answered(request, Deciding, lambda a, by: self.session.decide(a.revision, by, a.decisions))

    async def undo(self, request: Request) -> Response:
        return await self._answered(request, By, lambda _, by: self.session.undo(by))

    async def redo(self, request: Request) -> Response:
        return await self._answered(request, By, lambda _, by: self.session.redo(by))

    async def _answered(self, request: Request, schema: type[Asked], take: Callable[[Asked, str], Change]) -> Response:
        asked = _read(await request.body(), schema)
        change = await run_in_threadpool(take, asked, asked.by or self.by)
        return _json({"revision": change.revision, "changed": change.identities})

    async def changes(self, request: Request) -> Response:
        since = request.query_params.get("since", "")
        if since and not since.isdecimal():
            raise HTTPException(400, "`since` is a revision: a whole number.")
        stream = self._stream(int(since) if since else None)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _stream(self, since: int | None) -> AsyncIterator[bytes]:
        loop, waiting = asyncio.get_running_loop(), asyncio.Queue()

        def watch(change: Change) -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(waiting.put_nowait, change)

        with self.session.lock:
            for change in self.session.missed(since):
                waiting.put_nowait(change)
            self.session.watchers.append(watch)
        closing = asyncio.create_task(self.closing.wait())
        news = asyncio.create_task(waiting.get())
        try:
            yield b": here\n\n"
            while not closing.done():
                await asyncio.wait((news, closing), timeout=ALIVE, return_when=asyncio.FIRST_COMPLETED)
                if news.done():
                    change, news = news.result(), asyncio.create_task(waiting.get())
                    yield b"data: " + msgspec.json.encode(change) + b"\n\n"
                else:
                    yield b": here\n\n"
        finally:
            news.cancel()
            closing.cancel()
            self.session.watchers.remove(watch)


def app(pages: Pages, port: int, token: str) -> ASGIApp:
    """The whole application, guarded."""

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        answer: dict[str, object] = {"error": printable(str(error))}
        if error.conflict:
            answer["conflict"] = {"tracklets": list(error.conflict)}
        if error.stale:
            answer["stale"] = True
        return JSONResponse(answer, 409)

    def failed(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": printable(str(error))}, 400 if isinstance(error, UsageError) else 500)

    def absent(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, error.status_code)

    inner = Starlette(
        routes=pages.routes(),
        exception_handlers={Refused: refused, ReidkitError: failed, HTTPException: absent},
    )
    return Guard(inner, port, token)


def serve(session: Session, *, port: int, by: str, ready: Callable[[str], None], relink: bool = True) -> None:
    """Runs until the process is told to stop (Ctrl-C).

    Args:
        port: 0 for any free one.
        ready: called with the address, key and all, when requests are answered.
        relink: whether the machine links again after each decision.

    Raises:
        UsageError: the port is taken.
    """
    views = Views(session, as_built(session.material))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"Port {port} can't be used ({error.strerror}). Leave --port out for any free one."
            ) from None
        with Machine(session, views, relink=relink):
            asyncio.run(_run(session, views, by, listener, ready))


async def _run(session: Session, views: Views, by: str, listener: socket.socket, ready: Callable[[str], None]) -> None:
    port, token = listener.getsockname()[1], secrets.token_urlsafe(32)
    pages = Pages(session, views, by)
    config = uvicorn.Config(
        app(pages, port, token),
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not running.done():
        await asyncio.sleep(0.01)
    ready(f"http://{HOST}:{port}/?token={token}")
    while not server.should_exit and not running.done():
        await asyncio.sleep(0.1)
    pages.closing.set()  # streams of changes end, so that the server can
    await running


def _read(body: bytes, schema: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(body, type=schema)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"The body can't be used: {printable(str(error))[:300]}.") from None


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _jpeg(data: bytes, caching: str) -> Response:
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": caching})
