"""What importing the cost room brings in."""

import subprocess
import sys


def test_importing_cost_does_not_import_torch():
    code = (
        "import sys, harness.cost.flops, harness.cost.latency, harness.cost.memory,"
        " harness.cost.hardware; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
