"""`python -m CTInvarianceLib` is `ctinvariance`."""

import sys

from .app import main

sys.exit(main())
