"""What ``vifi-clip splits`` can be asked for, and the data sets it knows."""
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional

# The published data sets, and where the videos of each usually lie.
DATASETS = {'k400': '{split}/{name}', 'k600': '{split}/{name}',
            'hmdb51': '{label_}/{name}', 'ucf101': '{label}/{name}',
            'ssv2': '{name}', 'msrvtt': '{name}'}


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
