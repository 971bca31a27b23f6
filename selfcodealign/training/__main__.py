"""One process of a multi-process training, started by `launch`."""

import json
import sys

from selfcodealign.training.launch import work

work(json.loads(sys.argv[1]))
