"""The levers on a command line are those of apply_inference."""
import argparse

import pytest

from projects.vifi_clip_tools.cli import inference_options
from projects.vifi_clip_tools.cli.options import (
    add_inference_arguments, inference_settings)
from projects.vifi_clip.engine import inference


def settings(*argv):
    parser = argparse.ArgumentParser()
    add_inference_arguments(parser)
    return inference_settings(parser.parse_args(argv))


def test_off_by_default():
    assert settings() == {}


@pytest.mark.parametrize('argv,name,value', [
    (['--precision', 'bf16'], 'precision', 'bf16'),
    (['--token-merging', '8'], 'token_merging', 8),
    (['--compile'], 'compile', True),
    (['--text-bf16'], 'text_bf16', True),
])
def test_each_option_reaches_its_argument(argv, name, value):
    given = settings(*argv)
    assert given[name] == value
    inference.check_inference(**given)
    assert inference.InferenceHook(**given).settings == given


def test_the_parser_knows_every_precision():
    assert inference_options.PRECISIONS == inference.PRECISIONS


def test_bad_values():
    with pytest.raises(ValueError, match='--token-merging .* -2'):
        settings('--token-merging', '-2')
    with pytest.raises(SystemExit):
        settings('--precision', 'fp8')
