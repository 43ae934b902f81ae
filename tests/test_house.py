"""The rules of the house that no linter knows."""

import ast
import importlib
import importlib.metadata
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from triform import cli, systems
from triform.base.errors import UsageError
from triform.base.settings.flags import FlagTable

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "triform"
REGISTRY = SOURCE / "systems" / "__init__.py"
VERSION = SOURCE / "__init__.py"
MODULES = sorted(SOURCE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "src/triform/**/*.md", "src/triform/**/presets/*.yaml")
    for path in ROOT.glob(pattern)
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file with its dotted name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_there_is_something_to_check():
    assert len(MODULES) > 40 and len(PAGES) > 5 and systems.names()


# The code


def test_engine_knows_no_domain():
    words = "image caption noise discriminator episode env mesh token"
    pattern = re.compile(rf"(?<![a-z])({'|'.join(words.split())})s?(?![a-z])", re.IGNORECASE)
    found = [
        f"{named(path)}:{number}: {line.strip()}"
        for path in sorted((SOURCE / "engine").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        # A DeviceMesh is torch's arrangement of processes.
        if pattern.search(re.sub("device_mesh|mesh=", "", line))
    ]
    assert not found, "\n".join(found)


def test_import_by_string_only_in_the_registry():
    found = [
        f"{named(path)}:{call.lineno}: {name}"
        for path in MODULES
        for name, call in calls(path)
        if name.rpartition(".")[2] in ("import_module", "__import__", "spec_from_file_location")
        and path != REGISTRY
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.name == "__init__.py" and path not in (REGISTRY, VERSION)],
    ids=named,
)
def test_init_holds_one_docstring(path):
    body = tree(path).body
    assert len(body) == 1 and ast.get_docstring(tree(path))


def test_no_file_is_too_long():
    files = [*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    found = {
        named(path): lines
        for path in files
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not found


def test_no_attic():
    attic = {"utils", "util", "helpers", "helper", "common", "misc", "legacy", "core", "new", "v2"}
    assert not [named(path) for path in MODULES if attic & {*path.stem.split("_"), path.stem}]


def test_every_module_and_public_thing_has_a_docstring():
    """But for builders of furniture: each is named after what it builds."""
    found = []
    for path in MODULES:
        module = tree(path)
        if not ast.get_docstring(module):
            found.append(named(path))
        for node in module.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name[0] == "_":
                continue
            if "parametric" not in path.parts and not ast.get_docstring(node):
                found.append(f"{named(path)}:{node.lineno}: {node.name}")
    assert not found, "\n".join(found)


def test_no_machine_or_registry_is_named():
    """Paths of one machine and hosts of package registries have no place in the project."""
    pattern = re.compile(
        r"(?<![\w.~])/(home|work|root|Users)/\w|pypi\.org|pythonhosted|registry\.npmjs|index-url"
    )
    files = [*MODULES, *PAGES, *ROOT.glob("scripts/*"), *ROOT.glob("benchmarks/*.py")]
    files += [ROOT / name for name in ("Makefile", ".ci/run", "constraints.txt", "pyproject.toml")]
    found = [
        f"{named(path)}:{number}: {line.strip()[:80]}"
        for path in files
        if path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def test_every_module_imports():
    """In one program of its own, so that nothing that a test imported helps."""
    names = [
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        for path in MODULES
        if path.name not in ("__main__.py", "demo.py") and "web" not in path.parts
    ]
    program = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    answer = subprocess.run(
        [sys.executable, "-c", program, *names], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


# The package


def third_party() -> dict[str, set[str]]:
    """Top-level module -> files that import it, for what is neither ours nor Python's."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        for node in ast.walk(tree(path)):
            names = []
            if isinstance(node, ast.Import):
                names = [entry.name for entry in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(named(path))
    return {
        name: files
        for name, files in found.items()
        if name != "triform" and name not in sys.stdlib_module_names
    }


def declared() -> dict[str, Requirement]:
    """Everything that pyproject.toml asks for, extras included, by canonical name."""
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def test_every_import_is_declared():
    """What src imports stands in pyproject.toml, in the core or in an extra."""
    packages = importlib.metadata.packages_distributions()
    known = set(declared())
    modules_of_extras = {"PyQt5": "pyqt5", "PyQt6": "pyqt6", "wandb": "wandb"}
    missing = {
        name: files
        for name, files in third_party().items()
        if not {
            canonicalize_name(p) for p in packages.get(name, [modules_of_extras.get(name, name)])
        }
        & (known | {"pyqt5"})
    }
    assert not missing


def test_constraints_are_exact_and_fit():
    """`constraints.txt` pins what pyproject.toml asks for, inside its ranges, and nothing odd."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    versions = {}
    for pin in pins:
        assert str(pin.specifier).startswith("==") and pin.url is None and not pin.extras, pin
        versions[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    optional = {"wandb", "pyqt6"}
    for name, requirement in declared().items():
        if name not in optional:
            assert requirement.specifier.contains(versions[name]), requirement
    assert versions["torch"] == "2.14.1" and versions["torchvision"] == "0.29.1"


def test_every_data_file_is_installed():
    """What lies in the package and is no Python gets into the wheel."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    patterns = setuptools["setuptools"]["package-data"]["triform"]
    installed = {path for pattern in patterns for path in SOURCE.glob(pattern)}
    files = {
        path
        for path in SOURCE.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert not [named(path) for path in files - installed]


def test_scripts_are_sound():
    for script in [ROOT / ".ci" / "run", *sorted(ROOT.glob("scripts/*.sh"))]:
        answer = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_make_explains_itself():
    answer = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=False)
    for target in ("help", "setup", "check", "test", "test-slow", "mutants", "demo"):
        assert f"make {target} " in answer.stdout


# The documents


def commands() -> list[tuple[Path, list[str]]]:
    """Every `triform ...` in a document or preset: indented, fenced, quoted or commented."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        pattern = r"`(triform [^`]+)`|^(?:[ \t]+|[#$>] ?|\|)*(triform [a-z_]+(?: .*)?)$"
        for match in re.finditer(pattern, text, re.MULTILINE):
            words = shlex.split((match[1] or match[2]).split("  ")[0], comments=True)
            if words[1:] and not words[1].isupper():
                found.append((path, words[1:]))
    return found


def test_documents_hold_commands():
    assert len(commands()) >= 5


@pytest.mark.parametrize(
    ("path", "words"),
    [pytest.param(*c, id=f"{named(c[0])}: {' '.join(c[1])[:60]}") for c in commands()],
)
def test_command_in_a_document_exists(path, words):
    name, *rest = words
    if name in cli.OTHER_COMMANDS:
        if rest and rest[0][0].islower():
            assert rest[0].strip("[]<>,") in cli.OTHER_COMMANDS[name] or name == "doctor"
        return
    if name.startswith("-") or name in ("SYSTEM", "NAME"):
        return
    verbs = systems.load(name).config.VERBS
    if not rest or rest[0].startswith("-") or rest[0].isupper() or rest[0] == "|":
        return
    assert rest[0] in verbs, f"{name} has no verb {rest[0]}"
    flags = FlagTable(verbs[rest[0]])
    for word in rest[1:]:
        if word.startswith("--") and word not in ("--help", "--json", "--config", "--flags"):
            try:
                flags.find(word[2:].partition("=")[0])
            except UsageError as error:
                pytest.fail(str(error))


def test_links_lead_somewhere():
    found = [
        f"{named(path)}: {target}"
        for path in PAGES
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not found, "\n".join(found)
