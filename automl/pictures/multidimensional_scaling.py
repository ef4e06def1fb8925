"""Classical multidimensional scaling: points in the plane whose distances resemble given ones (Torgerson 1952).

Symbols: D distances, n x n; B = -1/2 J D^2 J with the centring matrix J; points = its two leading eigenvectors times
the roots of their eigenvalues.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def classical_scaling(distances: NDArray[np.float64], n_dimensions: int = 2) -> NDArray[np.float64]:
    """Points whose Euclidean distances resemble the given ones, exactly where that is possible.

    Args:
        distances: A symmetric n x n array with zeros on its diagonal.
        n_dimensions: Number of coordinates of each point.

    Returns:
        An n x n_dimensions array, centred at 0, the widest direction first. Of the two mirror images of an axis, the
        one whose farthest point is positive.

    Raises:
        ValueError: If the array is not square.
    """
    n = len(distances)
    if distances.shape != (n, n):
        raise ValueError(f"got distances of shape {distances.shape}, expected a square array; give all pairs.")
    centring = np.eye(n) - 1.0 / max(n, 1)
    gram = -0.5 * centring @ distances**2 @ centring
    eigenvalues, vectors = np.linalg.eigh(gram)
    leading = np.argsort(eigenvalues)[::-1][:n_dimensions]
    points = np.zeros((n, n_dimensions))
    # Distances that no Euclidean space holds have negative eigenvalues, which count as none.
    points[:, : len(leading)] = vectors[:, leading] * np.sqrt(np.maximum(eigenvalues[leading], 0.0))
    farthest = points[np.abs(points).argmax(axis=0), np.arange(n_dimensions)] if n else np.ones(n_dimensions)
    return points * np.where(farthest < 0, -1.0, 1.0)
