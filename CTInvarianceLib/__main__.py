"""`python -m CTInvarianceLib` is `ctinvariance`."""

import sys

from .cli import main

sys.exit(main())
