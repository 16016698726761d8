"""Captions to token ids, as OpenCLIP's own tokenizer gives them."""
import json
import pickle

import open_clip
import pytest
import torch
from mmaction.registry import TRANSFORMS
from tiny import tiny_arch

START, END = 49406, 49407  # CLIP's vocabulary ends with these


def tokenize(text, **kwargs) -> torch.Tensor:
    cfg = dict(dict(type='OpenCLIPTokenize', arch=tiny_arch()), **kwargs)
    results = TRANSFORMS.build(cfg)(dict(text=text, filename='a.mp4'))
    assert results['filename'] == 'a.mp4'
    return results['text']


def test_tokens_are_openclips():
    text = 'A man is cooking, slowly'
    tokens = tokenize(text)
    assert tokens.shape == (24, ) and tokens.dtype == torch.int64
    expected = open_clip.tokenize([text], context_length=24)[0]
    assert torch.equal(tokens, expected)
    words = [open_clip.tokenizer._tokenizer.decoder[i]
             for i in tokens[1:7].tolist()]
    assert words == [f'{word}</w>' for word in
                     ('a', 'man', 'is', 'cooking', ',', 'slowly')]
    assert tokens[0] == START and tokens[7] == END and not tokens[8:].any()


@pytest.mark.parametrize('arch, length', [('ViT-B-16-quickgelu', 77),
                                          (tiny_arch(), 24)])
def test_context_is_the_architectures(arch, length):
    assert tokenize('a dog', arch=arch).shape == (length, )
    assert tokenize('a dog', arch=arch, context_length=9).shape == (9, )


def test_arch_file(tmp_path):
    path = tmp_path / 'arch.json'
    path.write_text(json.dumps(tiny_arch(text_cfg=dict(context_length=11))))
    assert tokenize('a dog', arch=str(path)).shape == (11, )


def test_overlong_caption_keeps_the_end():
    tokens = tokenize('a red dog ' * 30)
    assert tokens[0] == START and tokens[-1] == END
    whole = open_clip.tokenize(['a red dog ' * 30], context_length=100)[0]
    assert torch.equal(tokens[:-1], whole[:23])


@pytest.mark.parametrize('text', ['', ' \n', None, ['a dog']])
def test_no_caption(text):
    with pytest.raises(ValueError, match='a.mp4: its caption is'):
        tokenize(text)


@pytest.mark.parametrize('length', [2, 0, 7.5, '24'])
def test_bad_context_length(length):
    with pytest.raises(ValueError, match='context_length must be an integer'):
        tokenize('a dog', context_length=length)


def test_unknown_arch():
    with pytest.raises(ValueError, match='Unknown arch'):
        tokenize('a dog', arch='ViT-B-17')


def test_workers_may_be_spawned():
    transform = TRANSFORMS.build(
        dict(type='OpenCLIPTokenize', arch=tiny_arch()))
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(dict(text='a dog'))['text'], tokenize('a dog'))
