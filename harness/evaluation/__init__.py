"""Tasks, metrics, results and the runner that scores every mode from one encoding pass."""
