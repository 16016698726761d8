"""What Python users of vifi_clip import: ``from vifi_clip import ViFiCLIP``.

The code is in ``projects.vifi_clip``, where MMAction2's configs look for it;
importing this fills MMAction2's registries as importing that does.
"""
from projects.vifi_clip import __version__
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import VideoInput, expand_inputs
from projects.vifi_clip.apis.loading import load_model
from projects.vifi_clip.apis.model_folder import save_model_folder
from projects.vifi_clip.apis.zero_shot import ViFiCLIP
from projects.vifi_clip.errors import UnreadableVideo, UserError

__all__ = [
    'ViFiCLIP', 'ViFiCLIPInferencer', 'VideoInput', 'UnreadableVideo',
    'UserError', 'expand_inputs', 'load_model', 'save_model_folder',
    '__version__'
]
