"""Take the trained projections of the tiny network out of a folder that ``winnow train-filter`` wrote.

python -m demo.export_projections --model FOLDER [--to FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from transforms.lib.models import tinyclip


def main(argv: list[str] | None = None) -> int:
    """Writes the projections as float16 safetensors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the trained network")
    parser.add_argument("--to", type=Path, default=tinyclip.PROJECTIONS, help="file to write")
    told = parser.parse_args(argv)
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(told.model / "open_clip_model.safetensors")
    save_file({name: state[parameter].to(torch.float16) for parameter, name in tinyclip.TRAINED.items()}, told.to)
    print(f"{told.to}: {told.to.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
