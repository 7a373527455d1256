"""The report of a run: figures and one self-contained HTML file, for every station. It draws and computes nothing."""

from endline.reporting.exhibit import Exhibit
from endline.reporting.report import render_report

__all__ = ["Exhibit", "render_report"]
