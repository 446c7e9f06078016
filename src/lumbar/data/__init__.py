"""The competition's data: its tables, its studies and their points, folds and priors, each read into a checked form."""
