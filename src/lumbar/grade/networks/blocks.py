"""Convolution blocks, written once for the published nets."""

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
"""Those that one of the papers tried."""


def convolve(inputs: int, outputs: int, activation: str = "relu", normalise: bool = True) -> list[nn.Module]:
    """A 3×3 convolution that keeps the image's size, batch normalisation unless told otherwise, and an activation."""
    normalisation = [nn.BatchNorm2d(outputs)] if normalise else []
    return [nn.Conv2d(inputs, outputs, 3, padding=1), *normalisation, ACTIVATIONS[activation]()]
