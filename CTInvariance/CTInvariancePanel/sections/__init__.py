"""The panel's sections, from top to bottom, one file each."""
