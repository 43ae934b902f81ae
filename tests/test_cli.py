"""The command as a person meets it: screens, answers, errors, exit statuses."""

import json
import os
import signal
import subprocess
import sys

import pytest

import triform as triform_package
from triform import cli, systems

TOY_CONFIG = '''
from typing import Annotated

from pydantic import Field
from triform.base.settings.config import Settings
from triform.base.settings.path_role import Output


class Shout(Settings):
    """Say a word loudly.

    More about it.
    """

    word: str = Field("hello", description="What to say.")
    times: int = Field(1, ge=1, description="How often.")


class Save(Shout):
    """Save a word."""

    output: Annotated[str, Output(".txt")] = Field("word.txt", description="File.")


VERBS = {name: Shout for name in ("shout", "rows", "silent", "refuse", "crash", "wait", "extra")}
VERBS |= {"save": Save}
'''
TOY_SYSTEM = """
import os, signal
from triform.base.errors import UserError


def shout(settings):
    return {"word": settings.word.upper() * settings.times, "loud": True, "share": 1 / 3}


def save(settings):
    with open(settings.output, "w") as file:
        file.write(settings.word)
    return {"file": settings.output}


def rows(settings):
    return [{"kind": "chair", "iou": 0.51234}, {"kind": "стол", "iou": None, "note": "new"}]


def silent(settings):
    return None


def refuse(settings):
    raise UserError("chair.obj: no faces,\\n  export it again")


def crash(settings):
    raise RuntimeError("secret\\nof the house")


def wait(settings):
    os.kill(os.getpid(), signal.SIGINT if settings.times == 1 else signal.SIGTERM)


def extra(settings):
    import package_that_nobody_has
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A house with one system, `toy_system`."""
    folder = tmp_path / "toy_system"
    (folder / "presets").mkdir(parents=True)
    (folder / "__init__.py").write_text(
        '"""Say things.\n\n    triform toy_system shout --word hi\n"""\n'
    )
    (folder / "config.py").write_text(TOY_CONFIG)
    (folder / "system.py").write_text(TOY_SYSTEM)
    (folder / "presets" / "three.yaml").write_text("times: 3\n")
    monkeypatch.setattr(systems, "FOLDER", tmp_path)
    monkeypatch.setattr(systems, "__path__", [str(tmp_path)])
    yield "toy_system"
    for name in [name for name in sys.modules if name.startswith("triform.systems.toy_system")]:
        del sys.modules[name]


