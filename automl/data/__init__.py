"""From a table of columns to rows, targets and metrics that a network can be trained on and judged by."""
