"""The texts of a command line, checked before a model is loaded."""
from typing import List, Optional

from projects.vifi_clip.apis.inputs import read_labels
from projects.vifi_clip.models.class_sentences import check_templates
from .options import Options


def read_texts(options: Options) -> Optional[List[str]]:
    """Return the labels, None for the config's; ValueError for those, or
    templates, that cannot be used."""
    labels = None if options.labels is None else read_labels(options.labels)
    if options.templates:
        check_templates(options.templates, '')
    if options.threshold is not None and labels and len(labels) < 2:
        raise ValueError('--threshold has no effect with one label, whose '
                         'probability is always 1; give at least two')
    return labels
