"""A synthetic competition ("phantom"): lumbar MRI whose anatomy, and so whose best answer, is known."""

from lumbar.phantom.write import write_phantom

__all__ = ["write_phantom"]
