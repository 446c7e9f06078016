"""Pictures as data URIs, so that the page needs no other file."""

import base64

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

WEBP_QUALITY = 82
"""Below this, noise in the air begins to show blocks."""
STRONGEST_OVERLAY = 0.62
"""Opacity where an overlay is brightest: the anatomy must stay visible below it."""


def grey_uri(pixels: NDArray[np.uint8]) -> str:
    """A grey image (H, W)."""
    return _uri(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY], "image/webp")


def overlay_uri(heat: NDArray[np.floating]) -> str:
    """A map (H, W) in [0, 1] as colours that grow brighter and more opaque with it."""
    colours = matplotlib.colormaps["inferno"](0.25 + 0.75 * heat)[..., 2::-1]
    opacity = STRONGEST_OVERLAY * np.sqrt(heat)[..., None]  # the root, so that weaker places show as well
    pixels = np.rint(255 * np.concatenate([colours, opacity], axis=-1)).astype(np.uint8)
    return _uri(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9], "image/png")


def _uri(extension: str, pixels: NDArray[np.uint8], options: list[int], kind: str) -> str:
    _, encoded = cv2.imencode(extension, pixels, options)
    return f"data:{kind};base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
