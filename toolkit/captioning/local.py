"""Captions from a multi-modal model on this machine, through transformers (extra `captions`).

    reidkit caption DIR --captioner transformers              # microsoft/Phi-4-multimodal-instruct, from the cache
    reidkit caption DIR --captioner transformers --model HuggingFaceTB/SmolVLM-256M-Instruct --download
    reidkit caption DIR --captioner transformers --model path/to/model

Without --download only what is in the cache is used; `reidkit weights get microsoft/Phi-4-multimodal-instruct` fetches
the default model there. Code that a model brings along is never run.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ...datasets import UsageError
from ...training import weights
from .captioner import Answer, Request
from .pictures import side_by_side

DEFAULT_MODEL = "microsoft/Phi-4-multimodal-instruct"


@dataclass
class LocalModel:
    """A processor and a model, loaded once.

    Raises:
        MissingWeights: the model is one that `reidkit weights get` can fetch, and not in the cache.
        UsageError: transformers is not installed, or the model is not in the cache or at the path.
    """

    model: str
    prompt: str
    device: str = "cpu"
    batch: int = 8
    one_sheet: bool = True
    download: bool = False
    max_new_tokens: int = 120
    kind: str = field(default="transformers", init=False)

    def __post_init__(self) -> None:
        try:
            from transformers import AutoModelForMultimodalLM, AutoProcessor
        except ImportError:
            raise UsageError(
                "The captioner 'transformers' needs an extra: pip install 'reidkit[captions]'. "
                "Or choose --captioner endpoint."
            ) from None
        import torch

        self._torch = torch
        dtype = torch.bfloat16 if self.device.startswith("cuda") else torch.float32
        entry = weights.known(self.model)
        if entry and not self.download and weights.find(entry) is None:
            raise weights.missing(self.model, otherwise="choose --captioner endpoint")
        where = {"revision": entry.revision if entry else "main", "local_files_only": not self.download}
        try:
            self._processor = AutoProcessor.from_pretrained(self.model, **where)
            self._model = AutoModelForMultimodalLM.from_pretrained(
                self.model, dtype=dtype, use_safetensors=True, **where
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UsageError(
                f"Cannot load the model '{self.model}': {reason}. Give a folder with --model, or add --download."
            ) from None
        self._processor.tokenizer.padding_side = "left"  # generation continues at the right end
        if self._processor.tokenizer.pad_token is None:
            self._processor.tokenizer.pad_token = self._processor.tokenizer.eos_token
        self._model.to(self.device).eval()

    @property
    def prompt_sha256(self) -> str:
        return hashlib.sha256(self.prompt.encode()).hexdigest()

    def ask(self, requests: Iterator[Request], take: Callable[[Answer], None]) -> None:
        """Greedy decoding, batch by batch: the same pictures give the same words."""
        while batch := list(itertools.islice(requests, self.batch)):
            for answer in self._generate(batch):
                take(answer)

    def _generate(self, batch: list[Request]) -> Iterator[Answer]:
        conversations = []
        for request in batch:
            images = [side_by_side(list(request.images))] if self.one_sheet else list(request.images)
            content = [*({"type": "image", "image": i} for i in images), {"type": "text", "text": self.prompt}]
            conversations.append([{"role": "user", "content": content}])
        inputs = self._processor.apply_chat_template(
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
        ).to(self.device, dtype=self._model.dtype)
        with self._torch.inference_mode():
            output = self._model.generate(**inputs, max_new_tokens=self.max_new_tokens, do_sample=False)
        start = inputs["input_ids"].shape[1]
        texts = self._processor.batch_decode(output[:, start:], skip_special_tokens=True)
        asked = inputs["attention_mask"].sum(1).tolist()
        pad = self._processor.tokenizer.pad_token_id
        written = (output[:, start:] != pad).sum(1).tolist()
        for request, text, tokens_in, tokens_out in zip(batch, texts, asked, written, strict=True):
            failure = "" if text.strip() else "an empty answer"
            yield Answer(request.tracklet, text, failure, tokens_in, tokens_out)
