"""What ``vifi-clip test`` is asked for."""
from dataclasses import dataclass
from typing import Any, Dict, Optional


@dataclass(frozen=True)
class Options:
    """What to test and what to write.

    Attributes:
        config (str): A file, or the name of an entry.
        checkpoint (str): A file or address, or 'none'.
        amp (bool): bfloat16 autocast.
        single_view (bool): The config's ``val_pipeline``.
        dump, predictions, metrics (str, optional): Files to write.
        bad_videos (str, optional): 'error' or 'count_as_wrong'.
        inference (dict): Of ``apply_inference``, what is not the default.
        common (dict): Of ``load_config``.
    """

    config: str
    checkpoint: str
    amp: bool
    single_view: bool
    dump: Optional[str]
    predictions: Optional[str]
    metrics: Optional[str]
    bad_videos: Optional[str]
    inference: Dict[str, Any]
    common: Dict[str, Any]
