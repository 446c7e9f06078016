"""One patient's body as a function of patient millimetres."""
