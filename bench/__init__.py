"""How fast crmmap is, and how much memory it takes: `python -m bench` measures it."""
