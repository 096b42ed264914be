"""cli: the operator's command ``tailwatch``.

Starts the pipeline on one machine, shows what happens on its topics, and says why a trigger did or did not fire.
"""
