"""Writes the package: a folder that serves, is tested and becomes a Bento by itself, Answerbox's source included."""

from __future__ import annotations

import ast
import importlib.util
import json
import keyword
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import answerbox
from answerbox.errors import SetupError
from answerbox.porting import templates
from answerbox.porting.code import Code, dotted
from answerbox.porting.examples import Example, examples
from answerbox.porting.files import data_of
from answerbox.porting.modules import OWN, imports_of, installed_requirements
from answerbox.porting.notebook import Notebook
from answerbox.porting.pins import closure
from answerbox.porting.rewriting import pipeline_text

EXAMPLES = Path("tests") / "examples.json"
SOURCE = Path(answerbox.__file__).parent
CACHES = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True)
class Package:
    folder: Path
    name: str
    examples: tuple[Example, ...]

    @property
    def target(self) -> str:
        """What `bentoml serve` runs, with `src` on the path."""
        return f"{self.name}.service:Answerbox"


def package_name(notebook: Notebook, wanted: str | None) -> str:
    """A name to import it by: the wanted one, else from the file's name; never one that hides another module.

    Raises: SetupError for a wanted name that cannot be used.
    """
    code = Code(notebook.exported)
    taken = {OWN, *sys.stdlib_module_names, *imports_of(code, notebook.folder).local}
    if wanted is None:
        name = re.sub(r"[^a-z0-9]+", "_", notebook.path.stem.lower()).strip("_") or "notebook"
        name = f"notebook_{name}" if name[0].isdigit() else name
        return f"{name}_service" if _is_taken(name, taken) else name
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", wanted) or _is_taken(wanted, taken):
        hint = "Use small letters, digits and _, and no name of another module."
        raise SetupError(f"The package cannot be named {wanted!r}.", hint=hint)
    return wanted


def _is_taken(name: str, taken: set[str]) -> bool:
    return name in taken or keyword.iskeyword(name) or importlib.util.find_spec(name) is not None


def write(notebook: Notebook, folder: Path, name: str, force: bool = False) -> Package:
    """The notebook must have passed `check`. With `force` files of a folder that is there are written over.

    Raises: SetupError where the folder has something in it, cannot be written, or something is not installed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not force:
        raise SetupError(f"{folder} is there and not empty.", hint="Choose another with --out, or say --force.")
    package = Package(folder, name, tuple(examples(notebook)))
    try:
        for path, text in _texts(notebook, package).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        _copy(SOURCE, folder / "src" / OWN)
        _copy_beside(notebook, package)
    except OSError as exc:
        raise SetupError(f"{folder} cannot be written: {exc.strerror}.") from exc
    return package


def _texts(notebook: Notebook, package: Package) -> dict[Path, str]:
    code = Code(notebook.exported)
    imports = imports_of(code, notebook.folder)
    direct = imports.installed | installed_requirements(notebook)
    pins = closure([OWN, *sorted(direct)])
    del pins[OWN]
    name, source = package.name, Path("src") / package.name
    own = {found: pins[found] for found in sorted(direct) if found in pins}
    first = package.examples[0].body if package.examples else {"question": "Hello?"}
    return {
        Path("pyproject.toml"): templates.pyproject(name, own, [name, OWN, *sorted(imports.local)]),
        Path("requirements.txt"): templates.requirements(pins),
        Path("bentofile.yaml"): templates.bentofile(name),
        Path(".bentoignore"): templates.IGNORED,
        Path("README.md"): templates.readme(name, notebook.path.name, first, sorted(set(_variables(code)))),
        source / "__init__.py": f'"""Made of {notebook.path.name} by `answerbox port`."""\n',
        source / "service.py": templates.service(name),
        source / "pipeline.py": pipeline_text(code, notebook.folder, f"The cells of {notebook.path.name}."),
        EXAMPLES: templates.examples_json([(found.request, found.shape) for found in package.examples]),
        Path("tests") / "test_examples.py": templates.tests(name),
    }


def _copy_beside(notebook: Notebook, package: Package) -> None:
    """Data goes into the package, modules beside it, where they are imported by the names that they had."""
    code, source = Code(notebook.exported), package.folder / "src"
    for name in dict.fromkeys(data.name for data in data_of(code, notebook.folder)):
        _copy(notebook.folder / name, source / package.name / name)
    for local in imports_of(code, notebook.folder).local.values():
        _copy(local, source / local.name)


def _copy(place: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        shutil.copytree(place, target, ignore=CACHES, dirs_exist_ok=True)
    else:
        shutil.copyfile(place, target)


def _variables(code: Code) -> Iterator[str]:
    """The environment variables that the code reads by name."""
    for spot in code.everything():
        match spot.node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))) if dotted(value) == "os.environ":
                yield name
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if dotted(func) in (
                "os.getenv",
                "os.environ.get",
            ):
                yield name


def package_of(folder: Path) -> Package:
    """The one that `write` wrote there. Raises: SetupError."""
    found = sorted((folder / "src").glob("*/pipeline.py"))
    if len(found) != 1 or not (folder / EXAMPLES).is_file():
        raise SetupError(f"{folder} is no package of `answerbox port`.", hint="Name a notebook, or such a folder.")
    try:
        rows = json.loads((folder / EXAMPLES).read_text(encoding="utf-8"))
        given = tuple(Example(row["request"], row["shape"], 0, 0) for row in rows)
    except (ValueError, LookupError, TypeError) as exc:
        raise SetupError(f"{folder / EXAMPLES} cannot be read: {exc}.") from exc
    return Package(folder, found[0].parent.name, given)
