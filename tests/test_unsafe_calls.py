"""Nothing that a user was given is unpickled or run; each way to do so is planted, and seen."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "src" / "triform").rglob("*.py"))
HARMLESS = ("UnpicklingError", "PicklingError")
PICKLERS = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal")
BUILT_IN = ("eval", "exec", "print", "input")
UNSAFE_ANYWHERE = (
    "extractall",
    "unpack_archive",
    "unsafe_load",
    "unsafe_load_all",
    "full_load",
    "full_load_all",
    "read_pickle",
    "to_pickle",
)
UNSAFE_NAMES = ("os.system", "os.popen", "joblib.load", "torch.jit.load", "torch.hub.load")
SAFE_LOADERS = ("SafeLoader", "CSafeLoader", "BaseLoader", "CBaseLoader")


def unsafe_calls(module: ast.Module) -> list[ast.expr | ast.stmt]:
    """Calls and imports that unpickle, run what they are given, or write where an archive likes.

    Names are followed to where they were imported from, so that another name helps nobody.
    """
    origin: dict[str, str] = {}
    found: list[ast.expr | ast.stmt] = []
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for entry in node.names:
                origin[entry.asname or entry.name.partition(".")[0]] = (
                    entry.name if entry.asname else entry.name.partition(".")[0]
                )
            names = [entry.name for entry in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for entry in node.names:
                origin[entry.asname or entry.name] = f"{node.module}.{entry.name}"
            names = [node.module or ""]
        else:
            continue
        # `import pickle` is let through for its errors; what else is taken from it is seen below.
        plain = isinstance(node, ast.Import) and all(not entry.asname for entry in node.names)
        if not (plain and names == ["pickle"]) and any(
            name.partition(".")[0] in PICKLERS for name in names
        ):
            found.append(node)
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            found += [] if node.attr in HARMLESS else [node]
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = ast.unparse(node.func).partition(".")
        name = ".".join(filter(None, [origin.get(first, first), rest]))
        if is_unsafe(name, node):
            found.append(node)
    return found


def is_unsafe(name: str, call: ast.Call) -> bool:
    """Whether a call by its full name and arguments does what nothing here may do."""
    keywords = {word.arg: word.value for word in call.keywords}

    def is_on(word: str) -> bool:
        """Whether a switch is there and anything but plainly off."""
        value = keywords.get(word)
        return value is not None and not (isinstance(value, ast.Constant) and not value.value)

    top, _, last = name.rpartition(".")
    if name in ("yaml.load", "yaml.load_all"):
        loader = keywords.get("Loader") or (call.args[1] if len(call.args) > 1 else None)
        return loader is None or ast.unparse(loader).rpartition(".")[2] not in SAFE_LOADERS
    if name == "torch.load":
        safe = keywords.get("weights_only")
        return not (isinstance(safe, ast.Constant) and safe.value is True)
    if name in ("numpy.load", "np.load") and len(call.args) > 2:
        return True  # the third is allow_pickle
    return (
        (not top and name in BUILT_IN)
        or name in UNSAFE_NAMES
        or last in UNSAFE_ANYWHERE
        or name.partition(".")[0] in PICKLERS
        or any(map(is_on, ("allow_pickle", "trust_remote_code", "shell")))
    )


def test_nothing_unsafe_is_called():
    """No unpickling, no code from data, no archive written where it likes."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}"
        for path in MODULES
        for node in unsafe_calls(ast.parse(path.read_text(encoding="utf-8"), str(path)))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "planted",
    [
        "import yaml; yaml.unsafe_load(text)",
        "import yaml; yaml.full_load(text)",
        "import yaml; yaml.load(text)",
        "import yaml; yaml.load(text, yaml.UnsafeLoader)",
        "import yaml; yaml.load(text, Loader=yaml.Loader)",
        "import yaml as y; y.load(text, Loader=y.FullLoader)",
        "from yaml import load; load(text)",
        "from yaml import unsafe_load as load; load(text)",
        "import joblib; joblib.load(path)",
        "from joblib import load; load(path)",
        "import pandas as pd; pd.read_pickle(path)",
        "import pandas; pandas.read_pickle(path)",
        "from pandas import read_pickle; read_pickle(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "import numpy as np; np.load(path, allow_pickle=flag)",
        "import numpy as np; np.load(path, None, True)",
        "import numpy as np; np.load(path, allow_pickle=1)",
        "import pickle; read = pickle.load",
        "import pickle as p",
        "import pickle; pickle.loads(data)",
        "from pickle import loads",
        "import _pickle as p",
        "import dill; dill.load(file)",
        "import cloudpickle; cloudpickle.load(file)",
        "import shelve; shelve.open(path)",
        "from marshal import loads; loads(data)",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=False)",
        "import torch; torch.load(path, weights_only=flag)",
        "from torch import load; load(path)",
        "import torch; torch.hub.load('owner/name', 'model')",
        "import shutil; shutil.unpack_archive(path)",
        "archive.extractall(folder)",
        "eval(text)",
        "exec(text)",
        "import os; os.system(command)",
        "import subprocess; subprocess.run(command, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "print(1)",
    ],
)
def test_what_is_unsafe_is_seen(planted):
    assert unsafe_calls(ast.parse(planted)), planted


@pytest.mark.parametrize(
    "planted",
    [
        "import yaml; yaml.safe_load(text)",
        "import yaml; yaml.load(text, Loader=yaml.SafeLoader)",
        "import yaml; yaml.load(text, yaml.CSafeLoader)",
        "import numpy as np; np.load(path)",
        "import numpy as np; np.load(path, allow_pickle=False)",
        "import torch; torch.load(path, map_location='cpu', weights_only=True)",
        "import json; json.load(file)",
        "import pickle\ntry: f()\nexcept pickle.UnpicklingError: pass",
        "model.eval()",
        "import re; re.compile(text)",
        "import subprocess; subprocess.run(command, shell=False)",
    ],
)
def test_what_is_safe_is_let_through(planted):
    assert not unsafe_calls(ast.parse(planted)), planted
