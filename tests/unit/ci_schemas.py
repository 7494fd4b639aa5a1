"""Check a CI configuration against the schema that its system publishes."""

from pathlib import Path

from check_jsonschema.cli.main_command import main as check_jsonschema
from click.testing import CliRunner


def accepted(schema: str, text: str, directory: Path) -> str:
    """Return the schema's complaints about a text; empty if it is valid."""
    path = directory / "config.yml"
    path.write_text(text)
    arguments = ["--builtin-schema", f"vendor.{schema}", "--regex-variant", "nonunicode", str(path)]
    done = CliRunner().invoke(check_jsonschema, arguments)
    return "" if done.exit_code == 0 else done.output or repr(done.exception)
