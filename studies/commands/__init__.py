"""What the commands of `automl` do, once `studies.cli` has read their arguments."""
