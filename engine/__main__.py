"""`python3 -m engine start|stop|status|logs|env`: the lifecycle without the command line's dependencies."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from engine import lifecycle, registry
from pipeline.errors import RustMultiarchError


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m engine", description="The embedded Dagger engine.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="have the engine running")
    start.add_argument("--platforms", default="linux/amd64,linux/arm64", help="comma-separated")
    start.add_argument("--registry-port", type=int, default=registry.PORT)
    commands.add_parser("stop", help="stop the engine; its cache stays")
    commands.add_parser("status", help="say whether it runs, since when, with what")
    commands.add_parser("logs", help="print its log").add_argument("-f", "--follow", action="store_true")
    commands.add_parser("env", help="print the variables that make dagger use it")
    return parser.parse_args()


def _print_status(status: lifecycle.Status) -> None:
    for name, value in asdict(status).items():
        print(f"{name}: {' '.join(value) if isinstance(value, list) else value}")


def main() -> int:
    """Run one command; the exit code."""
    arguments = _arguments()
    try:
        match arguments.command:
            case "start":
                platforms = arguments.platforms.split(",")
                _print_status(lifecycle.start(platforms, registry_port=arguments.registry_port))
            case "stop":
                lifecycle.stop()
            case "status":
                status = lifecycle.status()
                _print_status(status)
                print(f"cache_bytes: {status.cache_bytes}")
            case "logs":
                for line in lifecycle.logs(follow=arguments.follow):
                    print(line, end="", flush=True)
            case "env":
                print(lifecycle.export_lines(lifecycle.env()))
    except RustMultiarchError as error:
        print(error.render(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
