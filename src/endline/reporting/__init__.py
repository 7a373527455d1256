"""The report of a run: figures and one self-contained HTML file, for every station."""

from endline.reporting.report import Exhibit, render_report

__all__ = ["Exhibit", "render_report"]
