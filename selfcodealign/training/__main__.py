"""A process of a training with several; `launch` starts it."""

import json
import sys

from selfcodealign.training.launch import work

work(json.loads(sys.argv[1]))
