"""The transformers path, with a multi-modal model of a few thousand random weights."""

import pytest
from PIL import Image

from reidkit.datasets import UsageError
from reidkit.datasets.errors import MissingWeights
from reidkit.toolkit.captioning.captioner import Request
from reidkit.toolkit.captioning.local import DEFAULT_MODEL, LocalModel

transformers = pytest.importorskip("transformers", reason="the extra `captions` is not installed")

TEMPLATE = (
    "{% for m in messages %}USER: {% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}{% endfor %} {% endfor %}ASSISTANT:"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A LLaVA of random weights with its processor, saved as a hub folder would be."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = [
        "<unk>",
        "<pad>",
        "<image>",
        "USER:",
        "ASSISTANT:",
        "Describe",
        ".",
        "red",
        "blue",
        "shoes",
        "hair",
        "tall",
    ]
    words += [f"word{i}" for i in range(52)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", additional_special_tokens=["<image>"]
    )
    pictures = transformers.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = transformers.LlavaProcessor(
        image_processor=pictures,
        tokenizer=fast,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**sizes, image_size=28, patch_size=14),
        text_config=transformers.LlamaConfig(**sizes, vocab_size=len(words), pad_token_id=1, eos_token_id=0),
        image_token_index=2,
        vision_feature_layer=-1,
    )
    root = tmp_path_factory.mktemp("llava")
    transformers.set_seed(0)
    transformers.LlavaForConditionalGeneration(config).save_pretrained(root)
    processor.save_pretrained(root)
    return root


def requests(count, pictures):
    colours = [(200, 30, 30), (30, 30, 200), (30, 200, 30)]
    return [
        Request(str(i), tuple(Image.new("RGB", (20, 40 + i), colours[(i + j) % 3]) for j in range(pictures)))
        for i in range(count)
    ]


@pytest.mark.parametrize("one_sheet", [True, False])
def test_every_request_is_answered_and_batching_changes_nothing(folder, one_sheet):
    alone = LocalModel(str(folder), "Describe .", batch=1, one_sheet=one_sheet, max_new_tokens=6)
    together = LocalModel(str(folder), "Describe .", batch=3, one_sheet=one_sheet, max_new_tokens=6)
    first, second = [], []
    alone.ask(iter(requests(4, 2)), first.append)
    together.ask(iter(requests(4, 2)), second.append)
    assert [a.tracklet for a in first] == ["0", "1", "2", "3"]
    assert all(a.text and a.tokens_out <= 6 and a.tokens_in > 4 for a in first)
    assert second == first


def test_the_default_model_is_asked_for_by_name_and_read_in_its_own_revision(tmp_path, monkeypatch):
    from huggingface_hub import constants

    from reidkit.training import weights

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"`reidkit weights get microsoft/Phi-4-multimodal-instruct`"):
        LocalModel(DEFAULT_MODEL, "Describe .")
    asked = []

    def from_pretrained(*names, **options):
        asked.append((names, options["revision"], options["local_files_only"]))
        raise OSError("enough")

    monkeypatch.setattr(weights, "find", lambda entry: tmp_path)
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", from_pretrained)
    with pytest.raises(UsageError, match="enough"):
        LocalModel(DEFAULT_MODEL, "Describe .")
    assert asked == [((DEFAULT_MODEL,), "refs/pr/70", True)]  # main needs code of the repository's


def test_a_model_that_is_not_here_is_one_sentence():
    with pytest.raises(UsageError, match="Cannot load the model 'nobody/nothing'"):
        LocalModel("nobody/nothing", "Describe .")
