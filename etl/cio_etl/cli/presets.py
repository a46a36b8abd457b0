"""The command `presets`: lists the presets, and writes the job and the mappings of one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import INTO, RESULT_JSON, Existing

if TYPE_CHECKING:
    from cio_etl.presets import Exports, Preset, Recognised, Written


@cli.command(epilog="More: mappings/README.md, Presets")
@click.argument("product", required=False)
@click.option("--show", is_flag=True, help="Print the recipe of PRODUCT; write nothing.")
@INTO
@click.option(
    "--export",
    type=Existing(folders=True),
    metavar="FOLDER",
    help="The export of PRODUCT, a folder or a file: the job reads what is there, recognised by its columns.",
)
@click.option("--sample", is_flag=True, help="Write the sample of an export, too, into exports/PRODUCT.")
@RESULT_JSON
def presets(product: str | None, show: bool, folder: Path, export: Path | None, sample: bool, as_json: bool) -> None:
    """List the presets; with PRODUCT, write its job and mappings.

    A preset reads the export of a product: jobs/PRODUCT.yaml, mappings/PRODUCT/ and its recipe, README.md there.
    """
    from cio_etl.log.streams import say
    from cio_etl.presets import find_preset, write_preset
    from cio_etl.presets import presets as every

    if product is None:
        if show or export is not None or sample:
            raise click.UsageError("name a PRODUCT; `cio-etl presets` lists them")
        content = [described(preset) for preset in every()]
        say(json.dumps(content, ensure_ascii=False) if as_json else "\n".join(_listed(every())))
        return
    preset = find_preset(product)
    if show:
        say(json.dumps(described(preset), ensure_ascii=False) if as_json else preset.recipe.rstrip())
        return
    if export is not None and sample:
        raise click.UsageError("--export names your export, --sample writes another one; give one of the two")
    found, not_used = (None, None) if export is None else _found(preset, export)
    print_written(preset, write_preset(preset, folder, found, samples=sample), as_json, found, not_used)


def described(preset: Preset) -> dict[str, Any]:
    """A preset as JSON."""
    return {
        "preset": preset.name,
        "title": preset.title,
        "files": [
            {
                "name": file.name,
                "title": file.title,
                **({"table": file.table} if file.table is not None else {"file": file.file}),
                "columns": file.columns,
                "steps": file.steps,
                "mappings": file.mappings,
            }
            for file in preset.files
        ],
        "loses": preset.loses,
        "documents": [
            {"address": document.address, "says": document.says, "looked_up": document.looked_up}
            for document in preset.documents
        ],
    }


def offer(found: Sequence[Recognised]) -> Iterator[str]:
    """Lines for a person whose file is recognised."""
    for each in found:
        preset = each.preset
        yield f"preset: it has the columns of {preset.title}: {each.file.title}"
        yield from (f"preset: not migrated: {words}" for words in preset.loses)
        recipe = f"cio-etl presets {preset.name} --show"
        yield f"preset: to use it: cio-etl init SOURCE --preset {preset.name}; its recipe: {recipe}"


def print_written(
    preset: Preset,
    written: Written,
    as_json: bool,
    exports: Exports | None = None,
    not_used: Mapping[str, str] | None = None,
) -> None:
    """Prints what was written, what is to be decided, and what a migration loses.

    exports: the sources of the export by the preset's name for them. not_used: its other files, each with the reason.
    """
    from cio_etl.cli.commands import as_typed
    from cio_etl.log.streams import say

    loses = list(preset.loses)
    found = None
    if exports is not None:
        found = {name: [next(iter(section.values())) for section in exports[name]] for name in exports}
        loses = [file.without for file in preset.files if file.without and file.name not in found] + loses
    content = {
        "preset": preset.name,
        "written": [str(path) for path in written.files],
        "to_decide": [{"place": place, "question": question} for place, question in written.to_decide],
        "left_out": written.left_out,
        "files": found,
        "not_used": [{"file": file, "why": why} for file, why in (not_used or {}).items()],
        "loses": loses,
    }
    if as_json:
        say(json.dumps(content, ensure_ascii=False))
        return
    for name, paths in (found or {}).items():
        say(f"{name}: {', '.join(paths)}")
    for file, why in (not_used or {}).items():
        say(f"not used: {file}: {why}")
    if written.left_out:
        say(f"left out, since their files are not in the export: {', '.join(written.left_out)}")
    for place, question in written.to_decide:
        say(f"to decide: {place}: {question}")
    for words in loses:
        say(f"not migrated: {words}")
    recipe = next(path for path in written.files if path.name == "README.md")
    say(f"written: {', '.join(str(path) for path in written.files if path.name != 'README.md')}")
    say(f"recipe: {recipe}")
    say(f"next: {as_typed('test', written.job)}")


def _listed(every: Sequence[Preset]) -> Iterator[str]:
    for preset in every:
        yield f"{preset.name}: {preset.title}"
        for file in preset.files:
            what = f"table {file.table}" if file.table is not None else str(file.file)
            yield f"  {what}: {file.title}"
        yield from (f"  not migrated: {words}" for words in preset.loses)
        yield ""
    yield "cio-etl presets PRODUCT --show prints the recipe, cio-etl presets PRODUCT writes job and mappings"


def _found(preset: Preset, export: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """The sources of an export by the preset's name for them, and its other files with the reason of each.

    Raises ConfigError when none is recognised.
    """
    from cio_etl.cli.source import columns_in, section_of
    from cio_etl.errors import ConfigError, EtlError, Problem
    from cio_etl.presets import which_file, why_not

    files = sorted(path for path in export.rglob("*") if path.is_file()) if export.is_dir() else [export]
    found: dict[str, list[dict[str, Any]]] = {}
    not_used: dict[str, str] = {}
    for file in files:
        if file.name.startswith("."):
            continue  # of the file system, as .DS_Store
        try:
            section = section_of(str(file), None, None, None)
            columns = columns_in(section)
        except EtlError as error:  # something else lies there, or an export that is damaged
            not_used[str(file)] = str(error).removeprefix(f"{file}: ")
            continue
        kind = next(iter(section))
        if (is_file := which_file(preset, kind, columns, file)) is not None:
            found.setdefault(is_file.name, []).append(section | {kind: str(file)})
        else:
            not_used[str(file)] = why_not(preset, kind, columns, file)
    if not found:
        names = ", ".join(file.file or f"table {file.table}" for file in preset.files)
        what = f"no file here has the columns of {preset.title}'s {names}; compare them with the recipe"
        problem = Problem(str(export), None, "", f"{what}: cio-etl presets {preset.name} --show")
        raise ConfigError([*(Problem(file, None, "", why) for file, why in not_used.items()), problem])
    return {file.name: found[file.name] for file in preset.files if file.name in found}, not_used
