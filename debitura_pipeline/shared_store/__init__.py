"""The copy of a data directory's state at a URL, with which a run may start on any machine."""
