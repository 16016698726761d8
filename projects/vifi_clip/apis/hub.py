"""Models on the Hugging Face Hub: where a name leads, and uploads."""
import os
import os.path as osp
from typing import Optional, Union

from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from projects.vifi_clip_configs.shipped import (HUB, MODEL_CONFIG,
                                                MODEL_WEIGHTS, did_you_mean,
                                                shipped_config)

from ..errors import UserError, first_line
from ..network import hub_unreachable
from ..resources import fetch_from_hub
from .model_folder import CARD


def find_model(name: Union[str, os.PathLike], **options) -> str:
    """Return what stands for a config of a model.

    Args:
        name: Folder of a trained model, ``ORGANISATION/NAME`` on the Hub
            (``hf://`` before it may be left out), a config file, or a name
            in ``configs/``, such as that of the bundled weights,
            'small_world'.
        options: Of ``huggingface_hub.snapshot_download``, such as
            ``revision``; those that are None are left out.

    Returns:
        str: A local folder, or the name as it is.

    Raises:
        FileNotFoundError: It is neither here nor on the Hub.
    """
    name = os.fspath(name)
    if not name.startswith(HUB):
        if osp.exists(name) or shipped_config(name):
            return name
        if '/' not in name:
            raise FileNotFoundError(
                f'there is no folder {name!r} here, and no such config.'
                f'{did_you_mean(name)} A model on the Hugging Face Hub is '
                'named ORGANISATION/NAME')
        try:
            validate_repo_id(name)
        except HFValidationError as error:
            raise FileNotFoundError(f'{name!r} does not exist') from error
    options = {k: v for k, v in options.items() if v is not None}
    return fetch_from_hub(HUB + name.removeprefix(HUB), **options)


def push_folder(folder: str, name: str, private: bool = False,
                token: Optional[str] = None,
                license: Optional[str] = None) -> str:
    """Upload the folder of a trained model.

    Args:
        folder (str): Of :func:`.model_folder.save_model_folder`.
        name (str): ``ORGANISATION/NAME`` on the Hub, made if it is not there.
        private (bool): Only for its owner, if it is made now.
        token (str, optional): Of the Hub. Defaults to None: that of
            ``hf auth login``, or HF_TOKEN.
        license (str, optional): Such as 'mit', for the card. Defaults to
            None: as the card has it.

    Returns:
        str: Web address of the commit.

    Raises:
        FileNotFoundError: It is not the folder of a model.
        UserError: The Hub refused it, or cannot be reached.
    """
    for file in MODEL_CONFIG, MODEL_WEIGHTS:
        if not osp.isfile(osp.join(folder, file)):
            raise FileNotFoundError(
                f'{folder} has no {file}: give the folder of a '
                'trained model, which `vifi-clip train` leaves in its work '
                'folder as "model"')
    card = osp.join(folder, CARD)
    if license and osp.isfile(card):
        content = ModelCard.load(card)
        content.data.license = license
        content.save(card)
    hub, name = HfApi(token=token), name.removeprefix(HUB)
    if reason := hub_unreachable():
        raise UserError(f'{folder} was not pushed to {name}: {reason}')
    try:
        hub.create_repo(name, private=private or None, exist_ok=True)
        done = hub.upload_folder(repo_id=name, folder_path=folder)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise UserError(f'{folder} was not pushed to {name}: '
                        f'{first_line(error)}') from error
    return done.commit_url
