"""Check a CI configuration against the schema that its system publishes."""

from pathlib import Path

from click.testing import CliRunner


def accepted(schema: str, text: str, directory: Path) -> str:
    """Return the schema's complaints about a text; empty if it is valid."""
    # Imported here, since it takes seconds, which every process that collects the tests would spend.
    from check_jsonschema.cli.main_command import main as check_jsonschema

    path = directory / "config.yml"
    path.write_text(text)
    arguments = ["--builtin-schema", f"vendor.{schema}", "--regex-variant", "nonunicode", str(path)]
    done = CliRunner().invoke(check_jsonschema, arguments)
    return "" if done.exit_code == 0 else done.output or repr(done.exception)
