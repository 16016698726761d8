"""A small world of real clips, and the tools run on it."""
from run_fixtures import (_fresh_loggers, shared_world, tools, world,  # noqa
                          write_config)
