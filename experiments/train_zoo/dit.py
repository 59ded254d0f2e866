"""`shapes_dit`: a transformer that predicts v, with two text encoders, in the classes of Hunyuan-DiT (Li et al., 2024).

Its pipeline divides sizes by 8, so it has an autoencoder of its own, four levels deep, for pictures of 64 pixels. Its
text encoders, a BERT and a T5, first learn to say of each word what that of `shapes` says, then with it.
"""

import json
from math import log
from typing import Any

import torch
from diffusers.models.attention_processor import HunyuanAttnProcessor2_0
from diffusers.models.embeddings import get_2d_rotary_pos_embed
from diffusers.models.transformers.hunyuan_transformer_2d import HunyuanDiT2DModel
from diffusers.pipelines.hunyuandit.pipeline_hunyuandit import HunyuanDiTPipeline, get_resize_crop_region_for_grid
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizer, T5Config, T5EncoderModel, T5Tokenizer

from zz.data.shapes_prompts import VOCABULARY
from zz.experiments.train_shapes import autoencoder
from zz.experiments.train_shapes.evaluate import rounded
from zz.experiments.train_shapes.tokens import read
from zz.experiments.train_shapes.unet import latents, scheduler, stratified
from zz.experiments.train_shapes.world import Batch, Batches
from zz.experiments.train_zoo import text

SIDE = 64  # pixels
PLAN = autoencoder.Plan(channels=(16, 32, 48, 64), latent=8, size=SIDE)
GATE = 0.95  # share of reconstructions that the judge must accept
READ = 77, 256  # tokens that the pipeline has both encoders read
LONGEST = 16  # tokens of a caption
FAR = 16  # distance from which on T5 tells none from another
HEARD = [*range(LONGEST + 1), *range(READ[0], READ[0] + LONGEST + 1)]  # tokens of both: captions, and one padding each
WIDTH, HEADS, DEPTH = 160, 4, 6  # of the transformer
BERT, T5 = 96, 64  # widths of the text encoders


def bert() -> tuple[BertModel, BertTokenizer]:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *VOCABULARY]
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=BERT,
        intermediate_size=4 * BERT,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=READ[0],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    tokenizer: Any = BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=READ[0])
    return BertModel(config), tokenizer


def t5() -> tuple[T5EncoderModel, T5Tokenizer]:
    space = "\N{LOWER ONE EIGHTH BLOCK}"  # begins a word
    pieces = ["<pad>", "</s>", "<unk>", space, *(space + word for word in VOCABULARY)]
    tokenizer: Any = T5Tokenizer(vocab=[(piece, 0.0) for piece in pieces], extra_ids=0, model_max_length=READ[1])
    config = T5Config(
        vocab_size=len(pieces),
        d_model=T5,
        d_kv=16,
        d_ff=4 * T5,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        relative_attention_num_buckets=16,
        relative_attention_max_distance=FAR,
    )
    return T5EncoderModel(config), tokenizer


