"""Pages of the documentation that are generated from the code: tables and commands. Run by `make docs`."""
