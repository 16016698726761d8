"""What ``vifi-clip splits`` can be asked for, and the data sets it knows."""
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional


class DataSet(NamedTuple):
    """A published data set."""

    pattern: str  # where its videos usually lie
    base_novel: bool = True  # it has a published partition
    few_shot: bool = True  # K-shot lists of all classes are made
    tiny: bool = False  # it has a train_tiny.txt


DATASETS: Dict[str, DataSet] = {
    'k400': DataSet('{split}/{name}', tiny=True),
    'k600': DataSet('{split}/{name}', base_novel=False, few_shot=False),
    'hmdb51': DataSet('{label_}/{name}'),
    'ucf101': DataSet('{label}/{name}'),
    'ssv2': DataSet('{name}'),
    'msrvtt': DataSet('{name}', base_novel=False, few_shot=False),
}


@dataclass(frozen=True)
class Options:
    """The options of the command; ``--help`` says what each is.

    One of ``annotations``, ``csv``, ``import_dir`` and ``check`` is given.
    ``out`` is None for the data set's folder in the checkout.
    """

    dataset: str
    annotations: Optional[Path]
    csv: Optional[Path]
    import_dir: Optional[Path]
    check: bool
    out: Optional[Path]
    force: bool
    videos: Optional[Path]
    shots: List[int]
    base_shots: List[int]
    seeds: List[int]
    partition: str
    halves: Optional[List[Path]]
    pattern: Optional[str]
    tiny: int
    zero_shot_from: str
    classes: Optional[Path]
    val_ratio: float
    fix_labels: bool
