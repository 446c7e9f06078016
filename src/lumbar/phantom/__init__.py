"""A synthetic competition ("phantom"): lumbar MRI whose anatomy, and so whose best answer, is known."""

from lumbar.phantom.faults.catalogue import FAULTS, break_competition
from lumbar.phantom.replicas import copy_test_studies
from lumbar.phantom.write import write_phantom

__all__ = ["FAULTS", "break_competition", "copy_test_studies", "write_phantom"]
