"""What people see and ask: GraphQL, the command line, reports, notebooks."""

from __future__ import annotations

import os

# Matrices are small here: a second thread of the linear algebra only waits, and waits busily
# (benchmarks/speed.md says what that costs). It is read when numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
