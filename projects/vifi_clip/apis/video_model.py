"""A trained model with a label set, asked about texts and single frames.

Letters: T frames, K classes, M texts, D embedding.
"""
import logging
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from ..errors import UserError
from .batches import one_video
from .labels import read_labels
from .loading import load_model
from .sampling import Sampled, VideoSampler

Labels = Union[None, str, Sequence[str]]


class VideoModel:
    """What :class:`ViFiCLIPInferencer`, whose arguments it has, is made of.
    """

    def __init__(self,
                 config: Any = 'vifi_zero_shot',
                 checkpoint: Optional[str] = None,
                 device: str = 'auto',
                 trust: bool = False,
                 cfg_options: Optional[dict] = None,
                 labels: Labels = None,
                 **inference) -> None:
        if labels is not None:
            labels = read_labels(labels, 'labels')
        self.model, self.cfg = load_model(config, checkpoint, device, trust,
                                          cfg_options, labels)
        if inference:
            from ..engine.precision import apply_inference
            apply_inference(self.model, **inference)
        self.checkpoint = checkpoint
        self.sampler = VideoSampler(self.cfg)
        head = self.model.cls_head
        self._classifier = getattr(head, 'text_classifier', None)
        self._warned_of: Optional[tuple] = None
        if self._classifier is not None:
            self._own = (self.class_names, self._classifier.templates,
                         self._classifier.descriptions)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def classifier(self) -> torch.nn.Module:
        """The head's text side.

        Raises:
            UserError: The model has a fixed set of classes.
        """
        if self._classifier is None:
            raise UserError(
                f'The head {type(self.model.cls_head).__name__} of '
                f'{self.cfg.filename} has no text_classifier: no labels can '
                'be chosen, and texts have no embedding')
        return self._classifier

    @property
    def class_names(self) -> List[str]:
        """K names of the present label set."""
        return list(self.classifier.class_names)

    @property
    def num_frames(self) -> int:
        """T, frames of a view."""
        return self.model.cls_head.num_frames

    @property
    def embed_dim(self) -> int:
        """D, length of an embedding."""
        return self.classifier.embed_dim

    def set_labels(self, labels: Labels, templates=None) -> None:
        """Choose what to tell apart.

        Args:
            labels (Sequence[str] | str): Names, or a file of them, or one
                text with commas. If the config describes its classes in
                sentences, those are used for exactly its classes.
            templates (str | Sequence[str], optional): With ``{}`` where the
                label goes. Defaults to None: the config's.

        Raises:
            ValueError: Empty or repeated labels, or a bad template.
        """
        text, names = self.classifier, read_labels(labels, 'labels')
        own_names, own_templates, descriptions = self._own
        if templates is not None or names != own_names:
            descriptions = None
        if templates is None:
            templates = own_templates
        templates = ([templates] if isinstance(templates, str) else
                     list(templates))
        before = text.descriptions
        if ((names, templates, descriptions) == (
                self.class_names, text.templates, before)):
            return  # what is encoded stays encoded
        text.descriptions = descriptions
        try:
            text.set_classes(names, source='labels', templates=templates)
        except ValueError:
            text.descriptions = before
            raise

    def _label_state(self) -> Optional[tuple]:
        """All that decides the class embeddings but weights."""
        text = self._classifier
        return text and (text.class_names, text.templates, text.descriptions)

    def warn_of_equal_labels(self) -> None:
        """Say, once for a label set, which labels this model cannot tell
        apart: a small vocabulary knows no other words."""
        state = self._label_state()
        if state is None or state == self._warned_of:
            return
        self._warned_of = state
        with torch.no_grad():
            rows = self.classifier().float().cpu().numpy().round(5)
        groups: Dict[bytes, List[str]] = {}
        for name, row in zip(self.class_names, rows):
            groups.setdefault((row + 0.).tobytes(), []).append(name)
        equal = next((g for g in groups.values() if len(g) > 1), None)
        if equal:
            print_log(
                f'this model cannot tell apart: {", ".join(equal[:5])}'
                f'{" ..." if len(equal) > 5 else ""}. It does not know their '
                'words, and gives them equal scores', 'current',
                logging.WARNING)

    def sample(self, video: Any, num_frames: Optional[int] = None) -> Sampled:
        """The frames of one view, as the model sees them.

        Args:
            video: One video; see :func:`expand_inputs`.
            num_frames (int, optional): T. Defaults to None: the model's.

        Raises:
            UserError: It is not one video, or cannot be read.
        """
        return self.sampler.sample(one_video(video), num_frames)

    @torch.no_grad()
    def frame_embeddings(self, images: np.ndarray) -> Tensor:
        """Embeddings of frames, each on its own.

        Args:
            images (np.ndarray): uint8 [T, h, w, 3], from :meth:`sample`.

        Returns:
            Tensor: [T, D], not normalised.
        """
        self.classifier  # says what is missing
        if self.model.data_preprocessor.format_shape != 'NCHW':
            raise UserError(f'The backbone of {self.cfg.filename} takes clips '
                            'and not frames on their own')
        return self.model.cls_head.frame_embeddings(
            self.model.backbone(self.normalise(images)), len(images))[0]

    def normalise(self, images: np.ndarray) -> Tensor:
        """Frames uint8 [T, h, w, 3] to the model's input, [T, 3, h, w]."""
        x = torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1)
        data = self.model.data_preprocessor(
            dict(inputs=[x], data_samples=[None]), False)
        return data['inputs'][0]

    def frame_scores(self, images: np.ndarray) -> np.ndarray:
        """Probabilities [T, K] of each frame on its own."""
        return self._softmax(
            F.normalize(self.frame_embeddings(images).float(), dim=-1))

    def video_scores(self, images: np.ndarray) -> np.ndarray:
        """Probabilities [K] of T frames as one view."""
        return self._softmax(
            self.model.cls_head.fuse(self.frame_embeddings(images)))

    @torch.no_grad()
    def _softmax(self, embeddings: Tensor) -> np.ndarray:
        logits = self.model.cls_head.class_logits(embeddings)
        return logits.softmax(-1).cpu().numpy()

    @torch.no_grad()
    def text_embeddings(self, texts: Sequence[str],
                        templates=None) -> np.ndarray:
        """Embeddings of texts; the label set stays as it is.

        Args:
            texts (Sequence[str]): M texts.
            templates (str | Sequence[str], optional): Defaults to None: the
                model's.

        Returns:
            np.ndarray: float32 [M, D], rows of length 1.
        """
        embeddings = self.classifier.embed_texts(texts, templates)
        return embeddings.float().cpu().numpy()
