"""Files turned into slices in patient millimetres."""
