"""What ``tools/benchmark.py`` measures, and against what."""
