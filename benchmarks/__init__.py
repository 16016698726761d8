"""Scripts that make our published figures: docs/performance.md."""
