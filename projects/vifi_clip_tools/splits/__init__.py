"""Annotation lists of every protocol, from the official annotations."""
