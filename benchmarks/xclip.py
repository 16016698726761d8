"""transformers' X-CLIP with towers of the same size."""
from typing import Callable

import torch
from torch import Tensor

from projects.vifi_clip.architectures import get_arch_cfg
from .cases import Case
from .inputs import class_names, frames_of, image_size, precision


def xclip_view(case: Case, device: str) -> Callable[[], Tensor]:
    """Scores of a view. Text is padded to the longest prompt, as X-CLIP's
    processor does, and encoded at each call, as its model does."""
    import open_clip
    from transformers import XCLIPModel
    torch.manual_seed(0)
    model = XCLIPModel(_config(case)).to(device).eval()
    sentences = [f'a photo of a {n}.' for n in class_names(case.classes)]
    tokens = open_clip.get_tokenizer('ViT-B-16')(sentences)
    tokens = tokens[:, :int(tokens.argmax(-1).max()) + 1].to(device)
    frames = frames_of(case, image_size(case)).to(device)

    def call() -> Tensor:
        with torch.no_grad(), precision(case, device):
            x = (frames.float() - 127.5) / 64
            out = model(input_ids=tokens, pixel_values=x)
        return out.logits_per_video.softmax(-1)

    return call


def _config(case: Case):
    from transformers import XCLIPConfig
    arch = get_arch_cfg(case.arch)
    vision, text = arch['vision_cfg'], arch['text_cfg']
    heads = vision['width'] // vision.get('head_width', 64)
    return XCLIPConfig(
        projection_dim=arch['embed_dim'],
        vision_config=dict(
            hidden_size=vision['width'],
            intermediate_size=4 * vision['width'],
            num_hidden_layers=vision['layers'],
            num_attention_heads=heads,
            mit_hidden_size=arch['embed_dim'],
            mit_intermediate_size=4 * arch['embed_dim'],
            image_size=vision['image_size'],
            patch_size=vision['patch_size'],
            num_frames=case.frames),
        text_config=dict(
            hidden_size=text['width'],
            intermediate_size=4 * text['width'],
            num_hidden_layers=text['layers'],
            num_attention_heads=text['heads'],
            max_position_embeddings=text.get('context_length', 77)))
