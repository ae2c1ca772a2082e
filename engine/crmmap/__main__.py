"""`python -m crmmap` is the command `crmmap`."""

import sys

from crmmap.cli import main

sys.exit(main())
