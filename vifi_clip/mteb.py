"""A model for MTEB, to be evaluated on its tasks of videos and texts.

    import mteb
    from vifi_clip.mteb import ViFiCLIPEncoder

    model = ViFiCLIPEncoder('FOLDER')      # as ViFiCLIP.from_pretrained
    mteb.evaluate(model, mteb.get_tasks(['HMDB51ZeroShot']))

Needs ``pip install mteb datasets torchcodec``.
"""
from typing import Any, List, Optional

import numpy as np
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.modality_collators import FramesCollator
from mteb.models.model_meta import ModelMeta, ScoringFunction
from torch.utils.data import DataLoader

from . import ViFiCLIP


class ViFiCLIPEncoder(AbsEncoder):
    """A :class:`ViFiCLIP` by MTEB's EncoderProtocol.

    MTEB takes the frames, evenly spaced from the first to the last, and
    writes the sentences of its tasks; the model's own template is not used.

    Args:
        model_name (str), revision (str, optional), device (str, optional),
            kwargs: Of :meth:`ViFiCLIP.from_pretrained`. The name is that in
            MTEB's results, where 'ORGANISATION/NAME' is usual.
    """

    def __init__(self, model_name: str, revision: Optional[str] = None, *,
                 device: Optional[str] = None, **kwargs: Any) -> None:
        self.model = ViFiCLIP.from_pretrained(
            model_name, revision=revision, device=device or 'auto', **kwargs)
        infer = self.model.inferencer
        name = model_name if model_name.count('/') == 1 else (
            f'vifi_clip/{model_name.strip("/").rpartition("/")[2]}')
        self.mteb_model_meta = ModelMeta.create_empty(dict(
            name=name, revision=revision, modalities=['video', 'text'],
            embed_dim=infer.embed_dim, framework=['PyTorch'],
            n_parameters=sum(p.numel() for p in infer.model.parameters()),
            similarity_fn_name=ScoringFunction.COSINE))

    def encode(self, inputs: DataLoader, *, task_metadata: Any, hf_split: str,
               hf_subset: str, prompt_type: Any = None,
               **kwargs: Any) -> np.ndarray:
        """Embed what a loader of MTEB gives, videos or else texts; float32
        [N, D], rows of length 1. ValueError for other kinds, or both."""
        columns = set(inputs.dataset.column_names) & {
            'text', 'image', 'audio', 'video'}
        if columns == {'video'}:
            inputs.collate_fn = FramesCollator(
                num_frames=self.model.inferencer.num_frames)
        elif columns != {'text'}:
            raise ValueError(
                f'{task_metadata.name} has {sorted(columns)} to embed; this '
                'model embeds videos alone or texts alone')
        rows: List[np.ndarray] = []
        for batch in inputs:
            rows.append(
                self.model.get_text_features(batch['text'], '{}')
                if columns == {'text'} else self.model.get_video_features(
                    [frames.movedim(1, -1).numpy()
                     for frames in batch['video']],
                    batch_size=len(batch['video'])))
        return np.concatenate(rows)
