"""A video CLIP in the shape of Hugging Face's models and pipelines.

Letters: N videos, M texts, D embedding.
"""
import os
import tempfile
from typing import Any, Dict, Iterable, List, Optional, Sequence, Union

import numpy as np
import torch
from torch import Tensor

from .hub import find_model, push_folder
from .inferencer import Labels, ViFiCLIPInferencer
from .inputs import VideoInput, is_frames, one_video, video_key
from .model_folder import save_model_folder
from .pipeline import Views

Name = Union[str, os.PathLike]
Scores = List[Dict[str, Any]]


class ViFiCLIP:
    """Classify videos among any labels, and embed videos and texts.

        model = ViFiCLIP.from_pretrained('small_world')
        model('my.mp4', candidate_labels=['a red ring', 'a blue star'])
        # [{'label': 'a blue star', 'score': 0.98}, {'label': ...}]

    It is a shape around :class:`.inferencer.ViFiCLIPInferencer`, which
    ``inferencer`` is and which does more.

    Args:
        inferencer (ViFiCLIPInferencer): The model.
    """

    def __init__(self, inferencer: ViFiCLIPInferencer) -> None:
        self.inferencer = inferencer
        text = getattr(inferencer.model.cls_head, 'text_classifier', None)
        self._own_labels = text and inferencer.class_names

    @classmethod
    def from_pretrained(
            cls, pretrained_model_name_or_path: Name, *, device: str = 'auto',
            revision: Optional[str] = None,
            token: Union[None, bool, str] = None,
            cache_dir: Optional[Name] = None, local_files_only: bool = False,
            force_download: bool = False, **kwargs) -> 'ViFiCLIP':
        """Load a model.

        Args:
            pretrained_model_name_or_path: The folder of a trained model,
                'ORGANISATION/NAME' on the Hugging Face Hub, 'small_world'
                (the bundled weights), or another name in ``configs/``. The
                config in a local folder is code: take it from those whom you
                trust. That of the Hub must be data, unless ``trust`` is True.
            device (str): 'auto' is a GPU if there is one. Defaults to
                'auto'.
            revision, token, cache_dir, local_files_only, force_download: Of
                ``huggingface_hub.snapshot_download``.
            kwargs: Of :class:`.inferencer.ViFiCLIPInferencer`, such as
                ``checkpoint`` or ``precision='bf16'``.

        Raises:
            FileNotFoundError: No such model here or on the Hub.
            ValueError, UserError: See :func:`.loading.load_model`.
        """
        folder = find_model(
            pretrained_model_name_or_path, revision=revision, token=token,
            cache_dir=cache_dir, local_files_only=local_files_only or None,
            force_download=force_download or None)
        return cls(ViFiCLIPInferencer(folder, device=device, **kwargs))

    def save_pretrained(self, save_directory: Name) -> None:
        """Write the model, with the weights that it has now, as a folder for
        :meth:`from_pretrained` and ``--model``; other files in it stay."""
        save_model_folder(self.inferencer.cfg, self.inferencer.model, None,
                          os.fspath(save_directory))

    def push_to_hub(self, repo_id: str, *, private: bool = False,
                    token: Optional[str] = None) -> str:
        """Upload what :meth:`save_pretrained` writes, and return the web
        address of the commit; see :func:`.hub.push_folder`."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push_folder(folder, repo_id, private, token)

    def __call__(self, videos: Any, candidate_labels: Labels = None,
                 hypothesis_template: Optional[str] = None,
                 top_k: Optional[int] = None, num_views: Views = 1,
                 batch_size: int = 1) -> Union[Scores, List[Scores]]:
        """Classify videos.

        Args:
            videos: One video, or a list of N: files, web addresses, or frames
                uint8 [T, H, W, 3] in RGB.
            candidate_labels (Sequence[str] | str): Names, or one text with
                commas. Defaults to None: the model's own classes.
            hypothesis_template (str, optional): A sentence with ``{}`` where
                the label goes. Defaults to None: the model's own.
            top_k (int, optional): Labels to keep. Defaults to None: all.
            num_views, batch_size: See
                :meth:`.inferencer.ViFiCLIPInferencer.predict`.

        Returns:
            list[dict]: ``label`` and ``score`` (a probability), best first;
            for a list of videos a list of N such lists.

        Raises:
            UserError: No such video, or one that cannot be read.
            ValueError: A bad argument.
        """
        inputs, many = _listed(videos)
        results = self.inferencer.predict(
            inputs, self._own_labels if candidate_labels is None
            else candidate_labels, hypothesis_template, num_views, batch_size,
            top_k)
        rows = _in_order(_keys(inputs), [
            [dict(label=label, score=score) for label, score in zip(
                result['labels'], result['scores'])] for result in results])
        return rows if many else rows[0]

    def get_video_features(self, videos: Any, num_views: Views = 1,
                           batch_size: int = 1, return_tensors: str = 'np'
                           ) -> Union[np.ndarray, Tensor]:
        """Embed videos.

        Args:
            videos, num_views, batch_size: See :meth:`__call__`.
            return_tensors (str): 'np' or 'pt'. Defaults to 'np'.

        Returns:
            np.ndarray | Tensor: float32 [N, D] on the CPU, rows of length 1;
            N is 1 for one video.
        """
        inputs, _ = _listed(videos)
        results = self.inferencer.embed(inputs, num_views, batch_size)
        return _returned(_in_order(_keys(inputs), [
            result['embedding'] for result in results]), return_tensors)

    def get_text_features(self, text: Union[str, Sequence[str]],
                          hypothesis_template: Optional[str] = None,
                          return_tensors: str = 'np'
                          ) -> Union[np.ndarray, Tensor]:
        """Embed texts.

        Args:
            text: One text or M texts.
            hypothesis_template (str, optional): A sentence with ``{}`` where
                the text goes; '{}' takes it as it is. Defaults to None: the
                model's own.
            return_tensors (str): 'np' or 'pt'. Defaults to 'np'.

        Returns:
            np.ndarray | Tensor: float32 [M, D] on the CPU, rows of length 1.

        Raises:
            UserError: The model embeds texts for each video on its own.
        """
        texts = [text] if isinstance(text, str) else list(text)
        rows = self.inferencer.text_embeddings(
            list(dict.fromkeys(texts)), hypothesis_template)
        return _returned(_in_order(texts, rows), return_tensors)

    @property
    def logit_scale(self) -> float:
        """Factor of cosine similarities before the softmax."""
        return self.inferencer.model.cls_head.logit_scale.exp().item()


def _listed(videos: Any) -> tuple:
    """One video for each that was given, and whether it was a list."""
    many = isinstance(videos, (list, tuple)) and not is_frames(videos)
    return [one_video(item) for item in (videos if many else [videos])], many


def _keys(inputs: List[VideoInput]) -> list:
    return [video_key(video, i) for i, video in enumerate(inputs)]


def _in_order(keys: Sequence, results: Iterable) -> list:
    """Repeat the results of what was given more than once, one for each key
    that differs."""
    by_key = dict(zip(dict.fromkeys(keys), results))
    return [by_key[key] for key in keys]


def _returned(rows: list, kind: str) -> Union[np.ndarray, Tensor]:
    if kind not in ('np', 'pt'):
        raise ValueError(f"return_tensors must be 'np' or 'pt', got {kind!r}")
    array = np.stack(rows)
    return array if kind == 'np' else torch.from_numpy(array)
