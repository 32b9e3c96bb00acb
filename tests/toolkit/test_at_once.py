"""Several calls of one model at once: the same answers in the same order, whatever the number of threads."""

import threading
import time

import numpy as np
import pytest

from reidkit.toolkit.at_once import in_order, one_thread_a_call
from reidkit.toolkit.detect import load_detector
from reidkit.toolkit.embed import load_embedder


class Slow:
    """Answers the later, the smaller the number is."""

    calls_at_once = True

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def double(self, number: int) -> int:
        self.threads.add(threading.get_ident())
        time.sleep(0.001 * (5 - number % 5))
        return 2 * number


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_answers_come_in_order(threads):
    model = Slow()
    assert list(in_order(model, model.double, range(20), threads)) == [2 * n for n in range(20)]
    assert (threading.get_ident() in model.threads) == (threads == 1)


def test_a_model_that_takes_one_call_at_a_time_is_called_by_the_caller():
    model = Slow()
    model.calls_at_once = False
    assert list(in_order(model, model.double, range(5), 4)) == [0, 2, 4, 6, 8]
    assert model.threads == {threading.get_ident()}
    assert one_thread_a_call(model) is model


@pytest.mark.parametrize("load", [load_detector, load_embedder])
def test_the_shipped_models_answer_alike_with_one_thread_a_call(load):
    whole = load("simulated", threads=2)
    single = one_thread_a_call(whole)
    assert single.calls_at_once
    assert not whole.calls_at_once
    assert (single.name, single.sha256) == (whole.name, whole.sha256)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (90, 60, 3), dtype=np.uint8) for _ in range(3)]
    if load is load_embedder:
        assert single.embed(images) == pytest.approx(whole.embed(images), abs=1e-5)
        return
    for one, other in zip(single.detect(images), whole.detect(images), strict=True):
        assert one.xyxy == pytest.approx(other.xyxy, abs=1e-2)
