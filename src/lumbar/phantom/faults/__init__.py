"""Ways to break a phantom's test part, as scanners, exporters, disks and spreadsheets do."""