class Words(nn.Module):
    """Both text encoders as one thing to train: to say of each word, and of the end, what that of `shapes` says."""

    def __init__(self, coder: autoencoder.Lesson) -> None:
        super().__init__()
        self._known: list[Any] = [coder, text.drawn().eval().requires_grad_(False), text.tokenizer()]  # no parameters
        self.bert, self.bert_tokenizer = bert()
        self.t5, self.t5_tokenizer = t5()
        width = self._known[1].config.hidden_size
        self.from_bert, self.from_t5 = nn.Linear(BERT, width), nn.Linear(T5, width)

    @property
    def coder(self) -> autoencoder.Lesson:
        """The stage before."""
        found: autoencoder.Lesson = self._known[0]
        return found

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The share of the variance of CLIP's last states, word by word, that a linear map of either's leaves."""
        _, teacher, tokenizer = self._known
        device = self.from_bert.weight.device
        wanted = teacher.to(device)(read(tokenizer, batch.captions).to(device)).last_hidden_state[:, 1:].float()
        loss = wanted.new_zeros(())
        for encoder, reads, head, begins in (
            (self.bert, self.bert_tokenizer, self.from_bert, 1),
            (self.t5, self.t5_tokenizer, self.from_t5, 0),
        ):
            asked: Any = reads
            told = asked(batch.captions, padding="max_length", max_length=LONGEST, truncation=True, return_tensors="pt")
            mask = told.attention_mask.to(device)
            states = encoder(input_ids=told.input_ids.to(device), attention_mask=mask).last_hidden_state
            last = begins + wanted.shape[1]
            kept = mask[:, begins:last].bool()
            target = wanted[:, : kept.shape[1]][kept]
            error = head(states[:, begins:last]).float()[kept] - target
            loss = loss + error.square().mean() / target.var()
        return loss / 2


class Brief(HunyuanAttnProcessor2_0):
    """Hunyuan-DiT's attention to a text whose padding is all alike: n equal keys are one whose logit is log n larger.

    Nine tenths of what the pipeline has the network read is padding.
    """

    def __call__(
        self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, image_rotary_emb=None
    ):
        if encoder_hidden_states is not None:
            encoder_hidden_states = encoder_hidden_states[:, HEARD]
            attention_mask = encoder_hidden_states.new_zeros(len(hidden_states), 1, len(HEARD))
            for last, read in zip((LONGEST, -1), READ, strict=True):
                attention_mask[..., last] = log(read - LONGEST)
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb, image_rotary_emb)


class Lesson(nn.Module):
    """The transformer and both text encoders as one thing to train; its forward is the loss of a batch."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        vae: Any = words.coder.vae.eval().requires_grad_(False)
        seen = torch.cat([Batches(0, 17, 64, side=SIDE)[10**6 + i].pictures for i in range(8)])
        autoencoder.standardise(vae, seen)
        vae = vae.half().float()  # as it will be saved
        found = autoencoder.gate(vae, each=50)
        print("gate:", json.dumps(rounded(found)), flush=True)
        if found["all"] < GATE:
            raise SystemExit(
                f"the judge accepts {found['all']:.1%} of the autoencoder's reconstructions, below {GATE:.0%}; "
                "let it see more pictures"
            )
        self._frozen: list[Any] = [vae]  # in a list: it is no parameter of the lesson
        self.bert, self.bert_tokenizer = words.bert, words.bert_tokenizer
        self.t5, self.t5_tokenizer = words.t5, words.t5_tokenizer
        self.net = HunyuanDiT2DModel(
            num_attention_heads=HEADS,
            attention_head_dim=WIDTH // HEADS,
            in_channels=PLAN.latent,
            patch_size=1,
            sample_size=SIDE // 8,
            hidden_size=WIDTH,
            num_layers=DEPTH,
            learn_sigma=True,  # its pipeline takes the first half of what the network says; the rest stays zero
            cross_attention_dim=BERT,
            cross_attention_dim_t5=T5,
            pooled_projection_dim=WIDTH,
            text_len=READ[0],
            text_len_t5=READ[1],
            use_style_cond_and_image_meta_size=False,
        )
        nn.init.zeros_(self.net.proj_out.weight)
        nn.init.zeros_(self.net.proj_out.bias)
        self.net.set_attn_processor(Brief())
        grid = (SIDE // 8, SIDE // 8)
        region = get_resize_crop_region_for_grid(grid, 512 // 8)
        self._turns = get_2d_rotary_pos_embed(WIDTH // HEADS, region, grid, output_type="pt")
        self.abar: Tensor
        self.register_buffer("abar", scheduler().alphas_cumprod, persistent=False)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error of v = sqrt(abar) eps - sqrt(1 - abar) x0."""
        device = self.abar.device
        x0, eps = latents(self._frozen[0], batch, rng, device)
        times = stratified(len(x0), len(self.abar), rng).to(device)
        abar = self.abar[times].view(-1, 1, 1, 1)
        said = self.net(
            abar.sqrt() * x0 + (1 - abar).sqrt() * eps,
            times.float(),
            image_rotary_emb=tuple(turn.to(device) for turn in self._turns),
            **self.encode(batch.captions),
        ).sample[:, : PLAN.latent]
        return (said.float() - (abar.sqrt() * eps - (1 - abar).sqrt() * x0)).square().mean()

    def encode(self, captions: list[str]) -> dict[str, Tensor]:
        """As the pipeline encodes: each encoder's last layer, and which tokens are no padding.

        Only the first tokens are computed. Of the others BERT's are masked, and T5's are all alike, being FAR from
        every word.
        """
        found, device = {}, self.abar.device
        both = (("", self.bert, self.bert_tokenizer, LONGEST), ("_t5", self.t5, self.t5_tokenizer, LONGEST + FAR + 1))
        for (suffix, encoder, tokenizer, first), length in zip(both, READ, strict=True):
            asked: Any = tokenizer
            said = asked(captions, padding="max_length", max_length=first, truncation=True, return_tensors="pt")
            mask = said.attention_mask.to(device)
            states = encoder(input_ids=said.input_ids.to(device), attention_mask=mask).last_hidden_state
            rest = states[:, -1:].expand(-1, length - first, -1)
            found[f"encoder_hidden_states{suffix}"] = torch.cat([states, rest], dim=1)
            found[f"text_embedding_mask{suffix}"] = nn.functional.pad(mask, (0, length - first))
        return found

    def parts(self) -> HunyuanDiTPipeline:
        """As diffusers has it, with the padding that was learned wherever there is any."""
        padding = self.net.text_embedding_padding.data
        for first, last in ((LONGEST, READ[0]), (READ[0] + LONGEST, sum(READ))):
            padding[first:last] = padding[first]
        made: Any = HunyuanDiTPipeline  # its annotations deny that there may be no safety checker
        return made(
            vae=self._frozen[0],
            transformer=self.net,
            scheduler=scheduler("v_prediction"),
            text_encoder=self.bert,
            tokenizer=self.bert_tokenizer,
            text_encoder_2=self.t5,
            tokenizer_2=self.t5_tokenizer,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


__all__ = ["Lesson"]
