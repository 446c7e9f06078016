"""What the painters of anatomy paint on: pixels with their place on the spine and their signal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.profile import Profile

Floats = NDArray[np.float32]
Signals = Mapping[str, float]
"""The brightness of each tissue in one kind of image; 1 is about the brightest."""


@dataclass(eq=False)
class Painting:
    """Pixels (P,) at `u`, `v` (mm) and `row` of the profile's tables, with the `signal` painted so far.

    `s` (P,) is the place along the spine in mm. A painter changes `signal` and nothing else.
    """

    u: Floats
    v: Floats
    s: Floats
    row: NDArray[np.int32]
    signal: Floats
    profile: Profile
    signals: Signals
    texture: Floats

    def __getitem__(self, name: str) -> Floats:
        """A profile's value (P,) at the pixels, of their own side where the sides differ."""
        table = self.profile[name]
        return table[self.row] if table.ndim == 1 else table.ravel()[self.row + (self.u < 0) * table.shape[1]]

    @contextmanager
    def only(self, mask: NDArray[np.bool_]) -> Iterator["Painting"]:
        """The pixels of a mask (P,) as a painting of their own; painting on it paints on this one."""
        chosen = np.flatnonzero(mask)
        part = replace(
            self,
            u=self.u[chosen],
            v=self.v[chosen],
            s=self.s[chosen],
            row=self.row[chosen],
            signal=self.signal[chosen],
        )
        yield part
        self.signal[chosen] = part.signal

    def paint(self, tissue: str, cover: Floats, shade: Floats | float = 1.0) -> None:
        """Covers the signal with a tissue as far as `cover` (P,) in 0 to 1 says; `shade` multiplies its brightness."""
        self.signal += cover * (self.signals[tissue] * shade - self.signal)

    def grain(self, size: float) -> Floats:
        """Noise (P,) of unit variance whose grains are about `size` mm."""
        return sample_texture(self.texture, self.u, self.v, self.s, size)


def sample_texture(texture: Floats, x: Floats, y: Floats, z: Floats, size: float) -> Floats:
    """The repeating texture at points in mm, with grains of about `size` mm (its own grains span 6 samples)."""
    scale = np.float32(6.0 / size)
    i, j, k = ((values * scale).astype(np.int32) & 63 for values in (x, y, z))
    return texture.ravel()[(i << 12) | (j << 6) | k]


def ripple(waves: NDArray[np.float64], x: Floats, y: Floats, z: Floats, length: float) -> Floats:
    """A smooth irregular pattern of unit variance at points in mm, from plane waves of about `length` mm."""
    scaled = (waves[:, :3] * (2 * np.pi / length)).astype(np.float32)
    total = np.zeros_like(x)
    for (along_x, along_y, along_z), phase in zip(scaled, waves[:, 3].astype(np.float32), strict=True):
        total += np.sin(along_x * x + along_y * y + along_z * z + phase)
    return total * np.float32(np.sqrt(2 / len(waves)))


def soft(distance: Floats, edge: float = 0.9) -> Floats:
    """Cover from a distance (mm, positive inside): 0 to 1 over an edge of `edge` mm, as partial volume makes it."""
    return np.clip(distance * np.float32(1 / edge) + np.float32(0.5), 0, 1)


def hill(distance: Floats, reach: float) -> Floats:
    """1 at distance 0, falling to 0 at `reach` mm on both sides."""
    return np.clip(1 - (distance * np.float32(1 / reach)) ** 2, 0, 1)
