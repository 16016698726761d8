"""Weights that ship with the package: the small world's, for examples.

They are vifi_mini's of the quick start, as 16-bit numbers, with the token
embeddings of the words that the small world knows. Every other word has the
embedding zero, so that the file has 1 MB in place of 22. Made with

    python -m projects.vifi_clip.checkpoints.assets CHECKPOINT TEXTS OUT.pth.xz

of a checkpoint and a file with the texts that it was trained on.
"""
import io
import lzma
import sys
from pathlib import Path
from typing import Any, Union

import torch

from ..errors import UserError

ASSET = 'vifi-clip://'
FOLDER = Path(__file__).parents[1] / 'assets'
_TABLE = 'cls_head.text_classifier.text.token_embedding.weight'
_ROWS = 'token_rows'


def load_asset(name: str,
               map_location: Union[str, torch.device, None] = None) -> dict:
    """A checkpoint that ships with the package.

    Args:
        name (str): Such as 'small_world'.
        map_location (str | torch.device, optional): As in ``torch.load``.

    Returns:
        dict: ``state_dict`` in float32, and ``meta``.

    Raises:
        UserError: There is no such file.
    """
    path = FOLDER / f'{name}.pth.xz'
    if not path.is_file():
        known = ', '.join(ASSET + p.name.partition('.')[0]
                          for p in FOLDER.glob('*.pth.xz'))
        raise UserError(f'No weights {ASSET}{name} ship with the package; '
                        f'there are: {known or "none"}')
    content = torch.load(
        io.BytesIO(lzma.decompress(path.read_bytes())),
        map_location=map_location, weights_only=True)
    state = {k: v.float() for k, v in content['state_dict'].items()}
    rows = content[_ROWS]
    table = state[_TABLE].new_zeros(content['vocabulary'],
                                    state[_TABLE].shape[1])
    if table.device.type != 'meta':
        table[rows] = state[_TABLE]
    state[_TABLE] = table
    return dict(state_dict=state, meta=content['meta'])


def pack(checkpoint: dict, texts: str) -> bytes:
    """A checkpoint of ours as a file for ``assets/``.

    Args:
        checkpoint (dict): With ``state_dict`` and ``meta``.
        texts (str): Everything whose words are to keep their embeddings.
    """
    from open_clip.tokenizer import SimpleTokenizer
    tokenizer = SimpleTokenizer()
    used = {tokenizer.sot_token_id, tokenizer.eot_token_id}
    for line in set(texts.splitlines()):
        used.update(tokenizer.encode(line))
    rows = torch.tensor(sorted(used))
    state = dict(checkpoint['state_dict'])
    vocabulary = len(state[_TABLE])
    state[_TABLE] = state[_TABLE][rows]
    content: dict[str, Any] = dict(
        state_dict={k: v.half() for k, v in state.items()},
        vocabulary=vocabulary,
        meta=dict(vifi_clip=checkpoint['meta']['vifi_clip']))
    content[_ROWS] = rows
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return lzma.compress(buffer.getvalue(), preset=9)


def main(checkpoint: str, texts: str, out: str) -> None:
    """Pack one checkpoint; see the module."""
    from .files import AtomicLocalBackend, load_checkpoint
    packed = pack(load_checkpoint(checkpoint), Path(texts).read_text())
    AtomicLocalBackend().put(packed, out)
    print(f'{out}: {len(packed) / 1e6:.2f} MB')


if __name__ == '__main__':
    main(*sys.argv[1:])
