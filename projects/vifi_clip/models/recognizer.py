"""The recognizer: it wires a backbone and a head and says what trains.

Letters: B videos, V views, T frames of a view, D embedding.
"""
import copy
from collections import OrderedDict
from typing import Dict, Optional, Sequence

from mmaction.models.recognizers import Recognizer2D
from mmaction.registry import MODELS
from mmaction.utils import ConfigType, OptConfigType, SampleList
from torch import Tensor, nn

from ..checkpoints.lora import SCALE, fold_lora, has_lora
from .additions.auxiliary import AuxiliaryLosses
from .additions.lora import add_lora
from .towers import compare
from .tuning import TRAINED, Patterns, Tuning


@MODELS.register_module()
class ViFiCLIP(Recognizer2D):
    """ViFi-CLIP (arXiv 2212.03640).

    Inputs are [B, V*T, 3, H, W]; see :class:`CLIPVisionBackbone` and
    :class:`TemporalMeanPoolHead` for the rest of the way.

    Args:
        backbone (dict): Any 2D backbone; usually :class:`CLIPVisionBackbone`
            or :class:`VLDeepPromptBackbone`. Its ``num_frames=None`` becomes
            the head's.
        cls_head (dict): Usually :class:`TemporalMeanPoolHead`.
        data_preprocessor (dict, optional): MMAction2's. Mixup and cutmix in
            its ``blending`` get the label set's number of classes where
            their ``num_classes`` is not given.
        tune (str): What trains: ``'both'`` towers, ``'image'``, ``'text'``,
            ``'prompts'``, ``'adapters'`` (CLIP is frozen; LoRA, and what a
            method adds, train) or ``'none'``. Defaults to 'both'.
        logit_scale (bool, optional): Force training (True) or freezing
            (False) of the logit scale. Defaults to None: trained in 'both'
            only, as in the release.
        train_token_embedding (bool): Train the token embeddings with the
            text tower; the paper does not. Defaults to False.
        trainable (Sequence[str]): Patterns of names of parameters that train
            beside those of ``tune``: whole names, as ``named_parameters()``
            gives them, in which ``*`` stands for any characters, such as
            ``'backbone.visual.ln_post.*'``. Defaults to none.
        frozen (Sequence[str]): Likewise, of what does not train, whatever
            else says so; a module that is frozen as a whole is in eval mode.
            So is what a module froze when it was built, unless ``trainable``
            names it. Defaults to none.
        save_trainable_only (bool): Checkpoints hold only what trains, e.g.
            a few prompts; the rest is what ``pretrained`` loads. Defaults to
            False.
        auxiliary (Sequence[dict]): Losses beside the main one, in training;
            see :class:`AuxiliaryLosses`. Defaults to none.
        lora (dict, optional): Low-rank factors beside the towers' layers,
            the arguments of :func:`add_lora`; for ``tune='adapters'``.
            Defaults to None.
        kwargs: Of Recognizer2D.

    Raises:
        ValueError: Unknown ``tune``, or ``'prompts'`` without any prompts;
            a pattern that matches no parameter;
            frames that see each other, of another number than the head's;
            auxiliary losses, or LoRA, that the model does not go with.
    """

    def __init__(self, backbone: ConfigType, cls_head: ConfigType,
                 data_preprocessor: OptConfigType = None, tune: str = 'both',
                 logit_scale: Optional[bool] = None,
                 train_token_embedding: bool = False,
                 trainable: Patterns = (), frozen: Patterns = (),
                 save_trainable_only: bool = False,
                 auxiliary: Sequence[ConfigType] = (),
                 lora: OptConfigType = None, **kwargs) -> None:
        if tune not in TRAINED:
            raise ValueError(f'tune must be one of {tuple(TRAINED)}, got '
                             f'{tune!r}')
        blending = None
        # Built here, since MMEngine's BaseModel would look the type up in its
        # own registry, where it is only under the scope 'mmaction'.
        if not isinstance(data_preprocessor, nn.Module):
            cfg = {'type': 'ActionDataPreprocessor',
                   **(data_preprocessor or {})}
            blending = cfg.pop('blending', None)
            data_preprocessor = MODELS.build(cfg)
        if 'num_frames' in backbone and backbone['num_frames'] is None:
            backbone = dict(backbone, num_frames=cls_head['num_frames'])
        super().__init__(backbone=backbone, cls_head=cls_head,
                         data_preprocessor=data_preprocessor, **kwargs)
        if blending:
            self.data_preprocessor.blending = _build_blending(
                blending, self.cls_head.num_classes)
        seen = getattr(self.backbone, 'num_frames', None)
        if seen and seen != self.cls_head.num_frames:
            raise ValueError(
                f'num_frames of the backbone is {seen} and of the cls_head '
                f'{self.cls_head.num_frames}; set only one of them')
        frozen_before = [p for p in self.parameters() if not p.requires_grad]
        if lora is not None:
            add_lora(self, **lora)
        self.auxiliary = AuxiliaryLosses(
            auxiliary, self) if auxiliary else None
        if self.auxiliary is not None:
            frozen_before += [p for p in self.auxiliary.parameters()
                              if not p.requires_grad]
        self._lenient = False
        self.save_trainable_only = save_trainable_only
        self.tuning = Tuning(self, tune, logit_scale, train_token_embedding,
                             trainable, frozen, frozen_before)
        self.tuning.report(self)
        if save_trainable_only:
            self.register_state_dict_post_hook(_keep_trainable)
            self.register_load_state_dict_post_hook(_forgive_frozen)

    @property
    def tune(self) -> str:
        """What trains."""
        return self.tuning.tune

    def train(self, mode: bool = True) -> 'ViFiCLIP':
        """Set the mode; what does not train stays in eval mode (batch norm,
        dropout), and its gradients stay off."""
        super().train(mode)
        if mode:
            self.tuning.keep(self)
        return self

    def loss(self, inputs: Tensor, data_samples: SampleList,
             **kwargs) -> Dict[str, Tensor]:
        """The head's losses, and the auxiliary ones."""
        if self.auxiliary is None:
            return super().loss(inputs, data_samples, **kwargs)
        return self.auxiliary(self, inputs, data_samples)

    def load_state_dict(self, state_dict: dict, strict: bool = True, **kwargs):
        """As torch's, but strict=False also skips our architecture check."""
        self._lenient = not strict
        try:
            return super().load_state_dict(state_dict, strict, **kwargs)
        finally:
            self._lenient = False

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict,
                              missing_keys, unexpected_keys,
                              error_msgs) -> None:
        """Refuse another architecture's weights, which MMEngine, not strict
        by default, would pass over with a warning. LoRA is folded into the
        weights of a model that has none."""
        if has_lora(state_dict) and not has_lora(dict(self.named_buffers())):
            plain = fold_lora(state_dict, dict(self.named_parameters()))
            state_dict.clear()
            state_dict.update(plain)
        given = {k[len(prefix):]: v
                 for k, v in state_dict.items() if k.startswith(prefix)}
        expected = self.state_dict()
        if self.save_trainable_only:  # a full checkpoint is welcome too
            expected.update(
                {n: p for n, p in self.named_parameters() if n in given})
        report = compare(expected, given) or '\n'.join(
            f'  {name}: file {float(given[name]):g}, model {float(value):g}'
            for name, value in self.named_buffers() if name.endswith(SCALE)
            and given[name] != value)
        if report and not self._lenient:
            raise ValueError(
                f'The checkpoint does not fit this model:\n{report}\nUse the '
                'config that it was trained with, or give it as pretrained= '
                'of the backbone and the text_classifier.')
        super()._load_from_state_dict(state_dict, prefix, local_metadata,
                                      strict, missing_keys, unexpected_keys,
                                      error_msgs)


