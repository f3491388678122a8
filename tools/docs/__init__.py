"""Pages of the documentation that are generated from the code: tables, settings, commands. Run by `make docs`."""
