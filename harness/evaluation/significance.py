from harness.statistics.bootstrap import paired_interval as paired_interval
from harness.statistics.significance import holm as holm
from harness.statistics.significance import paired_randomisation as paired_randomisation
