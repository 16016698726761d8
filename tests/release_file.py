"""CLIPs and files of every layout, to compare results with.

:class:`ReleaseModel` and its file are written from the description of the
release's layout and of the method, independently of ``projects.vifi_clip``
and of OpenCLIP.
"""
import copy
import os
import sys
from types import ModuleType
from unittest import mock

import torch
from open_clip.tokenizer import SimpleTokenizer
from tiny import class_tokens
from torch import nn
from transformers import CLIPConfig, CLIPModel

ARCH = dict(
    embed_dim=32, quick_gelu=True,
    vision_cfg=dict(
        image_size=32, layers=3, width=128, head_width=64, patch_size=8),
    text_cfg=dict(
        context_length=24, vocab_size=49408, width=64, heads=1, layers=3))
NAMES = ['archery', 'arm wrestling', 'playing_cards']
# What is learnt, by kind of model.
PROMPTS = dict(plain={}, deep=dict(length=4, vision_depth=3, text_depth=2),
               few=dict(length=2, vision_depth=1, text_depth=1),
               text_only=dict(length=5, text_depth=3))


class _Block(nn.Module):
    """A layer; ``prompts`` [n, width] take the place of n tokens."""

    def __init__(self, width, num_prompts, at_end) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.ModuleDict(dict(c_fc=nn.Linear(width, 4 * width),
                                      c_proj=nn.Linear(4 * width, width)))
        self.at_end = at_end
        if num_prompts:
            self.VPT_shallow = nn.Parameter(torch.empty(num_prompts, width))

    def forward(self, x, mask=None):  # [L, N, W]
        if hasattr(self, 'VPT_shallow'):
            n = len(self.VPT_shallow)
            x = x.clone()
            rows = slice(len(x) - n, None) if self.at_end else slice(1, n + 1)
            x[rows] = self.VPT_shallow[:, None]
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
        y = self.mlp['c_fc'](self.ln_2(x))
        return x + self.mlp['c_proj'](y / (1 + torch.exp(-1.702 * y)))


def _transformer(cfg, length, depth, at_end) -> nn.ModuleDict:
    return nn.ModuleDict(dict(resblocks=nn.ModuleList(
        _Block(cfg['width'], length if 0 < i < depth else 0, at_end)
        for i in range(cfg['layers']))))


