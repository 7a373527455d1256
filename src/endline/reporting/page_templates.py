"""Where templates come from: a package's folder `templates`, read so that no missing value goes unseen."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_templates(package: str, *, html: bool = True) -> Environment:
    """Templates of a package.

    Args:
        package: its dotted name; the templates lie in its folder `templates`.
        html: whether values are escaped for a page; else they stand as they are, and so does the file's last newline.

    Example:
        >>> page_templates("endline.reporting").from_string("{{ name }}").render(name="<b>")
        '&lt;b&gt;'
    """
    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        autoescape=html,
        keep_trailing_newline=not html,
        trim_blocks=True,
        lstrip_blocks=True,
    )
