"""What the tests of conversion share: models, files, results."""
import copy
import json
import os
from pathlib import Path

import torch
from commands import vifi
from mmaction.registry import MODELS
from release_file import NAMES, ReleaseModel
from tiny import class_tokens, model_cfg
from transformers import CLIPConfig, CLIPModel

from projects.vifi_clip.checkpoints.files import load_checkpoint

PROMPTS = dict(plain={}, deep=dict(length=4, vision_depth=3, text_depth=2),
               few=dict(length=2, vision_depth=1, text_depth=1),
               text_only=dict(length=5, text_depth=3))
TOLERANCE = dict(atol=1e-5, rtol=0)


class Intruder:
    """Unpickling it makes a folder."""

    def __init__(self, folder) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder, )


def randomise(model, std=0.3):
    torch.manual_seed(1)
    for param in model.parameters():
        torch.nn.init.normal_(param, std=std)
    return model.eval()


def transformers_clip(act='quick_gelu', heads=1) -> CLIPModel:
    """A CLIPModel of the size of ``release_file.ARCH``."""
    shared = dict(num_hidden_layers=3, hidden_act=act, attention_dropout=0.)
    return randomise(CLIPModel(CLIPConfig(
        projection_dim=32,
        vision_config=dict(shared, hidden_size=128, intermediate_size=512,
                           image_size=32, patch_size=8,
                           num_attention_heads=2 * heads),
        text_config=dict(shared, hidden_size=64, intermediate_size=256,
                         max_position_embeddings=24, vocab_size=49408,
                         num_attention_heads=heads, eos_token_id=49407))))


def convert(src, dst, source, target, *args) -> dict:
    """Run ``vifi-clip convert``; return its report."""
    assert vifi('convert', src, dst, f'--source={source}',
                f'--target={target}', *args) == 0
    return json.loads(Path(f'{dst}.report.json').read_text())


def ours(path, video, expected):
    """Our recognizer with a converted file in it, and the file's settings;
    checks that it has the logits that are expected."""
    checkpoint = load_checkpoint(str(path))
    settings = checkpoint['meta']['vifi_clip']
    cfg = model_cfg()
    backbone, text = cfg['backbone'], cfg['cls_head']['text_classifier']
    text.update(class_names=NAMES, templates=settings.get('templates'))
    backbone['type'] = 'VLDeepPromptBackbone'
    for part, name in (backbone, 'visual'), (text, 'text'):
        prompts = dict(settings.get(f'{name}_prompts') or {})
        if prompts.pop('words', None):
            prompts['init'] = 'a photo of a'
        part.update(arch=settings['arch'], prompts=prompts or None)
    model = MODELS.build(cfg).eval()
    model.load_state_dict(checkpoint['state_dict'])
    torch.testing.assert_close(logits(model, video), expected, **TOLERANCE)
    return model, settings


@torch.no_grad()
def logits(model, video):
    return model.cls_head(model.backbone(video.flatten(0, 1)))


@torch.no_grad()
def clip_logits(model, video):
    """Of an OpenCLIP model, for the classes' usual sentences."""
    text = model.encode_text(class_tokens(NAMES), normalize=True)
    frames = model.encode_image(video.flatten(0, 1))
    frames = frames.unflatten(0, video.shape[:2]).mean(1)
    frames = torch.nn.functional.normalize(frames, dim=-1)
    return model.logit_scale.exp() * frames @ text.T


def release_model(clip, kind) -> ReleaseModel:
    torch.manual_seed(2)
    tokens = clip.token_embedding.weight.detach()
    return ReleaseModel(tokens, **PROMPTS[kind]).eval()


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
