"""llama.cpp's llama-server out of xllamacpp, whose wheels on PyPI hold it, built.

python benchmarks/llama_server.py MODEL.gguf PORT PLACES THREADS

It is `llama-server -m MODEL.gguf --port PORT -np PLACES -c 1024*PLACES -t THREADS`.
"""

from __future__ import annotations

import argparse
import signal

import xllamacpp


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    for name in ("port", "places", "threads"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.model.path = arguments.model
    params.port = arguments.port
    params.n_parallel, params.n_ctx = arguments.places, 1024 * arguments.places
    params.cpuparams.n_threads = arguments.threads
    params.cpuparams_batch.n_threads = arguments.threads
    server = xllamacpp.Server(params)  # a thread of its own
    print(server.listening_address, flush=True)
    signal.sigwait([signal.SIGTERM, signal.SIGINT])


if __name__ == "__main__":
    main()
