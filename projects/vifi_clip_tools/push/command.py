"""``vifi-clip push``: a trained model to the Hugging Face Hub."""
from dataclasses import dataclass
from typing import Optional

from ..cli.parsing import argument, option, reader

_EXAMPLES = """examples:
  hf auth login                                    # once, or HF_TOKEN=...
  vifi-clip push work_dirs/kitchen/model me/kitchen --private --license mit
  vifi-clip predict my.mp4 --model hf://me/kitchen

Training leaves such a folder in its work folder. Its README.md, the model
card, has the results of its validation; complete it before you push."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """A folder, and where it goes."""

    folder: str = argument(help='the folder of a trained model')
    name: str = argument(help='ORGANISATION/NAME, or USER/NAME, on the Hub; '
                         'made if it is not there')
    private: bool = option(action='store_true',
                           help='only for you, if it is made now')
    license: Optional[str] = option(
        help="of the weights, such as 'mit': into the model card")


parse_args = reader(
    Options, 'Upload a trained model to the Hugging Face Hub', _EXAMPLES)


def run(options: Options) -> None:
    """Upload the folder, and say where it is."""
    from projects.vifi_clip.apis.hub import push_folder
    from projects.vifi_clip_configs.shipped import HUB
    print(push_folder(options.folder, options.name, options.private,
                      license=options.license))
    print(f'vifi-clip predict VIDEO --model {HUB}'
          f'{options.name.removeprefix(HUB)}')
