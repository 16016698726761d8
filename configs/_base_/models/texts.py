# The texts of a class: templates with its name, and sentences about it.
# Knobs: TEMPLATE and DESCRIPTIONS, files of sentences separated by commas, in
# the order in which a label set looks for its own (docs/methods.md, "Texts").
_base_ = ['./tower.py']

tune = '{{$TUNE:both}}'
template = '{{$TEMPLATE:default}}'
descriptions = '{{$DESCRIPTIONS:none}}'
descriptions = None if descriptions == 'none' else descriptions.split(',')
if template == 'default':
    # The release tests frozen CLIP with bare names. Frozen towers of others
    # have OpenAI's 28 for Kinetics.
    _frozen = 'name' if _base_.of_clip else 'actions'
    template = _frozen if tune == 'none' else 'photo'
    del _frozen
    if descriptions and tune not in ('prompts', 'prompt'):
        template = 'product'
# Without descriptions, and with them. A word names a list of 28 templates:
# models/class_sentences.py.
_templates = dict(
    photo=('a photo of a {}.', 'a photo of a {description}.'),
    name=('{}', '{description}'),
    actions=('actions', None),
    product=(None, 'product'),  # name and sentence in each, sentence alone
    sentences=(None, 'sentences'))  # the sentence in the name's place
if template not in _templates:
    raise ValueError(
        f'TEMPLATE={template}: choose one of {tuple(_templates)}')
texts = dict(templates=_templates[template][bool(descriptions)])
if texts['templates'] is None:
    raise ValueError(
        f'TEMPLATE={template} goes with{"out" * bool(descriptions)} '
        'DESCRIPTIONS=FILE: docs/methods.md, "Texts"')
if descriptions:
    texts.update(description_file=descriptions)
if template in ('actions', 'product'):
    if tune in ('prompts', 'prompt'):
        raise ValueError(f'TEMPLATE={template} does not go with TUNE=prompts, '
                         'whose learnt prompts stand in its place')
    # All 28 in each step would cost more than the videos, where texts train.
    texts.update(random_template='shared')
if template == 'product':
    texts.update(always_templates=['{description}'])
del _templates
