"""Receive webhook events durably, and turn them into targeted reads; manage subscriptions at the API."""
