"""Files beside model.safetensors, with which transformers loads a CLIPModel or
an XCLIPModel: config, and for a CLIPModel image processor and tokenizer."""
import dataclasses
import gzip
import json
from typing import Any, Dict, Tuple

from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer, default_bpe

from projects.vifi_clip.architectures import Arch, get_arch_cfg
from projects.vifi_clip.checkpoints.layout_names import POSITIONS
from projects.vifi_clip.checkpoints.layouts import StateDict
from .arch import HEAD_WIDTH, count, hidden_settings, tower_cfgs

# Of OpenCLIP's settings, what a CLIPModel's config has, and what does nothing
# when a model is used; the others must have their defaults.
_SIZES = {'layers', 'width', 'head_width', 'heads', 'mlp_ratio', 'patch_size',
          'image_size', 'context_length', 'vocab_size'}
_NO_MATTER = {'patch_dropout', 'output_tokens', 'pad_id', 'eos_id',
              'attn_pooler_queries', 'attn_pooler_heads', 'hf_tokenizer_name',
              'tokenizer_mode', 'tokenizer_kwargs', 'timm_model_pretrained'}
_START, _END = '<|startoftext|>', '<|endoftext|>'


def is_xclip(weights: StateDict) -> bool:
    """Tell whether neutral weights are an X-CLIP's."""
    return any(name.startswith('messages.') for name in weights)


def check_clip(arch: Arch, settings: Dict[str, Any], path: str) -> None:
    """Refuse (ValueError) what a CLIPModel computes in another way."""
    for name in 'neighbours', 'context':
        if settings.get(name):
            raise ValueError(
                f'{path}: a frame of this model looks at others '
                f'({name}={settings[name]!r}), and that of a CLIPModel does '
                'not. Use vifi-clip export, or push, which keep the method')
    for part, cfg in zip(('vision_cfg', 'text_cfg'), tower_cfgs(arch)):
        default = type(cfg)()
        others = [f'{field.name}={getattr(cfg, field.name)!r}'
                  for field in dataclasses.fields(cfg)
                  if field.name not in _SIZES | _NO_MATTER
                  and getattr(cfg, field.name) != getattr(default, field.name)]
        if not isinstance(cfg.layers, int):
            others.append(f'layers={cfg.layers!r}')
        if others:
            raise ValueError(
                f'{path}: a CLIPModel has OpenAI\'s ViT and text tower, and '
                f'the {part} of this model has {", ".join(others)}. Use '
                '--target open_clip, or vifi-clip export')


def clip_files(arch: Arch, settings: Dict[str, Any]) -> Dict[str, str]:
    """Return the files of a CLIPModel by name, without its weights.

    ``settings`` know the pixels' mean and deviation, else OpenAI's are
    taken. There is no tokenizer where it is not CLIP's.
    """
    vision, text = tower_cfgs(arch)
    files = {'config.json': _clip_config(arch, vision, text),
             'preprocessor_config.json': _image_processor(vision, settings)}
    if text.vocab_size == 49408 and not text.hf_tokenizer_name:
        merges = gzip.open(default_bpe()).read().decode().split('\n')
        ids = SimpleTokenizer().encoder
        words = list(ids)[:-2] + [_START, _END]
        files.update({
            'vocab.json': {word: i for i, word in enumerate(words)},
            'tokenizer_config.json': dict(
                tokenizer_class='CLIPTokenizer', do_lower_case=True,
                model_max_length=text.context_length, bos_token=_START,
                eos_token=_END, unk_token=_END, pad_token=_END)})
    files = {name: json.dumps(content, indent=1, ensure_ascii=False)
             for name, content in files.items()}
    if 'vocab.json' in files:
        # the header, and as many as there are words of two parts or more
        files['merges.txt'] = '\n'.join(
            ['#version: 0.2', *merges[1:len(words) - 2 - 512 + 1]]) + '\n'
    return files


def _clip_config(arch: Arch, vision: CLIPVisionCfg,
                 text: CLIPTextCfg) -> Dict[str, Any]:
    dim, traits = get_arch_cfg(arch)['embed_dim'], hidden_settings(arch)
    towers = _towers(arch)
    for part, name in ('vision', 'visual'), ('text', 'text'):
        quick = traits[f'{name}_activation'] == 'QuickGELU'
        towers[part].update(
            projection_dim=dim, hidden_act='quick_gelu' if quick else 'gelu')
    # CLIP takes the token of the largest number for the end of a text, and so
    # does a CLIPModel whose eos_token_id is 2.
    ours = text.vocab_size == 49408
    return dict(
        architectures=['CLIPModel'], model_type='clip', projection_dim=dim,
        dtype='float32',
        text_config=dict(
            towers['text'], vocab_size=text.vocab_size,
            max_position_embeddings=text.context_length,
            bos_token_id=text.vocab_size - 2,
            eos_token_id=text.vocab_size - 1 if ours else 2),
        vision_config=dict(
            towers['vision'], image_size=vision.image_size,
            patch_size=vision.patch_size))


def _image_processor(vision: CLIPVisionCfg,
                     settings: Dict[str, Any]) -> Dict[str, Any]:
    """Our configs' own: the shorter edge, bicubic, and the middle of it."""
    mean, std = (
        [value / 255 for value in settings[f'pixel_{name}']]
        if settings.get(f'pixel_{name}') else list(default)
        for name, default in (('mean', OPENAI_DATASET_MEAN),
                              ('std', OPENAI_DATASET_STD)))
    size = vision.image_size
    return dict(
        image_processor_type='CLIPImageProcessor', do_convert_rgb=True,
        do_resize=True, size=dict(shortest_edge=size), resample=3,
        do_center_crop=True, crop_size=dict(height=size, width=size),
        do_rescale=True, rescale_factor=1 / 255, do_normalize=True,
        image_mean=mean, image_std=std)


def xclip_config(arch: Arch, weights: StateDict) -> Dict[str, Any]:
    """Return the config.json of transformers' XCLIPModel."""
    (vision, text), dim = tower_cfgs(arch), get_arch_cfg(arch)['embed_dim']
    heads, towers = max(dim // HEAD_WIDTH, 1), _towers(arch)
    return dict(
        architectures=['XCLIPModel'], model_type='xclip', projection_dim=dim,
        prompt_layers=count(weights, r'condition\.decoder'),
        prompt_num_attention_heads=heads,
        text_config=dict(
            towers['text'], vocab_size=text.vocab_size,
            max_position_embeddings=text.context_length),
        vision_config=dict(
            towers['vision'], image_size=vision.image_size,
            patch_size=vision.patch_size, num_frames=len(weights[POSITIONS]),
            mit_hidden_size=dim, mit_intermediate_size=4 * dim,
            mit_num_hidden_layers=count(weights, r'temporal\.blocks'),
            mit_num_attention_heads=heads))


def _towers(arch: Arch) -> Dict[str, Dict[str, Any]]:
    """What both models' configs say of a tower."""
    pairs: Tuple = tower_cfgs(arch)
    heads = pairs[0].width // pairs[0].head_width, pairs[1].heads
    return {
        part: dict(hidden_size=cfg.width,
                   intermediate_size=int(cfg.width * cfg.mlp_ratio),
                   num_hidden_layers=cfg.layers, num_attention_heads=number)
        for part, cfg, number in zip(('vision', 'text'), pairs, heads)}
