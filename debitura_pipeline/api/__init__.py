"""The API client: requests, retries, rate limits, page metadata and error bodies."""
