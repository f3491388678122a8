"""What changed since the last sync: the API's totals compared with ours, and only what differs is read."""
