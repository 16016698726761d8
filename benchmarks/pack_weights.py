"""Pack a checkpoint of ours as weights that ship with the package.

    python benchmarks/pack_weights.py CHECKPOINT TEXTS OUT.pth.xz

The small world's are vifi_mini's of the quick start, as 16-bit numbers, with
the token embeddings of the words in TEXTS alone, the texts that it was
trained on: 1 MB in place of 22.
"""
import io
import lzma
import sys
from pathlib import Path

import torch
from open_clip.tokenizer import SimpleTokenizer

from projects.vifi_clip.checkpoints.files import TOKEN_TABLE, load_checkpoint
from projects.vifi_clip.files import write_bytes


def pack(checkpoint: dict, texts: str) -> bytes:
    """Return the file's content.

    Args:
        checkpoint (dict): With ``state_dict`` and ``meta``.
        texts (str): Everything whose words are to keep their embeddings.
    """
    tokenizer = SimpleTokenizer()
    used = {tokenizer.sot_token_id, tokenizer.eot_token_id}
    for line in set(texts.splitlines()):
        used.update(tokenizer.encode(line))
    rows = torch.tensor(sorted(used))
    state = dict(checkpoint['state_dict'])
    vocabulary = len(state[TOKEN_TABLE])
    state[TOKEN_TABLE] = state[TOKEN_TABLE][rows]
    buffer = io.BytesIO()
    torch.save(
        dict(
            state_dict={k: v.half() for k, v in state.items()},
            vocabulary=vocabulary,
            meta=dict(vifi_clip=checkpoint['meta']['vifi_clip']),
            token_rows=rows), buffer)
    return lzma.compress(buffer.getvalue(), preset=9)


if __name__ == '__main__':
    _checkpoint, _texts, _out = sys.argv[1:]
    _packed = pack(load_checkpoint(_checkpoint), Path(_texts).read_text())
    write_bytes(_out, _packed)
    print(f'{_out}: {len(_packed) / 1e6:.2f} MB')
