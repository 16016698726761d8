"""A tiny X-CLIP, and transformers' port of that size."""
import torch
from mmaction.registry import MODELS
from tiny import NAMES, tiny_arch
from transformers import XCLIPConfig, XCLIPModel

D = 128  # two heads of 64 channels in MIT and prompts
ARCH = tiny_arch(embed_dim=D, vision_cfg=dict(width=128, head_width=64),
                 text_cfg=dict(width=64, heads=1))


def xclip_cfg(num_frames=8, head=None, backbone=None, **kwargs) -> dict:
    """Config of a tiny X-CLIP."""
    return dict(dict(
        type='ViFiCLIP', tune='image',
        backbone=dict(dict(type='XCLIPBackbone', arch=ARCH, num_frames=None),
                      **(backbone or {})),
        cls_head=dict(dict(
            type='TemporalMeanPoolHead', in_channels=None,
            num_frames=num_frames, temporal=dict(
                type='TemporalTransformer', max_frames=None, depth=1,
                num_heads=None),
            condition=dict(type='VideoPrompts'),
            text_classifier=dict(
                type='CLIPTextClassifier', arch=ARCH, class_names=NAMES,
                templates='{}')), **(head or {}))), **kwargs)


def build_xclip(*args, **kwargs):
    """A tiny X-CLIP whose every parameter matters."""
    torch.manual_seed(0)
    model = MODELS.build(xclip_cfg(*args, **kwargs)).eval()
    for param in model.parameters():
        if param.ndim == 1:  # norms and biases
            param.data.add_(0.1 * torch.randn_like(param))
    return model


def transformers_xclip(num_frames):
    """An XCLIPModel with random weights."""
    tower = dict(num_hidden_layers=2, eos_token_id=2)
    vision = dict(
        hidden_size=128, intermediate_size=512, num_attention_heads=2,
        image_size=32, patch_size=8, num_frames=num_frames, mit_hidden_size=D,
        mit_intermediate_size=4 * D, mit_num_attention_heads=D // 64)
    text = dict(hidden_size=64, intermediate_size=256, num_attention_heads=1,
                max_position_embeddings=24)
    return XCLIPModel(XCLIPConfig(
        projection_dim=D, prompt_num_attention_heads=D // 64,
        text_config=dict(tower, **text),
        vision_config=dict(tower, **vision))).eval()
