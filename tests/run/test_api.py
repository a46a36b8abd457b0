"""The Python API: `import cio_etl`."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

import cio_etl
from cio_etl.sandbox import Faults, Sandbox
from tests.running import environment, start_program, write_job

MAPPING = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"email": "e_mail"}}
ROWS = ["1,a@b.co", "2,b@@b.co", "3,c@b.co"]  # the second one is rejected


@pytest.fixture
def job(sandbox: Sandbox, keys: None) -> str:
    Path("people.csv").write_text("\n".join(["id,e_mail", *ROWS, ""]))
    Path("people.yaml").write_text(json.dumps(MAPPING))
    steps = {"people": ({"csv": "people.csv"}, "people.yaml")}
    return str(write_job(Path("job.yaml"), sandbox.url, steps, max_rejects=2))


def in_a_new_process(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def in_a_forked_process(program: str) -> str:
    """Likewise, where the libraries may be imported already; nothing is configured in it."""
    with start_program(program, folder=Path(), stderr=subprocess.PIPE) as process:
        printed = "".join(process.communicate(60))
    assert process.returncode == 0, printed
    return printed


# ---------------------------------------------------------------- run


def test_run_returns_the_report(job: str, sandbox: Sandbox) -> None:
    report = cio_etl.run(job)
    assert isinstance(report, cio_etl.Report)
    assert (report.status, report.exit_code, report.resumable) == ("finished", 3, False)
    assert (report.steps[0].accepted, report.steps[0].rejected, report.steps[0].skipped) == (2, 1, 0)
    assert len(sandbox.people) == 2
    page = json.loads(Path(".etl/runs", report.run_id, "report.json").read_text())
    assert page["steps"][0]["accepted"] == 2


def test_run_in_the_sandbox_has_the_manual_segments_of_the_mappings(sandbox: Sandbox, job: str) -> None:
    Path("people.yaml").write_text(
        json.dumps({"operation": "add_to_segment", "segment": 12, "identifiers": {"id": "id"}})
    )
    assert cio_etl.run(job, sandbox=True).steps[0].accepted == 3


def test_run_in_the_sandbox_sends_nothing_to_the_destination_and_needs_no_keys(sandbox: Sandbox, job: str) -> None:
    report = cio_etl.run(job, sandbox=True, environment={})
    assert (report.job, report.steps[0].accepted, sandbox.stats()["requests"]) == ("job.sandbox", 2, 0)
    with pytest.raises(cio_etl.ConfigError):
        cio_etl.run(job, environment={})


def test_python_functions_print_nothing(job: str) -> None:
    """In a process without any log configuration, where structlog would print to stdout."""
    printed = in_a_forked_process(
        f"import cio_etl, structlog; job = {job!r}\n"
        "assert cio_etl.run(job).exit_code == 3\n"
        "assert cio_etl.run(job, sandbox=True).exit_code == 3\n"
        "assert cio_etl.validate(job).exit_code == 3\n"
        "assert len([*cio_etl.preview(job)]) == 3 and cio_etl.check(job) == ()\n"
        "assert not structlog.is_configured()\n"
    )
    assert printed == ""


def test_events_go_to_the_standard_librarys_logger_unless_structlog_is_configured(job: str) -> None:
    printed = in_a_forked_process(
        "import cio_etl, logging; logging.basicConfig(level=logging.INFO, format='%(name)s %(message)s')\n"
        f"cio_etl.run({job!r})\n"
    )
    assert "cio_etl event=run_started run_id=job-" in printed and "event=run_finished" in printed


def test_a_library_call_does_not_change_its_caller_s_logging_and_signal_handlers(job: str) -> None:
    import signal

    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), structlog.get_config())
    handlers = logging.getLogger().handlers[:]
    cio_etl.run(job)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), structlog.get_config()) == before
    assert logging.getLogger().handlers == handlers


def test_run_calls_the_caller_s_progress_function(job: str) -> None:
    seen: list[cio_etl.StepProgress] = []
    cio_etl.run(job, progress=seen.append)
    last = seen[-1]
    assert (last.step, last.rows, last.counts.accepted, last.counts.rejected) == ("people", 3, 2, 1)


def test_a_progress_function_that_raises_does_not_stop_the_run(job: str) -> None:
    calls: list[str] = []

    def broken(progress: cio_etl.StepProgress) -> None:
        calls.append(progress.step)
        raise RuntimeError

    assert cio_etl.run(job, progress=broken).status == "finished"
    assert calls == ["people"]


def test_a_failure_is_raised_and_says_whether_the_run_can_be_resumed(job: str, sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(key_revoked_after=0))
    with pytest.raises(cio_etl.CredentialsRefused) as error:
        cio_etl.run(job)
    assert isinstance(error.value, cio_etl.EtlError)
    assert (error.value.exit_code, error.value.resumable) == (77, True)
    assert "cio-etl" not in str(error.value) + error.value.remedy  # a command is worded by the command line alone
    (folder,) = Path(".etl/runs").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert (report["resumable"], report["resume_command"]) == (True, None)
    assert "cio-etl run" not in (folder / "report.html").read_text()
    sandbox.set_faults(Faults())
    assert cio_etl.run(job).run_id == report["run_id"]


def test_an_interrupted_run_is_resumed(job: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from cio_etl.run import run as line

    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(line, "_send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cio_etl.run(job)
    (folder,) = Path(".etl/runs").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert (report["status"], report["exit_code"], report["reason"]) == ("stopped", 130, "stopped by SIGINT")
    assert cio_etl.run(job).run_id == report["run_id"]


def test_python_examples_of_the_readme_run(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"(?ms)^```python\n(.*?)^```$", readme)
    exec(lines.replace("jobs/people.yaml", job))
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == "people 2 email_malformed"
    assert printed[-2:] == ["people 3 3", "3 2 1"]


# ---------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stpes": ["people"]}, "no option 'stpes'; did you mean 'steps'?"),
        ({"steps": "nobody"}, "job.yaml has no step 'nobody'; it has people"),
        ({"limit": 0}, "`limit`: must be a whole number, 1 or more, of 15 digits at most"),
        ({"limit": 10**15}, "`limit`: must be a whole number, 1 or more, of 15 digits at most"),
        ({"sandbox": "yes"}, "`sandbox`: must be true or false"),
        ({"lanes": 300}, "`lanes`: must be a whole number, 1 to 256, or a share of the lanes such as '0-7/16'"),
        ({"lanes": "9-8/4"}, "`lanes`: '9-8/4': lanes of 4 are 0 to 3"),
        ({"lanes": "0-1/4"}, "workers share a state database: write state: {database: …} in the job file"),
        ({"run_id": "../up"}, "`run_id`: must be up to 100 letters, digits, - and _, beginning with a letter or digit"),
        ({"wait": "soon"}, "`wait`: 'soon': must be a number of seconds, or a duration, as 15 minutes, 2h or 1 day"),
        (
            {"full_refresh": True, "watermark": "7"},
            "`full_refresh` reads everything, `watermark` from a value on; give one of the two",
        ),
    ],
)
def test_a_wrong_argument_of_run_is_an_error_with_exit_code_2(job: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(cio_etl.InvalidArguments) as error:
        cio_etl.run(job, **options)
    assert words in str(error.value)
    assert error.value.exit_code == 2
    assert not Path(".etl").exists()


def test_a_wrong_argument_of_the_other_functions_is_an_error_with_exit_code_2(job: str) -> None:
    with pytest.raises(cio_etl.InvalidArguments, match="`fail_on`: no reason or finding 'emial_malformed'; did you"):
        cio_etl.validate(job, fail_on=["emial_malformed"])
    with pytest.raises(cio_etl.InvalidArguments, match="no option 'sandbox'"):
        cio_etl.validate(job, sandbox=True)
    with pytest.raises(cio_etl.InvalidArguments, match="no option 'sampel'; did you mean"):
        cio_etl.verify(job, sampel=10)
    with pytest.raises(cio_etl.InvalidArguments, match="`rows` must be"):
        cio_etl.preview(job, rows=0)


# ---------------------------------------------------------------- the other functions


def test_validate_reports_what_a_run_would_do(job: str, sandbox: Sandbox) -> None:
    report = cio_etl.validate(job, fail_on=["email_malformed"], report="here", environment={})
    assert (report.exit_code, report.steps[0].accepted, report.steps[0].rejected) == (4, 2, 1)
    assert Path("here/report.html").exists() and sandbox.stats()["requests"] == 0


def test_preview_gives_the_payloads_of_the_first_rows(job: str) -> None:
    first, second = cio_etl.preview(job, rows=2, environment={})
    assert first["payload"]["identifiers"] == {"id": "1"} and (first["step"], first["row"]) == ("people", 1)
    assert second == {"step": "people", "row": 2, "rejected": "email_malformed", "field": "attributes.email"}


def test_check_gives_each_problem_with_its_place(job: str) -> None:
    assert cio_etl.check(job, "people.yaml") == ()
    Path("people.yaml").write_text("{operation: identify, identifiers: {id: id},\n nuls: omit}")
    (problem,) = cio_etl.check(job, "people.yaml")
    assert isinstance(problem, cio_etl.Problem) and problem.line == 2 and "did you mean 'nulls'" in problem.message


def test_load_job_gives_the_checked_job(job: str) -> None:
    loaded = cio_etl.load_job(job)
    assert isinstance(loaded, cio_etl.Job) and loaded.steps[0].name == "people"
    with pytest.raises(cio_etl.ConfigError) as error:
        cio_etl.load_job(job, environment={})
    assert cio_etl.load_job(job, environment={}, secrets=False).name == loaded.name
    assert error.value.problems and error.value.exit_code == 78


# ---------------------------------------------------------------- the package


def test_every_public_name_is_there_and_documented() -> None:
    for name in cio_etl.__all__:
        public = getattr(cio_etl, name)
        assert name in dir(cio_etl)
        if inspect.isfunction(public) or inspect.isclass(public):
            assert public.__doc__, name
    errors = [value for value in vars(cio_etl.errors).values() if inspect.isclass(value)]
    children = {kind.__name__ for kind in errors if issubclass(kind, cio_etl.EtlError)}
    assert children <= {*cio_etl.__all__}
    assert cio_etl.__version__ == importlib.metadata.version("cio-etl")
    with pytest.raises(AttributeError):
        _ = cio_etl.nothing


def test_importing_the_package_loads_no_library() -> None:
    program = "import sys, cio_etl; print(*sys.modules); cio_etl.EtlError; cio_etl.__version__; print(*sys.modules)"
    for loaded in in_a_new_process(program).splitlines():
        roots = {name.partition(".")[0] for name in loaded.split()}
        assert not roots & {"polars", "pydantic", "httpx", "structlog", "rich", "click", "numpy", "sqlalchemy"}


ROOMS = ["cio_etl.run", "cio_etl.run.run", "cio_etl.validate", "cio_etl.validate.dry_run"]


IMPORTS = [
    "import cio_etl, cio_etl.run.run, cio_etl.validate.validation",
    "import cio_etl.run.run, cio_etl.validate.validation; import cio_etl",
    "from cio_etl.run import run_job, RunOptions; from cio_etl.run.run import run_job; import cio_etl",
    "import cio_etl; cio_etl.run; from cio_etl.validate import validate_file; from cio_etl import run, validate",
    "import importlib; importlib.import_module('cio_etl.run.start'); import cio_etl; importlib.reload(cio_etl)",
]


def test_public_functions_stay_callable_after_modules_of_their_names_are_imported() -> None:
    """Each program has a process of its own, forked from one that has the libraries and no module of ours."""
    printed = in_a_new_process(f"""
import os, types, warnings, httpx, numpy, polars, pydantic, ruamel.yaml, sqlalchemy, structlog
warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # of numpy's threads, which no program uses
for program in {IMPORTS!r}:
    child = os.fork()
    if child == 0:
        exec(program)
        import cio_etl
        functions = (cio_etl.run, cio_etl.validate, cio_etl.verify)
        print([type(each) is types.FunctionType for each in functions], flush=True)
        os._exit(0)
    os.waitpid(child, 0)
""")
    assert printed == "[True, True, True]\n" * len(IMPORTS)


def test_a_function_still_runs_after_an_import_from_the_module_of_its_name(job: str) -> None:
    for room in ROOMS:
        importlib.import_module(room)
    from cio_etl.run import run_job

    assert callable(run_job)
    assert cio_etl.run(job).steps[0].accepted == 2
    assert cio_etl.validate(job).steps[0].accepted == 2


def test_another_attribute_of_the_package_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cio_etl, "run", lambda job: "replaced")  # as a test of a program does that uses it
    assert cio_etl.run("job.yaml") == "replaced"  # type: ignore[comparison-overlap]
