"""What the API documents, as data: its listings, the tables that they become, and the revenue stages."""
