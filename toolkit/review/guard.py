"""What stands before the review's pages, so that nobody but the person at this machine reaches them.

    app = Guard(app, port=8123, token="…")

The server listens on the loopback address, but any page in the browser, and any program of another user, can send
requests there. Therefore: the Host must be ours (a name that somebody else's server points at 127.0.0.1 is refused: DNS
rebinding), the Origin of a request that changes something, too, and the token must be known. A body is cut off at
LARGEST bytes and after PATIENCE seconds; a connection that sends no whole request within PATIENCE is closed
(`PatientProtocol`).
"""

import asyncio
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

LARGEST = 1 << 20  # bytes of a request's body
PATIENCE = 10.0  # seconds

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Lets a request through to `app`, or answers with what is wrong with it.

    Args:
        port: that the server listens on. token: what a request must know.
        patience: seconds in which a body must have come.
    """

    def __init__(self, app: ASGIApp, port: int, token: str, patience: float = PATIENCE) -> None:
        self._app, self._token, self._patience = app, token, patience
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._cookie = f"reidkit_review_{port}"  # the browser doesn't keep the cookies of two ports apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = self._refusal(scope) or self._greeting(scope)
        if answer is None and scope["method"] == "POST":
            try:
                receive = await self._body(scope, receive)
            except _Unwanted as unwanted:
                answer = _error(*unwanted.args)
                answer.headers["Connection"] = "close"
        await (answer or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return _error(405, "There are GET and POST here.")
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return _error(421, "This is the review of a dataset at 127.0.0.1; it answers under no other name.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {f"http://{host}" for host in self._hosts}:
            return _error(403, "Another page may not do that.")
        if scope["method"] == "POST":
            # A form of another page can't send this type without asking first.
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return _error(415, "Send application/json.")
        return None

    def _greeting(self, scope: Scope) -> Response | None:
        """None where the token is known; a cookie for a browser that comes with it in the address."""
        headers = Headers(scope=scope)
        if scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if given and self._knows(given):
                answer = RedirectResponse("/", status_code=303)
                answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
                return answer
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _error(403, "Another page may not do that.")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._knows(given.strip()):
            return None
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            cookie = None
        if cookie is not None and self._knows(cookie.value):
            return None
        return _error(403, "Open the address that `reidkit review` printed; it holds the key to this page.")

    def _knows(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self._token.encode())

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        """The whole body, read before anybody works with it."""
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > LARGEST:
            raise _Unwanted(413, f"The body is too large: {LARGEST} bytes are allowed.")
        body = b""
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    body += message.get("body", b"")
                    if len(body) > LARGEST:
                        raise _Unwanted(413, f"The body is too large: {LARGEST} bytes are allowed.")
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise _Unwanted(408, f"The body took more than {self._patience:g} s.") from None
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        return replay


class _Unwanted(Exception):
    """A status and a sentence."""


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP, but a connection that brings no whole head of a request in PATIENCE seconds is closed."""

    patience = PATIENCE

    def connection_made(self, transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waits_since: float | None = self.loop.time()
        self._look_again()

    def _look_again(self) -> None:
        if self.transport.is_closing():
            return
        now = self.loop.time()
        if self.cycle is not None and not self.cycle.response_complete:
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = now
        elif now - self._waits_since > self.patience:
            self.transport.close()
            return
        self.loop.call_later(self.patience / 10, self._look_again)


def _error(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return guarded
