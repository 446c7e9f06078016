"""The report: one page to look at a finished run, from what its stages have left on disk."""