def embed_frames(model: nn.Module, inputs: Tensor,
                 num_frames: Optional[int] = None) -> Tensor:
    """Embed frames, each on its own, up to the head's fusion.

    Args:
        model (nn.Module): ViFiCLIP, Recognizer2D or Recognizer3D with
            :class:`TemporalMeanPoolHead`.
        inputs (Tensor): Normalised frames [B, V*T, 3, H, W], or clips
            [B, V, 3, T, H, W] of a Recognizer3D.
        num_frames (int, optional): T of 2D recognizers. Defaults to None:
            the head's own.

    Returns:
        Tensor: [B, V, T, D], not normalised; ``head.fuse`` takes it to
        [B, V, D]. A 3D backbone's time steps stand for the frames.

    Raises:
        ValueError: The frames of a video are no multiple of T.
    """
    feats, _ = model.extract_feat(inputs, test_mode=not model.training)
    # [B*V*T, C], [B*V*T, C, h, w] or [B*V, C, T, h, w]
    frames = model.cls_head.frame_embeddings(feats, num_frames)
    # [B*V, T, D]
    return frames.unflatten(0, (inputs.shape[0], -1))


def _build_blending(cfg: dict, num_classes: int) -> object:
    """Build MMAction2's blending with the number of classes filled in."""
    cfg = copy.deepcopy(cfg)
    inner = cfg.get('augments', [])
    for augment in [cfg, *(inner if isinstance(inner, list) else [inner])]:
        if 'Blending' in augment.get('type', ''):
            augment.setdefault('num_classes', num_classes)
    return MODELS.build(cfg)


def _keep_trainable(model: ViFiCLIP, state_dict: OrderedDict, prefix: str,
                    local_metadata: dict) -> None:
    """Drop frozen parameters from a checkpoint that is being made."""
    for name, param in model.named_parameters():
        if not param.requires_grad:
            state_dict.pop(prefix + name, None)


def _forgive_frozen(model: ViFiCLIP, incompatible) -> None:
    """Frozen parameters may be absent where checkpoints leave them out."""
    params, keys = dict(model.named_parameters()), incompatible[0]
    keys[:] = [k for k in keys if k not in params or params[k].requires_grad]
