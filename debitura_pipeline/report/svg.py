"""Adapt the chart library's SVG to the page: scalable, themed by CSS, accessible.

Title and description come from the page; the library's labels of marks become tooltips, and its ARIA roles are removed.
"""

from __future__ import annotations

from xml.etree import ElementTree

DROPPED = {"aria-hidden", "aria-roledescription", "role", "class", "pointer-events", "version", "font-family"}


def adapt_svg(svg: str, *, name: str, title: str, description: str, css_class: str) -> str:
    """SVG for inlining: viewBox without fixed size, `role="img"` with title and description, colours unchanged.

    Colours may be CSS variables (`var(--ink)`), which the library passes through. A mark's `aria-label` becomes its
    `<title>`, which browsers show as a tooltip.
    """
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own picture, drawn a moment ago
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        label = element.attrib.pop("aria-label", None)
        for attribute in [key for key in element.attrib if key in DROPPED or key.startswith("{")]:
            del element.attrib[attribute]
        if label and element.tag in ("path", "rect"):
            ElementTree.SubElement(element, "title").text = label
    for attribute in ("width", "height", "style"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"class": css_class, "role": "img", "aria-labelledby": f"{name}-title {name}-desc"}
    heading = ElementTree.Element("title", {"id": f"{name}-title"})
    heading.text = title
    words = ElementTree.Element("desc", {"id": f"{name}-desc"})
    words.text = description
    root[:0] = [heading, words]
    _drop_empty(root)
    return ElementTree.tostring(root, encoding="unicode")


def _drop_empty(parent: ElementTree.Element) -> None:
    """Remove paths that draw nothing; the library leaves two per group."""
    for child in list(parent):
        _drop_empty(child)
        is_blank_path = child.tag == "path" and (
            child.get("display") == "none" or child.get("d", "") in ("", "M0,0h0v0h0Z")
        )
        if is_blank_path or (child.tag == "g" and len(child) == 0):
            parent.remove(child)
