"""The published systems: their nets, targets, samplers, points and splits, and their papers' figures."""