@pytest.fixture
def run(capsys, toy):
    """Run a command in this process: exit status, standard output, standard error."""

    def command(*arguments):
        status = cli.main(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_screen_shows_everything_in_one_screen(run, arguments):
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    assert len(out.splitlines()) <= 24 and max(map(len, out.splitlines())) <= 100
    for word in ("toy_system  Say things.", "data", "runs", "doctor", "--word hi"):
        assert word in out


@pytest.mark.parametrize("arguments", [("toy_system",), ("toy_system", "--help")])
def test_system_screen_shows_verbs_and_presets(run, arguments):
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    assert "shout   Say a word loudly." in out and "presets (--config NAME): three" in out


def test_answer_is_a_record(run):
    status, out, err = run("toy_system", "shout", "--word", "no", "--config", "three")
    assert (status, err) == (0, "")
    assert out == "word   NONONO\nloud   yes\nshare  0.3333\n"


def test_a_command_that_writes_leaves_a_record_beside_its_output(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("toy_system", "save", "--word", "no one", "--json")[0] == 0
    (path,) = (tmp_path / ".triform").iterdir()
    record = json.loads(path.read_text())
    assert record["command"] == "triform toy_system save --word 'no one'"
    assert record["settings"] == {"word": "no one"}
    assert record["files"] == [{"name": "word.txt", "bytes": 6}]
    assert record["answer"] == {"file": "word.txt"}
    run("toy_system", "shout")
    run("toy_system", "refuse")
    assert list((tmp_path / ".triform").iterdir()) == [path]


def test_answer_is_a_table(run):
    assert (
        run("toy_system", "rows")[1] == "kind   iou     note\nchair  0.5123\nстол           new\n"
    )


@pytest.mark.parametrize("place", [0, 1])
def test_answer_is_json_on_request(run, place):
    flags = ["--times", "2"]
    flags.insert(place * 2, "--json")
    status, out, _ = run("toy_system", "shout", *flags)
    assert status == 0
    assert json.loads(out) == {"word": "HELLOHELLO", "loud": True, "share": 1 / 3}
    assert "стол" in run("toy_system", "rows", "--json")[1]


def test_no_answer_prints_nothing(run):
    assert run("toy_system", "silent") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["toysystem"], 2, "perhaps you meant toy_system"),
        (["Doctor"], 2, "perhaps you meant doctor"),
        (["zzz"], 2, "known: toy_system, data, shapes, runs, serve, doctor"),
        (["--toy"], 2, "unknown command '--toy'"),
        (["toy_system", "shuot"], 2, "perhaps you meant shout"),
        (["toy_system", "shout", "--wrod", "x"], 2, "--wrod; perhaps you meant --word"),
        (["toy_system", "shout", "--times", "0"], 2, "must be at least 1"),
        (["toy_system", "shout", "--config", "thre"], 2, "perhaps you meant three"),
        (["toy_system", "shout", "word"], 2, "unexpected 'word'"),
        (["--mode", "train", "--epochs", "3"], 2, "triform voxel_gan train"),
        (["toy_system", "--mode=shout"], 2, "here: triform toy_system shout --flags"),
        (["toy_system", "shout", "--mode", "rows"], 2, "here: triform toy_system rows --flags"),
        (["toy_system", "refuse"], 1, "triform: chair.obj: no faces, export it again"),
        (["toy_system", "extra"], 1, "needs the package 'package_that_nobody_has'"),
    ],
)
def test_error_is_one_line(run, arguments, status, message):
    seen, out, err = run(*arguments)
    assert (seen, out) == (status, "")
    assert message in err and err.startswith("triform: ") and err.count("\n") == 1


def test_crash_keeps_its_traceback_in_a_file(run):
    status, out, err = run("toy_system", "crash")
    assert (status, out) == (1, "") and err.count("\n") == 1
    assert err.startswith("triform: RuntimeError: secret of the house (the full traceback is in ")
    path = err.partition("traceback is in ")[2].rstrip(")\n")
    with open(path, encoding="utf-8") as file:
        trace = file.read()
    os.unlink(path)
    assert "Traceback" in trace and 'RuntimeError("secret' in trace


def test_ctrl_c_is_130(run):
    # A job in the background of a shell without job control ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status, out, err = run("toy_system", "wait")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (status, out) == (130, "") and err.count("\n") == 1


