"""`python -m sonda.server` is `sonda-server`."""

import sys

from sonda.server import main

sys.exit(main())
