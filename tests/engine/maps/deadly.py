"""An outcome that kills whoever reads it, for workers that load this."""

from __future__ import annotations

import os
import signal

from layerscope.engine.maps.outcomes import Reading, Subject, outcome


@outcome(title="Deadly", formula="kill -9", source="a test", help="As memory that runs out does.")
def deadly(_: Subject) -> Reading:
    """Ends its process."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed")
