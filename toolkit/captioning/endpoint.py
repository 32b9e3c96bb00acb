"""Captions from any OpenAI-compatible server: vLLM, llama.cpp, or a hosted one.

    reidkit caption DIR --captioner endpoint --url http://127.0.0.1:8000/v1 --model microsoft/Phi-4-multimodal-instruct

The key comes from the environment variable REIDKIT_API_KEY only; it is sent to the server and appears nowhere else.
"""

import base64
import hashlib
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import httpx

from ...datasets import ReidkitError, UsageError
from .captioner import Answer, Request
from .frames import jpeg, side_by_side

KEY_VARIABLE = "REIDKIT_API_KEY"
FATAL = {401: "refused the key", 403: "refused the key", 404: "has no such path or model"}
NOT_TWICE = {400, 413, 422}  # the server will not take these pictures the second time either


@dataclass
class Endpoint:
    """A server and how to ask it.

    Args:
        url: up to and including `/v1`.
        concurrency: requests under way at once.
        retries: further tries after 429, 5xx, a time-out, a broken connection or an answer that is none.
        seconds: limit of one request.
        give_up_after: requests that failed one after another; the server is gone then, and asking on is no use.
        one_sheet: send the crops as one picture; otherwise one picture a crop.
    """

    url: str
    model: str
    prompt: str
    concurrency: int = 4
    retries: int = 5
    seconds: float = 120.0
    one_sheet: bool = False
    give_up_after: int = 8
    wait_seconds: float = 1.0  # before the first retry; doubles each time, up to a minute
    kind: str = field(default="endpoint", init=False)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UsageError(f"'{self.url}' is no http(s) address. Give --url http://HOST:PORT/v1.")
        key = os.environ.get(KEY_VARIABLE, "")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._key = key

    @property
    def prompt_sha256(self) -> str:
        return hashlib.sha256(self.prompt.encode()).hexdigest()

    def answers(self, requests: Iterator[Request], total: int) -> Iterator[Answer]:
        """Keeps `concurrency` requests under way; raises ReidkitError where asking on is no use."""
        failed_in_a_row = 0
        with (
            httpx.Client(headers=self._headers, timeout=self.seconds) as client,
            ThreadPoolExecutor(self.concurrency) as pool,
        ):
            under_way: set[Future[Answer]] = set()
            try:
                exhausted = False
                while under_way or not exhausted:
                    while not exhausted and len(under_way) < self.concurrency:
                        request = next(requests, None)
                        exhausted = request is None
                        if request is not None:
                            under_way.add(pool.submit(self._ask, client, request))
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in done:
                        answer = future.result()
                        failed_in_a_row = failed_in_a_row + 1 if answer.failure else 0
                        yield answer
                        if failed_in_a_row >= self.give_up_after:
                            raise ReidkitError(
                                f"{failed_in_a_row} requests to {self.url} failed one after another, the last: "
                                f"{answer.failure}. Check the server and run the same command again."
                            )
            finally:
                for future in under_way:
                    future.cancel()

    def _ask(self, client: httpx.Client, request: Request) -> Answer:
        images = [side_by_side(list(request.images))] if self.one_sheet else request.images
        pictures = [
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg(i)).decode()}"}}
            for i in images
        ]
        content = [*pictures, {"type": "text", "text": self.prompt}]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 160,
            "temperature": 0,
        }
        failure, retry_after = "", None
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self._pause(attempt, retry_after))
                retry_after = None
            try:
                response = client.post(f"{self.url.rstrip('/')}/chat/completions", json=body)
            except httpx.HTTPError as error:
                failure = f"{type(error).__name__} ({self._clean(str(error))})"
                continue
            if response.status_code in FATAL:
                raise UsageError(
                    f"{self.url} {FATAL[response.status_code]} (HTTP {response.status_code}: "
                    f"{self._clean(response.text)}). Check --url, --model and ${KEY_VARIABLE}."
                )
            if response.status_code in NOT_TWICE:
                failure = f"HTTP {response.status_code}: {self._clean(response.text)}"
                return Answer(request.tracklet, failure=failure)
            if response.status_code != 200:
                failure = f"HTTP {response.status_code}"
                retry_after = response.headers.get("Retry-After")
                continue
            try:
                reply = response.json()
                text = reply["choices"][0]["message"]["content"]
                usage = reply.get("usage") or {}
                if isinstance(text, str) and text.strip():
                    counts = (int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
                    return Answer(request.tracklet, text, "", *counts)
                failure = "an empty answer"
            except (ValueError, KeyError, IndexError, TypeError, AttributeError):
                failure = "an answer that is no chat completion"
        return Answer(request.tracklet, failure=f"{failure}, {self.retries + 1} times")

    def _pause(self, attempt: int, retry_after: str | None) -> float:
        """Seconds: what the server asks for, else twice as long each time with jitter, a minute at the most."""
        if retry_after and retry_after.isdigit():
            return min(float(retry_after), 60.0)
        return min(self.wait_seconds * 2 ** (attempt - 1), 60.0) * random.uniform(0.5, 1.0)

    def _clean(self, text: str) -> str:
        """A server's words in one short line, without the key, which some servers echo."""
        text = " ".join(text.split())[:200]
        return text.replace(self._key, "***") if self._key else text
