"""Captions to token ids. MMAction2's CLIPTokenize needs OpenAI's package."""
from typing import Optional, Union

from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..architectures import build_tokenizer


@TRANSFORMS.register_module()
class OpenCLIPTokenize(BaseTransform):
    """Tokenize a caption as an OpenCLIP architecture reads it.

    A caption with more tokens than the context is cut, and the end-of-text
    token put last, as CLIP and every published retrieval result have it.

    Required keys are ``text`` (str) and, for messages, ``filename``; ``text``
    becomes the token ids, int64 [L].

    Args:
        arch (str | dict): OpenCLIP model name, architecture dict or JSON
            file, the same as the model's.
        tokenizer (str, optional): Folder or hub name of a Hugging Face
            tokenizer; see :func:`~..architectures.build_tokenizer`. Defaults
            to None: the one that the architecture names.
        context_length (int, optional): L. Defaults to None: the
            architecture's.

    Raises:
        ValueError: An unknown arch, a tokenizer that cannot be loaded, a
            context without room for a word, or an empty caption.
    """

    def __init__(self,
                 arch: Union[str, dict],
                 tokenizer: Optional[str] = None,
                 context_length: Optional[int] = None) -> None:
        if context_length is not None and (not isinstance(context_length, int)
                                           or context_length < 3):
            raise ValueError('context_length must be an integer from 3 (a '
                             'word between start and end), got '
                             f'{context_length!r}')
        self.tokenizer = build_tokenizer(arch, tokenizer)
        self.context_length = context_length or self.tokenizer.context_length

    def transform(self, results: dict) -> dict:
        """Replace ``text`` by its token ids."""
        text = results['text']
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f'{results.get("filename", "video")}: its '
                             f'caption is {text!r}; give it a text or delete '
                             'it from the annotation file')
        tokens = self.tokenizer([text], context_length=self.context_length)
        results['text'] = tokens[0]  # [1, L] -> [L]
        return results

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}('
                f'context_length={self.context_length})')
