"""``vifi-clip push``: a trained model to the Hugging Face Hub."""
import os.path as osp
from dataclasses import dataclass

from ..cli.parsing import argument, option, reader

_EXAMPLES = """examples:
  hf auth login                                    # once, or HF_TOKEN=...
  vifi-clip push work_dirs/kitchen/model me/kitchen --private
  vifi-clip predict my.mp4 --model hf://me/kitchen

Training leaves such a folder in its work folder. Its README.md, the model
card, is yours to complete (data, licence, results) before you push."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """A folder, and where it goes."""

    folder: str = argument(help='the folder of a trained model')
    name: str = argument(help='ORGANISATION/NAME, or USER/NAME, on the Hub; '
                         'made if it is not there')
    private: bool = option(action='store_true',
                           help='only for you, if it is made now')


parse_args = reader(
    Options, 'Upload a trained model to the Hugging Face Hub', _EXAMPLES)


def run(options: Options) -> None:
    """Upload the folder, and say where it is."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from projects.vifi_clip.errors import UserError
    from projects.vifi_clip.resources import (HUB, MODEL_CONFIG, MODEL_WEIGHTS)
    for name in MODEL_CONFIG, MODEL_WEIGHTS:
        if not osp.isfile(osp.join(options.folder, name)):
            raise FileNotFoundError(
                f'{options.folder} has no {name}: give the folder of a '
                'trained model, which `vifi-clip train` leaves in its work '
                'folder as "model"')
    hub, name = HfApi(), options.name.removeprefix(HUB)
    try:
        hub.create_repo(name, private=options.private or None, exist_ok=True)
        done = hub.upload_folder(repo_id=name, folder_path=options.folder)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise UserError(f'{options.folder} was not pushed to {name}: '
                        f'{str(error).strip().splitlines()[0]}') from error
    print(f'{done.commit_url}\nvifi-clip predict VIDEO --model {HUB}{name}')
