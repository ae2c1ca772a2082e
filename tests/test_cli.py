"""`crmmap run` and what surrounds every command: exit codes, outputs, errors, signals."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from click import Group

from commands import API, PEOPLE, ROOT, ROWS, command, crmmap, environment, write
from crmmap.cli import entry
from crmmap.cli.commands import EXIT_CODES, commands
from crmmap.cli.failures import told
from crmmap.cli.stores import shown_url, store_url
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import ExitCode, SourceError, StoreLocked
from crmmap.values import Secret
from fault_server import FaultServer, Seen, answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, people_yaml=PEOPLE, api_yaml=API, people_csv=ROWS)
    return tmp_path


PEOPLE_ENV = {"PEOPLE_FILE": "people.csv"}


# --- run ------------------------------------------------------------------------------------------


def test_a_run_loads_the_store_and_accounts_for_every_record(folder: Path) -> None:
    ran = crmmap(folder, "run", "people.yaml", "--set", "people=people.csv")

    assert ran.code == 0
    assert "4 fetched = 2 inserted + 1 duplicate + 1 rejected: balanced" in ran.out
    assert "1 × people.email: type" in ran.out
    assert "skipped orders: no file is named for it" in ran.out
    assert "people.people: ends after 4 records" in ran.err
    rows = sqlite3.connect(folder / "crmmap.db").execute("SELECT id, age FROM people ORDER BY id")
    assert rows.fetchall() == [("1", 3), ("3", 5)]


def test_the_summary_names_the_query_that_shows_the_rejects(folder: Path) -> None:
    ran = crmmap(folder, "run", "people.yaml", env=PEOPLE_ENV)

    query = next(line for line in ran.out.splitlines() if "crmmap_rejects" in line)
    assert len(sqlite3.connect(folder / "crmmap.db").execute(query).fetchall()) == 1


def test_json_is_the_only_thing_on_standard_output(folder: Path) -> None:
    ran = crmmap(folder, "run", "people.yaml", "--json", env=PEOPLE_ENV)

    assert ran.code == 0
    assert ran.json["status"] == "done"
    assert ran.json["exit_code"] == 0
    assert ran.json["counts"]["fetched"] == 4
    assert ran.json["streams"][0]["reasons"] == {"email: type": 1}
    assert "begins" in ran.err


def test_json_of_several_mappings_is_a_list(folder: Path) -> None:
    write(
        folder,
        other_yaml=PEOPLE.replace("name: people,", "name: them,")
        .replace("name: people\n", "name: other\n")
        .replace("name: orders,", "name: theirs,"),
    )

    ran = crmmap(folder, "run", "people.yaml", "other.yaml", "--json", "-q", env=PEOPLE_ENV)

    assert [report["mapping"] for report in ran.json] == ["people", "other"]
    assert ran.err == ""


def test_several_mappings_share_a_store_and_a_closing_table(folder: Path) -> None:
    write(
        folder,
        other_yaml=PEOPLE.replace("name: people,", "name: them,")
        .replace("name: people\n", "name: other\n")
        .replace("name: orders,", "name: theirs,"),
    )

    ran = crmmap(folder, "run", "people.yaml", "other.yaml", "-q", env=PEOPLE_ENV)

    assert ran.code == 0
    assert "2 mappings: 2 done" in ran.out
    assert ran.out.rstrip().endswith("8 fetched = 4 inserted + 2 duplicate + 2 rejected: balanced")


def test_quiet_says_nothing_on_standard_error(folder: Path) -> None:
    assert crmmap(folder, "run", "people.yaml", "--quiet", env=PEOPLE_ENV).err == ""


def test_a_dry_run_judges_everything_and_writes_nothing(folder: Path) -> None:
    ran = crmmap(folder, "run", "people.yaml", "--dry-run", env=PEOPLE_ENV)

    assert ran.code == 0
    assert "dry run: nothing was written to the store" in ran.out
    assert "4 fetched = 2 inserted + 1 duplicate + 1 rejected: balanced" in ran.out
    assert "SELECT" not in ran.out
    assert not (folder / "crmmap.db").exists()


def test_a_limit_bounds_what_is_read(folder: Path) -> None:
    ran = crmmap(folder, "run", "people.yaml", "--limit", "1", "--json", "-q", env=PEOPLE_ENV)

    assert ran.json["counts"]["fetched"] == 1


def test_only_the_streams_asked_for_run(folder: Path) -> None:
    ran = crmmap(folder, "run", "people.yaml", "-s", "orders", "--json", "-q", env=PEOPLE_ENV)

    assert [stream["stream"] for stream in ran.json["streams"]] == ["orders"]


def test_a_mapping_of_files_without_any_file_is_told_which_settings_name_them(
    folder: Path,
) -> None:
    ran = crmmap(folder, "run", "people.yaml")

    assert ran.code == 2
    assert "PEOPLE_FILE" in ran.err
    assert "--set orders=" in ran.err
    assert "--mock" in ran.err


def test_the_store_comes_from_the_option_then_the_environment(folder: Path) -> None:
    env = {**PEOPLE_ENV, "CRMMAP_STORE": "sqlite:///env.db"}

    crmmap(folder, "run", "people.yaml", "-q", env=env)
    crmmap(folder, "run", "people.yaml", "-q", "--store", "sqlite:///given.db", env=env)

    assert {path.name for path in folder.glob("*.db")} == {"env.db", "given.db"}


def test_invented_records_have_a_default_store_of_their_own(folder: Path) -> None:
    words = ("run", "people.yaml", "--mock", "--records", "3", "-q")

    ran = crmmap(folder, *words)
    crmmap(folder, *words, "--store", "sqlite:///given.db")
    crmmap(folder, *words, env={"CRMMAP_STORE": "sqlite:///env.db"})

    assert {path.name for path in folder.glob("*.db")} == {"crmmap-mock.db", "given.db", "env.db"}
    assert "store sqlite:///crmmap-mock.db, run " in ran.out


def test_the_summary_names_the_store_as_it_is_given(folder: Path) -> None:
    ran = crmmap(folder, "run", "people.yaml", "-q", env=PEOPLE_ENV)

    url = re.findall(r"^store (\S+), run ", ran.out, re.MULTILINE)
    again = crmmap(folder, "run", "people.yaml", "-q", "--json", "--store", *url, env=PEOPLE_ENV)
    assert again.json["store"] == "sqlite:///crmmap.db"
    assert again.json["counts"]["inserted"] == 0


def test_a_stream_whose_every_record_is_rejected_breaks_the_data_policy(folder: Path) -> None:
    (folder / "people.csv").write_text("id,email,age\n1,nonsense,3\n2,nonsense,4\n")

    ran = crmmap(folder, "run", "people.yaml", "-q", env=PEOPLE_ENV)
    report = crmmap(folder, "run", "people.yaml", "-q", "--json", "--full", env=PEOPLE_ENV)

    assert ran.code == report.code == 3
    assert "every record of people was rejected" in ran.out
    assert (report.json["status"], report.json["exit_code"]) == ("done", 3)


def test_a_files_setting_may_begin_with_the_home_folder(folder: Path) -> None:
    env = {"HOME": str(folder)}
    ran = crmmap(folder, "run", "people.yaml", "--json", "-q", "--set", "people=~/people.csv",
                 env=env)  # fmt: skip

    assert ran.code == 0
    assert ran.json["counts"]["fetched"] == 4


# --- usage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "Missing argument"),
        (["rum"], "No such command"),
        (["run", "people.yaml", "--limit", "0"], "--limit"),
        (
            ["run", "people.yaml", "--records", "5"],
            "--records says what a mock invents. Add --mock",
        ),
        (["run", "people.yaml", "-s", "peple"], "no stream 'peple'. Did you mean 'people'?"),
        (
            ["run", "people.yaml", "--set", "peeple=x"],
            "no setting 'peeple'. Did you mean 'people'?",
        ),
        (["run", "people.yaml", "--set", "people"], "--set takes NAME=VALUE"),
        (["run", "nowhere"], "'nowhere' is neither a file nor a mapping that came with crmmap"),
        (["run", "nowhere.yaml"], "nowhere.yaml:1:1: does not exist"),
        (["run", "api.yaml", "--set", "url=x"], "token: set API_TOKEN (Ask the admin)"),
        (["run", "api.yaml"], "add --mock to read invented records"),
    ],
)
def test_wrong_usage_is_told_and_attempts_nothing(
    folder: Path, words: list[str], said: str
) -> None:
    ran = crmmap(folder, *words)

    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""
    assert not list(folder.glob("*.db"))


def test_all_that_several_mappings_miss_is_told_at_once(folder: Path) -> None:
    write(
        folder,
        other_yaml=API.replace("name: api\n", "name: other\n")
        .replace("name: api_notes", "name: other_notes")
        .replace("API_", "OTHER_"),
    )

    ran = crmmap(folder, "run", "api.yaml", "other.yaml")

    assert all(each in ran.err for each in ("API_URL", "API_TOKEN", "OTHER_URL", "OTHER_TOKEN"))
    assert ran.err.count("Or try it without") == 1
    assert ran.err.rstrip().endswith("Or try it without: add --mock to read invented records.")


def test_the_exit_codes_of_the_help_are_those_of_the_readme() -> None:
    told_by_help = dict(re.findall(r"^  (\d+) +(.+)$", EXIT_CODES, re.MULTILINE))
    readme = (ROOT / "README.md").read_text()
    told_by_readme = dict(re.findall(r"^\| (\d+) \| (.+) \|$", readme, re.MULTILINE))

    assert told_by_help == told_by_readme
    assert {int(code) for code in told_by_help} == {int(code) for code in ExitCode}


def test_the_runs_that_the_readme_proposes_for_ci_can_be_run(folder: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## In CI")[2]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    lines = [line.partition("#")[0] for block in blocks for line in block.splitlines()]
    proposed = [each.split()[1:] for line in lines for each in line.split("&&")]
    assert len(proposed) > 3
    for typed in proposed:
        words = ["people.yaml" if word.startswith("mappings/") else word for word in typed]
        assert crmmap(folder, *words).code == 0, typed
    # The dry run leaves nothing; the one with faults has the mock's own store.
    assert [each.name for each in folder.glob("*.db")] == ["crmmap-mock.db"]


def test_a_near_miss_of_a_shipped_mapping_is_suggested(folder: Path) -> None:
    from crmmap.cli.mappings import shipped_mappings

    name = next(iter(shipped_mappings()))
    ran = crmmap(folder, "check", f"{name}x")

    assert f"Did you mean '{name}'?" in ran.err
    assert crmmap(folder, "check", name).code == 0


def in_python(
    program: str, folder: Path, *words: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of Python in a process of its own, where nothing is imported yet."""
    return subprocess.run(
        [command()[0], "-c", program, *words], cwd=folder, env=environment(**env),
        capture_output=True, text=True, check=True,
    )  # fmt: skip


