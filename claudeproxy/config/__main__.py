"""
``python -m claudeproxy.config reference|sample`` prints what the documentation has of the table.
"""

from __future__ import annotations

import sys

from claudeproxy.config.document import reference, sample

WRITERS = {"reference": reference, "sample": sample}

if len(sys.argv) != 2 or sys.argv[1] not in WRITERS:
    sys.exit("usage: python -m claudeproxy.config reference|sample")
sys.stdout.write(WRITERS[sys.argv[1]]())
