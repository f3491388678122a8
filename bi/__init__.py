"""Dashboards: a Streamlit app on the published file or on Postgres, in an environment of its own (`make bi`)."""
