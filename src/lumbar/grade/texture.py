"""What is measured on an image without a net: gradients (HOG), how greys lie beside each other (GLCM), and edges."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SIDE = 64
"""Pixels of the square that is measured."""
CELL, BLOCK, BINS = 16, 32, 9
"""Pixels of a cell and of a block of the histograms of gradients, and their directions."""
GREYS = 8
"""Grey values that are told apart in what lies beside what."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Rows and columns to the neighbours that are looked at: right, below, and both diagonals."""
EDGES = (50, 150)
"""The two thresholds of Canny's edges."""
Grey = NDArray[np.uint8]


class TextureFeatures(nn.Module):
    """Features of images with nothing that is learned; a crop's slices are measured one by one."""

    def __init__(self, channels: int) -> None:
        """Images of any size, whose slices are the channels."""
        super().__init__()
        self.features = channels * len(measure_texture(np.zeros((SIDE, SIDE), np.uint8)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, F) of images (B, C, H, W), each from its own darkest to its own brightest pixel."""
        crops = images.detach().float().cpu().numpy()
        rows = [np.concatenate([measure_texture(stretch(slice_)) for slice_ in crop]) for crop in crops]
        return torch.from_numpy(np.stack(rows)).to(images.device)


def stretch(image: NDArray[np.float32]) -> Grey:
    """An image (H, W) as grey values (SIDE, SIDE) from 0 to 255; all are 0 where it has but one."""
    low, high = float(image.min()), float(image.max())
    grey = ((image - low) * (255 / (high - low or 1.0))).round().astype(np.uint8)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)


def measure_texture(image: Grey) -> NDArray[np.float32]:
    """The features (F,) of an image (SIDE, SIDE): gradients, what lies beside what in each direction, edge density."""
    beside = [describe_neighbours(count_neighbours(image, *step)) for step in NEIGHBOURS]
    return np.concatenate([gradients(image), *beside, [edge_density(image)]]).astype(np.float32)


def gradients(image: Grey) -> NDArray[np.float32]:
    """The histograms of oriented gradients (324,) of an image (SIDE, SIDE), each block scaled to one length."""
    hog = cv2.HOGDescriptor((SIDE, SIDE), (BLOCK, BLOCK), (CELL, CELL), (CELL, CELL), BINS)
    return np.asarray(hog.compute(image), dtype=np.float32).ravel()


def count_neighbours(image: Grey, down: int, right: int) -> NDArray[np.float64]:
    """How often two grey values (GREYS, GREYS) lie so many rows and columns apart, in either order; the sum is 1."""
    greys = (image.astype(np.int64) * GREYS) // 256
    rows, columns = greys.shape
    here = greys[: rows - down, max(0, -right) : columns - max(0, right)]
    there = greys[down:, max(0, right) : columns + min(0, right)]
    counts = np.bincount((here * GREYS + there).ravel(), minlength=GREYS**2).reshape(GREYS, GREYS)
    both = counts + counts.T
    return both / both.sum()


def describe_neighbours(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Contrast, homogeneity, energy and correlation (4,) of a matrix (GREYS, GREYS) by `count_neighbours`.

    After Haralick, Shanmugam and Dinstein, "Textural Features for Image Classification" (1973). An image of one grey
    value correlates perfectly.
    """
    first, second = np.indices(shares.shape)
    apart = (first - second) ** 2
    mean = float((shares * first).sum())
    variance = float((shares * (first - mean) ** 2).sum())
    covariance = float((shares * (first - mean) * (second - mean)).sum())
    correlation = covariance / variance if variance else 1.0
    return np.array([(shares * apart).sum(), (shares / (1 + apart)).sum(), np.sqrt((shares**2).sum()), correlation])


def edge_density(image: Grey) -> float:
    """The share of pixels on an edge."""
    return float((cv2.Canny(image, *EDGES) > 0).mean())
