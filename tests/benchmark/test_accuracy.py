"""What the table of levers says, given known scores."""
import pytest
import torch
from mmengine.config import Config

from projects.vifi_clip.benchmark import accuracy


def test_numbers_of_the_table(monkeypatch):
    labels = torch.tensor([0, 1, 1, 0])
    plain = torch.tensor([[.9, .1], [.4, .6], [.7, .3], [.8, .2]])
    # the second video is lost and the third is won
    other = torch.tensor([[.9, .1], [.6, .4], [.2, .8], [.8, .2]])
    monkeypatch.setattr(accuracy, '_models', lambda *args: [])
    monkeypatch.setattr(accuracy, '_test',
                        lambda *args: (labels, [plain, other]))
    lever = dict(precision='bf16', token_merging=2, text_bf16=True)
    first, second = accuracy.lever_costs(Config(), None, [lever])
    assert first == dict(
        lever='fp32', settings={}, videos=4, top1=75., agreement=100.,
        max_difference=0.)
    assert second.pop('max_difference') == pytest.approx(.5)
    assert second == dict(
        lever='bf16, merging 2, text too', settings=lever, videos=4,
        top1=75., agreement=50.)


def test_bad_requests_fail_before_any_model_is_built(monkeypatch):
    def never(*args):
        raise AssertionError('built')

    monkeypatch.setattr(accuracy, '_models', never)
    with pytest.raises(ValueError, match="'fp8'"):
        accuracy.lever_costs(Config(), None, [dict(precision='fp8')])
    with pytest.raises(ValueError, match='val_pipeline'):
        accuracy.lever_costs(Config(), None, [], single_view=True)


def test_default_levers_are_valid_and_differ():
    names = [accuracy.lever_name(x) for x in accuracy.DEFAULT_LEVERS]
    assert len(set(names)) == len(names)
    for lever in accuracy.DEFAULT_LEVERS:
        accuracy.check_inference(**{**accuracy._PLAIN, **lever})
