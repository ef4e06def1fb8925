"""Comparisons of samplers: on published tables, one's own logs and real trainings."""
