"""From nanoGPT's train.py to a phone:

    python examples/nanogpt_to_phone.py out/ckpt.pt gpt2-folder my-package

Exports the checkpoint for phones with a report of what quantizing cost, says what of it NNAPI and
Core ML would take, writes a few words here to see that it works, and prints the command that puts
it into the Android application (android_demo/). gpt2-folder has the tokenizer that the training
data was made with: GPT-2's own, as nanoGPT's prepare.py takes it.

Needs `pip install '.[export]' torch`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gpt2_edge import Generator, GPT2EdgeError
from gpt2_edge.files.package import open_package
from gpt2_edge_export import ExportOptions, export_package
from gpt2_edge_export.measure.mobile import coverage

ON_PHONE = "/sdcard/Android/data/dev.gpt2edge.demo/files/packages/"


def main() -> None:
    parser = argparse.ArgumentParser(description="Put a nanoGPT checkpoint on a phone.")
    parser.add_argument("checkpoint", type=Path, help="nanoGPT's out/ckpt.pt")
    parser.add_argument("tokenizer", type=Path, help="folder with GPT-2's tokenizer")
    parser.add_argument("package", type=Path)
    parser.add_argument("--report-text", type=Path, help="held-out text (default: our own)")
    arguments = parser.parse_args()
    options = ExportOptions(
        tokenizer=arguments.tokenizer, report_text=arguments.report_text, force=True
    )
    report = export_package(arguments.checkpoint, arguments.package, options)
    found = report.package.manifest.quality or {}
    print(f"perplexity {found['reference_perplexity']:.1f}, as exported {found['perplexity']:.1f}")
    print(f"{found['top1']:.0%} of the time it chooses the same token as the original")
    for entry in coverage(open_package(arguments.package)):
        print(f"{entry.provider} would take {entry.products[0]} of {entry.products[1]} products")
    generator = Generator.load(arguments.package)
    print("it writes:", repr(str(generator.generate("\n", max_new_tokens=20, seed=1))))
    print("onto the phone, once the application has been started there:")
    print(f"  adb push {arguments.package} {ON_PHONE}")


if __name__ == "__main__":
    try:
        main()
    except (GPT2EdgeError, OSError) as error:
        sys.exit(str(error))
