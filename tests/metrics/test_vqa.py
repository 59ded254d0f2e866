"""VQAScore by a tiny random LLaVA: the probability of an answer, whatever its number of tokens."""

import json
from dataclasses import replace

import pytest
import torch

from tests.metrics import tiny
from zz.data.base import Prompt
from zz.scorers.vqa import VQAScore

TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}"
    "{{ c['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("vlm")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = ["<pad>", "<image>", "Yes", *letters]
    merges = [("Y", "e"), ("Ye", "s")]
    vocabulary = {x: i for i, x in enumerate([*entries, "Ye"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>")
    fast.add_tokens(["<image>"], special_tokens=True)
    size = {"height": 28, "width": 28}
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=size),
        *(fast, 14, "default", TEMPLATE, "<image>", 1),
    ).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**shape, image_size=28, patch_size=14),
        text_config=LlamaConfig(**shape, vocab_size=len(vocabulary), num_key_value_heads=2, initializer_range=0.3),
        image_token_index=vocabulary["<image>"],
        image_seq_length=4,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    return VQAScore(str(folder))


def scores(scorer, texts, images):
    with scorer.open() as score:
        return score(images, [Prompt(text) for text in texts])


def test_it_is_the_probability_of_the_next_token(scorer):
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    image, text = tiny.picture(), "a {red} star"
    processor = AutoProcessor.from_pretrained(scorer.pretrained)
    asked = processor(
        images=[image],
        text=[f'USER: <image>Does this figure show "{text}"? Please answer yes or no. ASSISTANT:'],
        return_tensors="pt",
    )
    model = LlavaForConditionalGeneration.from_pretrained(scorer.pretrained)
    wanted = model(**asked).logits[0, -1].softmax(-1)[processor.tokenizer("Yes").input_ids[0]].item()
    assert scores(scorer, [text], [image]) == pytest.approx([wanted], rel=1e-4)
    assert scores(replace(scorer, scale=100.0), [text], [image]) == pytest.approx([100 * wanted], rel=1e-4)


def test_an_answer_of_two_tokens_has_the_product(scorer):
    """Over all second tokens the probabilities of two-token answers sum to that of the first."""
    image = [tiny.picture()]
    n = scores(replace(scorer, answer="N"), ["a star"], image)[0]
    letters = [chr(c) for c in range(33, 127)]
    two = [scores(replace(scorer, answer=f"N{c}"), ["a star"], image)[0] for c in letters[::12]]
    assert all(0 < p < n for p in two) and sum(two) < n


def test_pictures_and_prompts_matter_and_neighbours_do_not(scorer):
    images = [tiny.picture(40 + 9 * i, 60, seed=i) for i in range(3)]
    texts = ["a red star", "", "一只猫 " * 30]
    together = scores(scorer, texts, images)
    assert together == [scores(scorer, [t], [i])[0] for t, i in zip(texts, images, strict=True)]
    assert len(set(together)) == 3 and all(0 < p < 1 for p in together)
    assert scores(scorer, [texts[0]], [images[1]]) != together[:1]
    rgba = images[0].convert("RGBA")
    assert scores(scorer, texts[:1], [rgba]) == together[:1] and scores(scorer, [], []) == []


def test_fields_that_cannot_be_are_one_message(scorer, tmp_path):
    import shutil

    with pytest.raises(ValueError, match=r"question='Yes\?' has no \{prompt\}"):
        replace(scorer, question="Yes?")
    with pytest.raises(ValueError, match="answer=' ' is empty"):
        replace(scorer, answer=" ")
    assert replace(scorer, question="Is it {prompt}?").settings() != scorer.settings()
    shutil.copytree(scorer.pretrained, tmp_path / "vlm")
    (tmp_path / "vlm" / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="no chat template"), replace(scorer, pretrained=str(tmp_path / "vlm")).open():
        pass
    shutil.copytree(scorer.pretrained, tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="lacks"), replace(scorer, pretrained=str(tmp_path / "other")).open():
        pass
