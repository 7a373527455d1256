"""Project hooks: what happens around a run, a file a hook; `settings.py` lists them."""
