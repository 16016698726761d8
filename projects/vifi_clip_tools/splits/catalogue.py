"""The data sets that ``tools/make_splits.py`` knows."""
from dataclasses import dataclass
from typing import Callable, Dict, Optional

from .hmdb51 import read_hmdb51
from .kinetics import read_kinetics
from .ssv2 import read_ssv2
from .ucf101 import read_ucf101


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Args:
        read (Callable, optional): Reader of its official annotations.
        pattern (str): Where its videos usually lie.
        base_novel (bool): Whether it has a published partition.
        few_shot (bool): Whether K-shot lists of all classes are made.
        tiny (bool): Whether it has a ``train_tiny.txt``.
    """
    read: Optional[Callable]
    pattern: str
    base_novel: bool = True
    few_shot: bool = True
    tiny: bool = False


DATASETS: Dict[str, DataSet] = {
    'k400': DataSet(read_kinetics, '{split}/{name}', tiny=True),
    'k600': DataSet(
        read_kinetics, '{split}/{name}', base_novel=False, few_shot=False),
    'hmdb51': DataSet(read_hmdb51, '{label_}/{name}'),
    'ucf101': DataSet(read_ucf101, '{label}/{name}'),
    'ssv2': DataSet(read_ssv2, '{name}'),
    'msrvtt': DataSet(None, '{name}', base_novel=False, few_shot=False),
}