def test_help_and_version_load_no_heavy_library(folder: Path) -> None:
    program = (
        "import sys; from crmmap.cli import main; main(['--help']); main(['run', '--help']); "
        "main(['--version']); print(sorted({'polars', 'sqlalchemy', 'rich', 'yaml', 'requests'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = in_python(program, folder)

    assert "Exit codes:" in done.stdout
    assert done.stderr.strip() == "[]"


def test_a_mapping_is_checked_and_planned_without_the_libraries_that_read_and_write(
    folder: Path,
) -> None:
    program = (
        "import sys; from crmmap.cli import main; main(['check', 'people.yaml']); "
        "main(['plan', 'people.yaml']); print(sorted({'sqlalchemy', 'requests', 'jsonschema', "
        "'phonenumbers', 'dateutil', 'pyarrow', 'cryptography', 'rich'} & set(sys.modules)), "
        "file=sys.stderr)"
    )
    done = in_python(program, folder)

    assert "people" in done.stdout
    assert done.stderr.strip().endswith("[]")


def test_a_run_loads_no_library_for_formats_that_its_mapping_has_not(folder: Path) -> None:
    program = (
        "import sys; from crmmap.cli import main; main(sys.argv[1:]); print(sorted("
        "{'lxml', 'crmmap.extract.csv_quick'} & set(sys.modules)), file=sys.stderr)"
    )
    with FaultServer(answer(b'{"items": [{"id": "1", "body": "x"}]}')) as server:
        done = in_python(program, folder, "run", "api.yaml", "-q", **api_env(server))

    assert "1 fetched = 1 inserted" in done.stdout
    assert done.stderr.strip().endswith("[]")


def test_garbage_is_looked_for_once_a_run_begins(folder: Path) -> None:
    program = (
        "import gc, sys; from crmmap.cli import main; "
        "main(); print(gc.isenabled(), gc.get_freeze_count() > 100_000, file=sys.stderr)"
    )
    done = in_python(program, folder, "run", "people.yaml", "-q", **PEOPLE_ENV)

    assert "people" in done.stdout
    assert done.stderr.strip().endswith("True True")


def test_every_command_explains_itself() -> None:
    groups = [each for each in commands.commands.values() if isinstance(each, Group)]
    every = {**commands.commands, **{n: c for group in groups for n, c in group.commands.items()}}
    for name, each in every.items():
        assert each.help, name
        for option in each.params:
            assert option.param_type_name == "argument" or option.help, f"{name} {option.name}"


# --- what the source or the store does ------------------------------------------------------------


def api_env(server: FaultServer) -> dict[str, str]:
    return {"API_URL": server.url, "API_TOKEN": "canary-secret-7731"}


def test_a_stream_that_fails_is_told_with_what_and_where(folder: Path) -> None:
    echo = answer(b'{"error": "bad token canary-secret-7731"}', 400)
    with FaultServer(echo) as server:
        ran = crmmap(folder, "run", "api.yaml", env=api_env(server))

    assert ran.code == 1
    assert "failed notes:" in ran.out
    assert "400" in ran.out
    assert "crmmap run api.yaml" in ran.out
    assert "stays" not in ran.out  # nothing was committed
    assert "canary-secret-7731" not in ran.out + ran.err


def test_the_command_that_goes_on_leaves_a_given_secret_to_be_filled_in(folder: Path) -> None:
    with FaultServer(answer(b"{}", 500)) as server:
        given = ("--set", f"url={server.url}", "--set", "token=canary-secret-7731")
        ran = crmmap(folder, "run", "api.yaml", "-q", *given)

    assert f"  crmmap run api.yaml --set url={server.url} --set token=…\n" in ran.out


def test_refused_credentials_exit_4(folder: Path) -> None:
    with FaultServer(answer(b"{}", 401)) as server:
        ran = crmmap(folder, "run", "api.yaml", "--json", env=api_env(server))

    assert ran.code == 4
    assert ran.json["exit_code"] == 4
    assert "401" in ran.json["streams"][0]["message"]


def test_a_store_that_cant_be_reached_exits_4_without_its_password(folder: Path) -> None:
    store = "postgresql://me:canary-secret-7731@127.0.0.1:1/x"
    ran = crmmap(folder, "run", "people.yaml", "--store", store, env=PEOPLE_ENV)

    assert ran.code == 4
    assert ran.out == ""
    assert "error: people:" in ran.err
    assert "canary-secret-7731" not in ran.err


def test_what_stops_one_mapping_does_not_lose_the_reports_of_others(folder: Path) -> None:
    with FaultServer(answer(b"{}", 500)) as server:
        words = ("run", "api.yaml", "people.yaml", "-q")
        ran = crmmap(folder, *words, env={**api_env(server), **PEOPLE_ENV})

    assert ran.code == 1
    assert "2 mappings: 1 failed and 1 done" in ran.out


# --- stopping -------------------------------------------------------------------------------------


def endless(folder: Path, seen: Event, hold: Event) -> FaultServer:
    """Serve a page after a page; from the third on, only once `hold` is set."""

    def page(request: Seen) -> bytes:
        after = int(request.target.partition("after=")[2] or 0)
        if after == 2:
            seen.set()
        if after >= 2:
            hold.wait(60)
        return answer(json.dumps({"items": [{"id": str(after)}], "next": after + 1}).encode())

    return FaultServer(page)


@pytest.fixture
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], FaultServer, Event]]:
    """A run in the middle of its reading; the event lets the source answer."""
    seen, hold = Event(), Event()
    with endless(folder, seen, hold) as server:
        process = subprocess.Popen(
            command("run", "api.yaml"), cwd=folder, env=environment(**api_env(server)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert seen.wait(60)
            yield process, server, hold
        finally:
            hold.set()
            process.kill()
            process.communicate()


def test_an_interrupted_run_keeps_what_it_has_and_says_how_to_go_on(running, folder: Path) -> None:
    process, _, hold = running
    process.send_signal(signal.SIGINT)
    lines = iter(process.stderr.readline, "")
    assert any("finishing the batch in flight; press Ctrl-C again" in line for line in lines)
    hold.set()
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "interrupted" in out
    assert "To go on from here:\n  crmmap run api.yaml" in out
    rows = sqlite3.connect(folder / "crmmap.db").execute("SELECT count(*) FROM api_notes")
    assert rows.fetchone()[0] >= 2


def test_a_second_signal_ends_the_process_at_once(running) -> None:
    process, _, _ = running
    process.send_signal(signal.SIGINT)
    lines = iter(process.stderr.readline, "")
    assert any("finishing the batch" in line for line in lines)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert err == "stopped at once; what was committed stays; run it again to go on\n"


def test_a_terminal_that_hangs_up_stops_a_run_in_good_order(running, folder: Path) -> None:
    process, _, hold = running
    process.send_signal(signal.SIGHUP)
    lines = iter(process.stderr.readline, "")
    assert any("finishing the batch" in line for line in lines)
    hold.set()
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "To go on from here:" in out


def test_an_ignored_hangup_stays_ignored() -> None:
    program = (
        "import os, signal; from crmmap.cli.stopping import stopping\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with stopping(lambda: None, 'x') as stop:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    print(stop.wait(0.2))"
    )
    done = subprocess.run(
        [command()[0], "-c", program], env=environment(), capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"


def test_an_interruption_while_the_program_is_being_loaded_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(9**9): pass\n"
    )
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    done = subprocess.run(
        command("schema"), env=environment(PYTHONPATH=path), capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


# --- outputs --------------------------------------------------------------------------------------


def with_outputs(folder: Path, redirection: str, *words: str) -> tuple[int, str]:
    """Run a command with a shell's redirections; return its code and what else it has said."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command(*words)], cwd=folder,
        env=environment(**PEOPLE_ENV), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_output_changes_no_exit_code(folder: Path, redirection: str) -> None:
    write(folder, bad_yaml="crmmap: 1\n")

    run = with_outputs(folder, redirection, "run", "people.yaml", "-q")
    check = with_outputs(folder, redirection, "check", "bad.yaml")
    usage = with_outputs(folder, redirection, "run", "nowhere")

    assert (run[0], check[0], usage[0]) == (0, 2, 2)
    assert "unexpectedly" not in run[1] + check[1] + usage[1]
    rows = sqlite3.connect(folder / "crmmap.db").execute("SELECT count(*) FROM people")
    assert rows.fetchone() == (2,)


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@needs_full
@pytest.mark.parametrize(
    "words",
    [("schema",), ("plan", "people.yaml", "--json"), ("run", "people.yaml", "-q"), ("--help",)],
)
def test_a_result_that_cant_be_written_is_an_error(folder: Path, words: tuple[str, ...]) -> None:
    code, said = with_outputs(folder, ">/dev/full", *words)

    assert code == 1
    assert said == "error: standard output can't be written to: No space left on device\n"


@needs_full
def test_a_message_that_cant_be_written_changes_no_exit_code(folder: Path) -> None:
    assert with_outputs(folder, "2>/dev/full", "run", "nowhere") == (2, "")
    assert with_outputs(folder, "2>/dev/full", "run", "people.yaml")[0] == 0


@pytest.mark.parametrize("words", [("plan", "people.yaml"), ("--help",)])
def test_a_closed_pipe_is_no_failure(folder: Path, words: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        command(*words), cwd=folder, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()

    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_progress_that_nobody_reads_does_not_stop_a_run(folder: Path) -> None:
    process = subprocess.Popen(
        command("run", "people.yaml"), cwd=folder, env=environment(**PEOPLE_ENV),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stderr.close()

    assert process.wait(timeout=60) == 0


# --- errors ---------------------------------------------------------------------------------------


def test_a_group_of_our_errors_is_told_leaf_by_leaf() -> None:
    group = ExceptionGroup(
        "x", [SourceError("one"), ExceptionGroup("y", [StoreLocked("two"), SourceError("one")])]
    )

    assert told(group, Surroundings(environment={})) == ("one\ntwo", ExitCode.LOCKED)


def test_a_bug_is_told_by_its_type_and_kept_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    surroundings = Surroundings(environment={}, secrets=[Secret("canary-secret-7731")])
    error = ExceptionGroup("x", [SourceError("ours"), KeyError("canary-secret-7731 of Ada")])

    message, code = told(error, surroundings)

    (file,) = tmp_path.iterdir()
    assert code == 1
    assert "crmmap failed unexpectedly (SourceError, KeyError)" in message
    assert str(file) in message
    assert "Ada" not in message
    assert "canary" not in file.read_text()
    assert "KeyError" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_bug_shows_its_traceback_where_that_is_asked_for() -> None:
    message, _ = told(KeyError("x"), Surroundings(environment={"CRMMAP_DEBUG": "1"}))

    assert message.startswith("KeyError: 'x'")


def test_main_returns_its_code_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(commands, "main", broken)

    assert entry.main(["schema"]) == 1
    assert "failed unexpectedly (RuntimeError)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("postgresql://me:p%40ss@h:5/d", "postgresql://me:***@h:5/d"),
        ("postgresql://me:p@ss@h/d?sslpassword=x", "postgresql://me:***@h/d?***"),
        ("postgresql://me@h/d", "postgresql://me@h/d"),
        ("sqlite:///x.db?timeout=30", "sqlite:///x.db?timeout=30"),
        ("mysql://me:p@h/d?ssl_ca=/a/b.pem&x=1", "mysql://me:***@h/d?***"),
        ("mysql://me:p@h/d?ssl_ca=/a/b.pem&x_timeout=1", "mysql://me:***@h/d?***"),
        (
            "mysql://me@h/d?ssl_ca=/a/b.pem&lock_timeout=5",
            "mysql://me@h/d?ssl_ca=/a/b.pem&lock_timeout=5",
        ),
        ("postgresql://me:p@ss?sslmode=w@h/d", "postgresql://me:***@ss?***"),
    ],
)
def test_a_stores_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_a_stores_password_is_a_secret_however_it_is_written() -> None:
    surroundings = Surroundings(environment={"CRMMAP_STORE": "postgresql://me:can%40ary77@h/d"})
    store_url(None, surroundings)

    assert surroundings.clean("can@ary77 can%40ary77") == "*** ***"
