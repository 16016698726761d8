"""Configs that may lie on the Hugging Face Hub."""
from pathlib import Path
from typing import Set

from projects.vifi_clip_configs.shipped import HUB, find_here

from .errors import first_line

_FETCHED: Set[Path] = set()  # folders from there, in this process


def find_config(name: str) -> str:
    """Return the path of a config as :func:`find_here` does, or that in the
    folder of a trained model on the Hugging Face Hub, which is fetched."""
    return find_here(fetch_from_hub(name) if name.startswith(HUB) else name)


def fetch_from_hub(name: str, **options) -> str:
    """Fetch the folder of ``hf://ORGANISATION/NAME``, unless it is there, and
    return its path; ``options`` are snapshot_download's. FileNotFoundError if
    it cannot be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from .network import hub_or_cache
    with hub_or_cache() as offline:
        try:
            folder = snapshot_download(name.removeprefix(HUB), **options)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError,
                ValueError) as error:
            reason = (f'{offline}, and it was not downloaded before'
                      if offline else first_line(error))
            raise FileNotFoundError(
                f'{name} cannot be fetched: {reason}') from error
    _FETCHED.add(Path(folder))
    return folder


def is_fetched(config: str) -> bool:
    """Tell whether a config is in a folder of :func:`fetch_from_hub`."""
    return not _FETCHED.isdisjoint(Path(config).parents)
