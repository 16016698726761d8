"""What ``vifi-clip export`` is asked for, without anything heavy."""
from dataclasses import dataclass
from typing import List, Optional, Tuple

from ..cli.options import ModelOptions

# Parts by name, and the stems of their files.
PARTS = dict(
    video='video_encoder', text='text_encoder', classifier='classifier')
SUFFIXES = {'onnx': '.onnx', 'torch-export': '.pt2'}


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and how to check it."""
    out: str  # folder
    form: str = 'onnx'  # of SUFFIXES
    parts: Tuple[str, ...] = tuple(PARTS)
    pixels: str = 'uint8'  # frames as they are; normalised ones are 'float'
    opset: Optional[int] = None  # of ONNX; None leaves it to torch
    int8: bool = False  # also write quantised copies
    frames: Tuple[int, ...] = (1, 4, 8, 16)  # to check at
    batches: Tuple[int, ...] = (1, 3)
    labels: Optional[str] = None  # of the classifier
    evaluate: Optional[str] = None  # list of videos with labels, or 'config'
    root: Optional[str] = None  # folder that the list's paths start from
    overwrite: bool = False
    model: ModelOptions = ModelOptions()

    def file_name(self, part: str, int8: bool = False) -> str:
        """Return the name of a part's file, such as 'video_encoder.onnx'."""
        return PARTS[part] + ('_int8' if int8 else '') + SUFFIXES[self.form]

    def models(self) -> List[str]:
        """Return the names of the model files, the int8 copies last."""
        return [self.file_name(part, int8)
                for int8 in ((False, True) if self.int8 else (False, ))
                for part in self.parts]

    def files(self) -> List[str]:
        """Return the names of all files that are written."""
        example = ['example.py'] if self.form == 'onnx' else []
        return [*self.models(), 'README.md', 'classes.json', *example]
