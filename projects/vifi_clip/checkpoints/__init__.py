"""Checkpoint files: safe loading, layouts, and the settings that travel."""
from .files import AtomicLocalBackend, load_checkpoint, register_loader
from .settings import CheckpointSettingsHook
