"""The report of a run: figures and one self-contained HTML file, for every station. It draws and computes nothing."""
