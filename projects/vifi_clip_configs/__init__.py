"""Configs as files, and their knobs, without what takes seconds to import:
both the plugin and its commands use it."""
