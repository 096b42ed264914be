"""The probe: what a watched service carries. Times requests, publishes them, and captures when asked.

::

    from tailwatch.probe import Probe

    app = Probe(app, service="billing")
"""

from tailwatch.probe.middleware import Probe

__all__ = ["Probe"]
