"""How fast medwsss is: every number a ratio to a yardstick that runs in turn with it.

python scripts/bench.py [par fsl crf step ...] [--device cpu] [--repeats 5] [--json FILE]
"""

import argparse
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from benchmarks.addons import bench_addons
from benchmarks.losses import bench_losses
from benchmarks.refinement import bench_crf, bench_fsl, bench_par
from benchmarks.step import bench_step
from benchmarks.timing import Ratio, release_memory
from benchmarks.volumes import bench_metrics, bench_prediction, bench_reassembly, bench_start

from medwsss.memory import keep_freed_memory

PARTS: Mapping[str, Callable[[torch.device, int], list[Ratio]]] = {
    "metrics": bench_metrics,  # first, because a process that has grown large forks slowly
    "prediction": bench_prediction,
    "reassembly": bench_reassembly,
    "start": bench_start,
    "par": bench_par,
    "fsl": bench_fsl,
    "crf": bench_crf,
    "step": bench_step,
    "losses": bench_losses,
    "addons": bench_addons,
}
HEADER = "| What | Yardstick | Ours / yardstick | Speed-up | Peak memory, ours / yardstick |\n|---|---|---|---|---|"


def line(ratio: Ratio) -> str:
    slower = ratio.our_seconds / ratio.yardstick_seconds
    cells = [ratio.what, ratio.yardstick, f"{slower:.3g}", f"{1 / slower:.3g}", "–"]
    if ratio.our_mib is not None and ratio.yardstick_mib is not None:
        cells[-1] = f"{ratio.our_mib:.0f} / {ratio.yardstick_mib:.0f} MiB"
    return f"| {' | '.join(cells)} |"


def machine(device: torch.device) -> str:
    """What the numbers were measured on."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    models = [row for row in Path("/proc/cpuinfo").read_text().splitlines() if row.startswith("model name")]
    name = models[0].partition(":")[2].strip() if models else platform.processor()
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where the ratios go, by key")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    keep_freed_memory()  # as the command line does
    print(f"{machine(options.device)}; medians of up to {options.repeats} paired runs\n\n{HEADER}")
    ratios: list[Ratio] = []
    for part in options.parts or PARTS:
        release_memory()
        for ratio in PARTS[part](options.device, options.repeats):
            print(line(ratio), flush=True)
            ratios.append(ratio)
    if options.json:
        options.json.write_text(json.dumps({ratio.key: round(ratio.value, 4) for ratio in ratios}, indent=2) + "\n")


if __name__ == "__main__":
    main()
