"""What a candidate network is, what it is worth, and which to try next: the middle floor, above `kernels` and below `studies`.

The public names are listed here and imported on first use, so that `import automl` stays fast.
"""
