"""What ``vifi-clip export`` is asked for, without anything heavy."""
from dataclasses import dataclass
from typing import List, Optional, Tuple

from ..cli.options import ModelOptions

PARTS = ('video', 'text', 'classifier')
SUFFIXES = {'onnx': '.onnx', 'torch-export': '.pt2'}
_STEMS = dict(
    video='video_encoder', text='text_encoder', classifier='classifier')


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and how to check it.

    Attributes:
        out (str): Folder; existing files of these names are replaced.
        form (str): 'onnx' or 'torch-export'.
        parts (tuple[str]): Of ``PARTS``.
        pixels (str): 'uint8' frames, or normalised 'float' ones.
        opset (int, optional): Of ONNX; None leaves it to torch.
        int8 (bool): Also write quantised copies (ONNX).
        frames (tuple[int]): Frame counts to check at.
        batches (tuple[int]): Batch sizes to check at.
        labels (str, optional): Classes of the classifier, or a file of them.
        evaluate (str, optional): List of videos with labels, or 'config'.
        root (str, optional): Folder that the list's paths start from.
        overwrite (bool): The command may replace files.
        model (ModelOptions): The model.
    """
    out: str
    form: str = 'onnx'
    parts: Tuple[str, ...] = PARTS
    pixels: str = 'uint8'
    opset: Optional[int] = None
    int8: bool = False
    frames: Tuple[int, ...] = (1, 4, 8, 16)
    batches: Tuple[int, ...] = (1, 3)
    labels: Optional[str] = None
    evaluate: Optional[str] = None
    root: Optional[str] = None
    overwrite: bool = False
    model: ModelOptions = ModelOptions()

    def file_name(self, part: str, int8: bool = False) -> str:
        """Return the name of a part's file, such as 'video_encoder.onnx'."""
        return _STEMS[part] + ('_int8' if int8 else '') + SUFFIXES[self.form]

    def models(self) -> List[str]:
        """Return the names of the model files, the int8 copies last."""
        return [self.file_name(part, int8)
                for int8 in ((False, True) if self.int8 else (False, ))
                for part in self.parts]

    def files(self) -> List[str]:
        """Return the names of all files that are written."""
        example = ['example.py'] if self.form == 'onnx' else []
        return [*self.models(), 'README.md', 'classes.json', *example]