class _Image(nn.Module):

    def __init__(self, length, depth) -> None:
        super().__init__()
        cfg = ARCH['vision_cfg']
        width, patch = cfg['width'], cfg['patch_size']
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        tokens = (cfg['image_size'] // patch)**2 + 1
        self.positional_embedding = nn.Parameter(torch.empty(tokens, width))
        if depth:
            self.VPT = nn.Parameter(torch.empty(length, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = _transformer(cfg, length, depth, True)
        self.proj = nn.Parameter(torch.empty(width, ARCH['embed_dim']))

    def forward(self, x):  # [N, 3, H, W]
        x = self.conv1(x).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(x), 1, -1)
        x = torch.cat([first, x], 1) + self.positional_embedding
        if hasattr(self, 'VPT'):
            x = torch.cat([x, self.VPT.expand(len(x), -1, -1)], 1)
        x = self.ln_pre(x).transpose(0, 1)
        for block in self.transformer['resblocks']:
            x = block(x)
        return self.ln_post(x[0]) @ self.proj


class _Text(nn.Module):

    def __init__(self, length, depth) -> None:
        super().__init__()
        cfg = ARCH['text_cfg']
        width, context = cfg['width'], cfg['context_length']
        self.positional_embedding = nn.Parameter(torch.empty(context, width))
        self.transformer = _transformer(cfg, length, depth, False)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(
            torch.empty(width, ARCH['embed_dim']))

    def forward(self, x, ends):  # [K, L, W]
        mask = torch.full((x.shape[1], ) * 2, -torch.inf).triu(1)
        x = (x + self.positional_embedding).transpose(0, 1)
        for block in self.transformer['resblocks']:
            x = block(x, mask)
        x = self.ln_final(x)[ends, torch.arange(x.shape[1])]
        return x @ self.text_projection


class ReleaseModel(nn.Module):
    """ViFi-CLIP with the release's names, for the classes :data:`NAMES`.

    ``tokens`` are CLIP's embeddings [49408, W]; each of the first layers,
    ``vision_depth`` and ``text_depth``, has ``length`` learnt tokens.
    """

    def __init__(self, tokens, length=0, vision_depth=0,
                 text_depth=0) -> None:
        super().__init__()
        self.image_encoder = _Image(length, vision_depth)
        self.text_encoder = _Text(length, text_depth)
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.prompt_learner = nn.Module()
        # Few learnt tokens take the place of the template's first words.
        words = ('X ' * length if text_depth and length > 4 else
                 'a photo of a ')
        tokenizer = SimpleTokenizer(
            context_length=ARCH['text_cfg']['context_length'])
        ids = tokenizer([f'{words}{n.replace("_", " ")}.' for n in NAMES])
        self.ends, x = ids.argmax(1), tokens[ids]
        learner = self.prompt_learner
        if text_depth:
            learner.ctx = nn.Parameter(torch.empty(length, x.shape[-1]))
            learner.register_buffer('token_prefix', x[:, :1])
            learner.register_buffer('token_suffix', x[:, 1 + length:])
        else:
            learner.register_buffer('complete_text_embeddings', x)
        for param in self.parameters():
            nn.init.normal_(param, std=0.3)

    def forward(self, video):  # [B, T, 3, H, W]
        learner = self.prompt_learner
        if hasattr(learner, 'ctx'):
            ctx = learner.ctx.expand(len(NAMES), -1, -1)
            x = torch.cat([learner.token_prefix, ctx, learner.token_suffix], 1)
        else:
            x = learner.complete_text_embeddings
        text = self.text_encoder(x, self.ends)
        frames = self.image_encoder(video.flatten(0, 1))
        frames = frames.unflatten(0, video.shape[:2]).mean(1)
        cosine = torch.cosine_similarity(frames[:, None], text[None], dim=-1)
        return self.logit_scale.exp() * cosine


def release_model(clip, kind) -> ReleaseModel:
    torch.manual_seed(2)
    tokens = clip.token_embedding.weight.detach()
    return ReleaseModel(tokens, **PROMPTS[kind]).eval()


class _Node(dict):
    """Behaves under pickle as a yacs CfgNode does."""

    def __init__(self, **settings) -> None:
        super().__init__(settings)
        self.__dict__['__immutable__'] = True
        self.__dict__['__deprecated_keys__'] = {'OLD'}


def write_release_file(model, path, extra=None, **save) -> None:
    """As the release saves a model, its optimizer and its config, which is of
    a class whose package is gone when the file is read."""
    optimizer = torch.optim.AdamW(model.parameters())
    module = ModuleType('yacs_like.config')
    module.CfgNode = _Node
    _Node.__module__, _Node.__qualname__ = module.__name__, 'CfgNode'
    config = _Node(
        EXTRA=extra, DATA=_Node(NUM_FRAMES=2, ROOT='/PATH'),
        MODEL=_Node(ARCH='tiny', RESUME=None),
        TRAINER=_Node(ViFi_CLIP=_Node(
            CTX_INIT='a photo of a', USE='both', ZS_EVAL=False)))
    content = dict(
        model={f'module.{k}': v for k, v in model.state_dict().items()},
        optimizer=optimizer.state_dict(), lr_scheduler=dict(last_epoch=3),
        max_accuracy=torch.tensor(71.2), epoch=9, config=config)
    with mock.patch.dict(sys.modules, {
            'yacs_like': ModuleType('yacs_like'), module.__name__: module}):
        torch.save(content, path, **save)


class Intruder:
    """Unpickling it makes a folder."""

    def __init__(self, folder) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder, )


def randomise(model, std=0.3):
    torch.manual_seed(1)
    for param in model.parameters():
        nn.init.normal_(param, std=std)
    return model.eval()


def transformers_clip(act='quick_gelu', heads=1) -> CLIPModel:
    """A CLIPModel of the size of :data:`ARCH`."""
    shared = dict(num_hidden_layers=3, hidden_act=act, attention_dropout=0.)
    return randomise(CLIPModel(CLIPConfig(
        projection_dim=32,
        vision_config=dict(shared, hidden_size=128, intermediate_size=512,
                           image_size=32, patch_size=8,
                           num_attention_heads=2 * heads),
        text_config=dict(shared, hidden_size=64, intermediate_size=256,
                         max_position_embeddings=24, vocab_size=49408,
                         num_attention_heads=heads, eos_token_id=49407))))


def save_openai(model, path) -> None:
    """Save a CLIP as OpenAI's are: a TorchScript archive in half precision,
    with constants beside the weights."""
    model = copy.deepcopy(model)
    for name, value in dict(input_resolution=32, context_length=24,
                            vocab_size=49408).items():
        vars(model).pop(name, None)
        model.register_buffer(name, torch.tensor(value))
    inputs = torch.zeros(1, 3, 32, 32), class_tokens(NAMES[:1])
    torch.jit.save(torch.jit.trace(model, inputs, check_trace=False).half(),
                   path)