def test_sigterm_is_143_and_leaves_the_handler_as_it_was(run):
    status, out, err = run("toy_system", "wait", "--times", "2")
    assert (status, out, err) == (143, "", "triform: stopped by SIGTERM\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_load_names_the_nearest_system(toy):
    with pytest.raises(systems.UsageError, match="perhaps you meant toy_system"):
        systems.load("toy_sistem")


# From here on as a program of its own, with the systems that there really are.


def test_version(triform):
    from importlib.metadata import version

    answer = triform("--version")
    assert (answer.returncode, answer.stdout) == (0, f"triform {version('triform')}\n")
    assert triform_package.__version__ == version("triform")
    with pytest.raises(AttributeError, match="release"):
        triform_package.release  # noqa: B018


def test_screen_names_every_system(triform):
    answer = triform()
    assert (answer.returncode, answer.stderr) == (0, "")
    assert systems.names()
    for name in systems.names():
        assert f"\n  {name}" in answer.stdout


def test_unknown_command_is_status_2(triform):
    answer = triform("doctr")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == (
        "triform: unknown command 'doctr'; perhaps you meant doctor; `triform` alone lists them\n"
    )


@pytest.mark.parametrize("command", ["data", "runs", "doctor"])
def test_house_commands_answer_help(triform, command):
    answer = triform(command, "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert f"triform {command}" in answer.stdout


@pytest.mark.parametrize("command", ["data", "runs"])
def test_house_commands_refuse_unknown_words(triform, command):
    answer = triform(command, "lisst")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "list" in answer.stderr and answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("triform voxel_g", ["voxel_gan "]),
        ("triform voxel_gan gen", ["generate "]),
        ("triform voxel_gan train --disc", ["--disc_hidden_channels", "--disc_num_layers"]),
        ("triform diffusion generate --sampler d", ["ddpm", "ddim", "dpm"]),
        ("triform vae train --config ti", ["tiny "]),
        ("triform data p", ["pick "]),
    ],
)
def test_tab_completes(triform, tmp_path, line, found):
    """As the shell asks: through the environment, answered in a file."""
    answer = triform(
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_IFS="\n",
        _ARGCOMPLETE_STDOUT_FILENAME=str(tmp_path / "answer"),
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert (tmp_path / "answer").read_text().split("\n") == found


def test_completion_of_a_shell_is_a_script(triform):
    answer = triform("--completion")
    assert answer.returncode == 0 and "complete " in answer.stdout
    checked = subprocess.run(["bash", "-n"], input=answer.stdout, text=True, check=False)
    assert checked.returncode == 0


def test_reader_that_goes_away_is_no_error(tmp_path):
    """`triform | head -0`: no traceback, and the status that the shell expects."""
    program = (
        "import sys, time; from triform import cli\n"
        "cli.overview = lambda: 'x' * 1_000_000\n"
        "time.sleep(0.3); sys.exit(cli.main([]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=30) == 128 + signal.SIGPIPE


def test_terminal_without_unicode_gets_an_answer(triform):
    answer = triform("--help", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert answer.returncode == 0


IMPORTS = """
import json, sys
before = set(sys.modules)
from triform.cli import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted(set(sys.modules) - before)]), file=sys.stderr)
"""
SETTINGS_PACKAGES = {
    *("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"),
    *("yaml", "_yaml", "triform"),
}


def light_commands() -> list[list[str]]:
    """Screens of the house and of every verb."""
    verbs = [(name, verb) for name in systems.names() for verb in systems.load(name).config.VERBS]
    house = [[], ["--version"], *([name, "--help"] for name in ("data", "runs", "serve", "doctor"))]
    return [*house, *([name] for name in systems.names()), *([*pair, "--help"] for pair in verbs)]


@pytest.mark.parametrize("command", light_commands(), ids=" ".join)
def test_help_imports_settings_only(command, tmp_path):
    """No package but those of settings, of the systems only the one named: so help is quick."""
    program = [sys.executable, "-c", IMPORTS, *command]
    answer = subprocess.run(
        program, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    status, modules = json.loads(answer.stderr.splitlines()[-1])
    packages = {name.partition(".")[0] for name in modules}
    others = packages - SETTINGS_PACKAGES - sys.stdlib_module_names
    built_in = (
        "_sysconfig",
        "_cython",
        "cython_runtime",
    )  # Python's own and those of yaml's C part
    assert status == 0 and not {name for name in others if not name.startswith(built_in)}
    prefix = "triform.systems."
    found = {name.removeprefix(prefix) for name in modules if name.startswith(prefix)}
    name = command[0] if command and command[0] in systems.names() else None
    assert found <= ({name, f"{name}.config", f"{name}.verb_config"} if name else set())


@pytest.mark.parametrize("module", ["triform", "triform.cli"])
def test_either_module_is_the_command(module):
    """`torchrun -m triform.cli` is no program that does nothing with status 0."""
    answer = subprocess.run(
        [sys.executable, "-m", module, "nosuch"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2 and answer.stderr.startswith("triform: unknown command 'nosuch'")
