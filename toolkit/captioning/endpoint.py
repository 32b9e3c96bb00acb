"""Captions from any OpenAI-compatible server: vLLM, llama.cpp, or a hosted one.

    reidkit caption DIR --captioner endpoint --url http://127.0.0.1:8000/v1 --model microsoft/Phi-4-multimodal-instruct

The key comes from the environment variable REIDKIT_API_KEY only; it is sent to the server and appears nowhere else.
"""

import asyncio
import base64
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import msgspec

from ...datasets import ReidkitError, UsageError
from ...datasets.text import printable
from .captioner import Answer, Request
from .pictures import jpeg, side_by_side

KEY_VARIABLE = "REIDKIT_API_KEY"
FATAL = {401: "refused the key", 403: "refused the key", 404: "has no such path or model"}
AGAIN = {408, 409, 425, 429}  # with these, and from 500 on, the server may take the same request another time
GRACE = 0.2  # seconds in which an answer that is on its way when the run is stopped may still arrive


@dataclass
class Endpoint:
    """A server and how to ask it.

    Args:
        url: up to and including `/v1`.
        concurrency: requests under way at once.
        timeout: seconds that one try of a request may take, from connecting to the answer's last byte.
        retries: further tries after a time-out, a broken connection, a status that may pass, or an answer that is none.
        give_up_after: requests that failed one after another; the server is gone then, and asking on is no use.
        one_sheet: send the crops as one picture; otherwise one picture a crop.
        wait_seconds: before the first retry; doubles each time, up to a minute.

    Raises:
        UsageError: the address or the key can be none.
    """

    url: str
    model: str
    prompt: str
    concurrency: int = 4
    timeout: float = 120.0
    retries: int = 5
    one_sheet: bool = False
    give_up_after: int = 8
    wait_seconds: float = 1.0
    kind: str = field(default="endpoint", init=False)

    def __post_init__(self) -> None:
        try:
            address = httpx.URL(self.url)
            known = address.scheme in ("http", "https") and address.host
        except httpx.InvalidURL:
            known = False
        if not known:
            raise UsageError(f"'{printable(self.url)}' is no http(s) address. Give --url http://HOST:PORT/v1.")
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UsageError(f"${KEY_VARIABLE} holds a letter that no key has. Set it to the key and nothing else.")
        self._headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}

    @property
    def prompt_sha256(self) -> str:
        return hashlib.sha256(self.prompt.encode()).hexdigest()

    def ask(self, requests: Iterator[Request], take: Callable[[Answer], None]) -> None:
        """Keeps `concurrency` requests under way, and hands each answer to `take` before the next one is read.

        Ctrl-C and errors end it at once, whatever the server does; answers that have arrived are handed over.

        Raises:
            UsageError: the server refuses every request: the key, the address or the model is wrong.
            ReidkitError: requests failed one after another.
        """
        asyncio.run(self._ask_all(requests, take))

    async def _ask_all(self, requests: Iterator[Request], take: Callable[[Answer], None]) -> None:
        failed_in_a_row, stopping = 0, False

        async def work(client: httpx.AsyncClient) -> None:
            nonlocal failed_in_a_row
            while not stopping and (request := next(requests, None)):
                answer = await self._ask(client, request)
                take(answer)
                failed_in_a_row = failed_in_a_row + 1 if answer.failure else 0
                if failed_in_a_row >= self.give_up_after:
                    raise ReidkitError(
                        f"{failed_in_a_row} requests to {self.url} failed one after another, the last: "
                        f"{answer.failure}. Check the server and run the same command again."
                    )

        limits = httpx.Limits(max_connections=self.concurrency)
        async with httpx.AsyncClient(headers=self._headers, timeout=None, limits=limits) as client:
            workers = [asyncio.create_task(work(client)) for _ in range(self.concurrency)]
            try:
                await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                stopping = True
                _, late = await asyncio.wait(workers, timeout=GRACE)
                for worker in late:
                    worker.cancel()
                results = await asyncio.gather(*workers, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _ask(self, client: httpx.AsyncClient, request: Request) -> Answer:
        """The answer to one request, or the failure of its last try."""
        address, body = f"{self.url.rstrip('/')}/chat/completions", self._body(request)
        failure, retry_after = "", None
        for attempt in range(self.retries + 1):
            if attempt:
                await asyncio.sleep(self._pause(attempt, retry_after))
                retry_after = None
            try:
                async with asyncio.timeout(self.timeout):
                    response = await client.post(address, json=body)
            except TimeoutError:
                failure = f"no answer within {self.timeout:g} s"
                continue
            except httpx.HTTPError as error:
                failure = f"{type(error).__name__} ({self._clean(str(error))})"
                continue
            status = response.status_code
            if status in FATAL or 300 <= status < 400:
                raise UsageError(self._refusal(response))
            if status != 200:
                failure = f"HTTP {status}"
                if 400 <= status < 500 and status not in AGAIN:
                    return Answer(request.tracklet, failure=f"{failure}: {self._clean(response.text)}")
                retry_after = response.headers.get("Retry-After")
                continue
            try:
                text, tokens_in, tokens_out = read_reply(response.content)
            except ValueError:
                failure = "an answer that is no chat completion"
                continue
            if text.strip():
                return Answer(request.tracklet, text, "", tokens_in, tokens_out)
            failure = "an empty answer"
        return Answer(request.tracklet, failure=f"{failure}, {self.retries + 1} times")

    def _body(self, request: Request) -> dict[str, Any]:
        images = [side_by_side(list(request.images))] if self.one_sheet else request.images
        pictures = [
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg(i)).decode()}"}}
            for i in images
        ]
        content = [*pictures, {"type": "text", "text": self.prompt}]
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 160,
            "temperature": 0,
        }

    def _refusal(self, response: httpx.Response) -> str:
        """The sentence for an answer that every other request would get too."""
        status = response.status_code
        if status in FATAL:
            return (
                f"{self.url} {FATAL[status]} (HTTP {status}: {self._clean(response.text)}). Check --url, --model and "
                f"${KEY_VARIABLE}."
            )
        return (
            f"{self.url} sends requests on to '{self._clean(response.headers.get('Location', ''))}' (HTTP {status}), "
            "and pictures and key go only where you say. Give the server's own address with --url."
        )

    def _pause(self, attempt: int, retry_after: str | None) -> float:
        """Seconds: what the server asks for, else twice as long each time with jitter, a minute at the most."""
        if retry_after and retry_after.isdecimal():
            return min(float(retry_after), 60.0)
        return min(self.wait_seconds * 2 ** (attempt - 1), 60.0) * random.uniform(0.5, 1.0)

    def _clean(self, text: str) -> str:
        """A server's words in one short line, without the key, which some servers echo."""
        text = text.replace(self._key, "***") if self._key else text
        return printable(" ".join(text.split()))[:200]


@dataclass(frozen=True)
class Message:
    content: str | None = None


@dataclass(frozen=True)
class Choice:
    message: Message


@dataclass(frozen=True)
class Reply:
    """What is read of a chat completion. `usage` is for information: nothing in it makes an answer a bad one."""

    choices: Annotated[list[Choice], msgspec.Meta(min_length=1)]
    usage: Any = None


def read_reply(data: bytes) -> tuple[str, int, int]:
    """(text, tokens in, tokens out) of a chat completion; 0 tokens where the server names no number that can be one.

    The text was paid for, so what a stricter reader would refuse is read: numbers beyond every range, NaN, and halves
    of surrogate pairs (a server that stops in the middle of an emoji), which become question marks.

    Raises:
        ValueError: it is no chat completion.
    """
    try:
        content = json.loads(data.decode(errors="replace"), parse_int=float)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    reply = msgspec.convert(content, Reply)
    text = (reply.choices[0].message.content or "").encode(errors="replace").decode()
    return text, _count(reply.usage, "prompt_tokens"), _count(reply.usage, "completion_tokens")


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return int(value) if isinstance(value, float) and 0 <= value < 1e12 else 0
