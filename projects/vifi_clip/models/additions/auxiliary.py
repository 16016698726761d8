"""Losses beside the main one, which training alone knows.

A loss is a module, built with ``embed_dim`` beside its own arguments. It is
called with the embeddings of the model and of its teacher and with
exp(logit_scale), and returns its terms by name, weighted. A method
``specialise``, if it has one, changes the frame embeddings [N, T, D] that the
main loss is made of, too.

Letters: N views of the batch, T frames, K classes, D embedding.
"""
from collections import OrderedDict
from typing import Dict, List, Mapping, Sequence

import torch
from mmaction.registry import MODELS
from mmaction.utils import ConfigType, SampleList
from torch import Tensor, nn

from ...errors import UserError
from .random_draw import RandomDraw
from .teachers import Embeddings, mean_over_templates

PARTS, TEACHER = 'auxiliary_state_dict', 'teacher_state_dict'


class AuxiliaryLosses(nn.ModuleList):
    """The ``auxiliary`` losses of :class:`ViFiCLIP`.

    Their parameters train with the model's, and are in no state dict: what is
    tested is the model without them. :meth:`training_state` has what a run
    needs to go on; ``AuxiliaryHook`` saves it.

    Args:
        configs (Sequence[dict]): Each a loss, and its ``teacher``. Losses
            that name the same teacher share it.
        model (nn.Module): The recognizer.

    Raises:
        ValueError: A model whose frames and classes have no embeddings of
            their own; a loss without a teacher; two teachers that follow the
            model.
    """

    def __init__(self, configs: Sequence[ConfigType],
                 model: nn.Module) -> None:
        head = model.cls_head
        if (model.with_neck or not hasattr(head, 'loss_of_frames')
                or head.condition is not None):
            raise ValueError(
                'auxiliary losses compare embeddings of frames and of classes,'
                ' and this model has none that stand alone (a neck, another '
                'head, METHOD=xclip, or CONTEXT_PROMPTS=on): leave auxiliary '
                'out (AUX=none)')
        missing = [cfg['type'] for cfg in configs if not cfg.get('teacher')]
        if missing:
            raise ValueError(f'auxiliary {missing[0]} has no teacher: give it '
                             "teacher=dict(type='EMATeacher') or CLIPTeacher")
        dim = head.text_classifier.embed_dim
        configs = [dict(cfg, embed_dim=dim) for cfg in configs]
        taught = [cfg.pop('teacher') for cfg in configs]
        super().__init__(map(MODELS.build, configs))
        distinct = [x for i, x in enumerate(taught) if x not in taught[:i]]
        # Plain lists: what teaches does not train, and is in no state dict.
        self.teachers = [MODELS.build(cfg) for cfg in distinct]
        self._teacher_of = [distinct.index(cfg) for cfg in taught]
        if sum(teacher.moving for teacher in self.teachers) > 1:
            raise ValueError('auxiliary losses name two teachers that follow '
                             'the model: give them the same settings')
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_post_hook(_ask_for_none)

    def prepare(self, model: nn.Module) -> None:
        """Build the teachers that are not there yet."""
        for teacher in self.teachers:
            teacher.prepare(model)

    def update(self, model: nn.Module) -> None:
        """Let a teacher follow the model, whose next optimizer step begins."""
        for teacher in self.teachers:
            teacher.update(model)

    def forward(self, model: nn.Module, inputs: Tensor,
                data_samples: SampleList) -> Dict[str, Tensor]:
        """All losses, the main one among them, of normalised frames
        [B, V*T, 3, H, W]."""
        head = model.cls_head
        feats, seen = model.extract_feat(inputs, data_samples=data_samples)
        frames = adapted = head.frames_of(feats, seen['num_segs'])
        draw = RandomDraw(frames.device)
        classes = head.encode_classes()
        draw.ended()
        for part in self:
            if hasattr(part, 'specialise'):
                adapted = part.specialise(adapted)
        losses = head.loss_of_frames(adapted, data_samples, classes)
        student = Embeddings(frames, head.fuse(adapted),
                             mean_over_templates(classes))
        self.prepare(model)
        taught = [teacher(inputs, head.text_classifier, draw)
                  for teacher in self.teachers]
        scale = head.logit_scale.exp()
        for part, index in zip(self, self._teacher_of):
            losses.update(part(student, taught[index], scale))
        return losses

    def training_state(self, model: nn.Module) -> Dict[str, dict]:
        """What training goes on from, by keys of a checkpoint: the losses'
        parameters, and the weights of the teacher that follows the model,
        named as the model's own, so that they can be tested."""
        state = {PARTS: {name: param.detach().cpu()
                         for name, param in self.named_parameters()}}
        for teacher in self.teachers:
            if teacher.moving:
                teacher.prepare(model)
                weights = teacher.parts.state_dict()
                state[TEACHER] = {
                    name: weights[name].cpu()
                    for name in model.state_dict() if name in weights}
        return state

    def load_training_state(self, checkpoint: Mapping,
                            model: nn.Module) -> None:
        """Go on from what :meth:`training_state` returned; UserError where
        a checkpoint has none, or that of other losses."""
        given = checkpoint.get(PARTS) or {}
        own = dict(self.named_parameters())
        moving = [teacher for teacher in self.teachers if teacher.moving]
        if (own.keys() != given.keys()
                or any(own[k].shape != given[k].shape for k in own)
                or bool(moving) != (TEACHER in checkpoint)):
            raise UserError(
                'the checkpoint was trained with other auxiliary losses than '
                'this config has (AUX): give those, or start a new run from '
                'its weights by load_from=FILE, without --resume')
        with torch.no_grad():
            for name, param in own.items():
                param.copy_(given[name])
        for teacher in moving:
            teacher.prepare(model, checkpoint[TEACHER])


def _leave_out(module: AuxiliaryLosses, state_dict: OrderedDict, prefix: str,
               local_metadata: dict) -> None:
    for name in [name for name in state_dict if name.startswith(prefix)]:
        del state_dict[name]


def _ask_for_none(module: AuxiliaryLosses, incompatible) -> None:
    missing: List[str] = incompatible[0]
    own = tuple(f'auxiliary.{name}' for name, _ in module.named_parameters())
    missing[:] = [key for key in missing if not key.endswith(own)]
