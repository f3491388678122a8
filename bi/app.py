"""Entry point of the dashboards: navigation, filters, and what is read. Run it with `python -m bi`."""

from __future__ import annotations

import streamlit as st

from bi.filters import choose
from bi.source import open_source, tables
from bi.view import View
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import load_settings

PAGES = {
    "overview": "Overview",
    "revenue": "Revenue",
    "pipeline": "Pipeline and calendar",
    "attribution": "Attribution and gaps",
    "recovery": "Recovery",
    "onboarding": "Onboarding",
    "quality": "Data quality",
}


def main() -> None:
    """Run the chosen page, or say in one line why there is none."""
    st.set_page_config(page_title="Debitura dashboards", layout="wide", initial_sidebar_state="auto")
    page = st.navigation(
        [st.Page(f"dashboards/{name}.py", title=title, default=name == "overview") for name, title in PAGES.items()]
    )
    try:
        settings = load_settings()
        source = open_source(settings)
        found = tables(source)
        missing = {"marts.dim_clients", "marts.fct_cases", "marts.fct_transactions"} - found
        if missing:
            st.title(page.title)
            st.warning(
                f"{source.label} has no {', '.join(sorted(missing))} yet. Run `make nightly`, then reload this page."
            )
            return
        st.session_state["view"] = View(source, found, choose(source), settings.uses_embedded_sandbox)
        page.run()
    except DebituraError as error:
        st.title(page.title)
        st.error(str(error))


main()
