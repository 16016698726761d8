# METHOD=vifi (default): ViFi-CLIP itself.
_base_ = ['../models/vifi_clip.py']
