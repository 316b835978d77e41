"""
``python -m claudeproxy ...`` is ``twist claudeproxy ...``, from a checkout too.
"""

import sys

from twisted.application.twist._twist import Twist

if __name__ == "__main__":
    sys.argv[:1] = ["twist", "claudeproxy"]
    sys.exit(Twist.main(sys.argv))
