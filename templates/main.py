"""The file that Dataflow's Python template launcher runs; everything is in the installed package."""

import sys

from beam_pipelines.template import main

if __name__ == "__main__":
    sys.exit(main())
