"""Tools check what a checkpoint was made with."""
import copy

from tools_world import settings_of


def test_pixel_statistics(tools, write_config, shared_world, tmp_path,
                          capsys):
    run = tmp_path / 'run'
    tools.train(write_config(), '--work-dir', run)
    checkpoint = run / 'epoch_1.pth'
    model = copy.deepcopy(settings_of(shared_world)['model'])
    model['data_preprocessor'].update(mean=[122.77, 116.75, 104.09])
    args = write_config('other', model=model), checkpoint, '--work-dir', run
    assert tools.code_of_test(*args) == 2
    said = capsys.readouterr().err
    assert str(checkpoint) in said and '123.675' in said and '122.77' in said
    override = said.partition('--cfg-options custom_hooks')[2].split()[0]
    assert tools.code_of_test(
        *args, '--cfg-options', f'custom_hooks{override}') == 0
    # and by the remedy that the message names
    assert 'model.data_preprocessor.mean=...' in said
    assert tools.code_of_test(
        *args, '--cfg-options',
        'model.data_preprocessor.mean=[123.675,116.28,103.53]') == 0
