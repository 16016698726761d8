"""Figures and measurements of trained models."""
