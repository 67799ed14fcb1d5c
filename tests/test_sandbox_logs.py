import subprocess
from pathlib import Path

import pytest

from livetower.sandbox import Sandbox, SandboxError, flink, kafka
from livetower.sandbox.jars import kafka_jars
from livetower.sandbox.log_files import LOG_MIB, LOGS_KEPT, file_option, rotating
from livetower.sandbox.logs import RotatingLog, print_logs
from livetower.sandbox.startup import died_message


@pytest.mark.parametrize("configuration", [rotating(flink.LOG_LEVELS), rotating(kafka.LOG_LEVELS)])
def test_a_log_rotates_by_size_and_few_files_stay(configuration):
    lines = configuration.splitlines()
    assert "appender.main.type = RollingFile" in lines
    assert f"appender.main.policies.size.size = {LOG_MIB}MB" in lines
    assert f"appender.main.strategy.max = {LOGS_KEPT}" in lines
    assert "CONSOLE" not in configuration


def test_every_process_that_stays_names_its_own_log(tmp_path):
    commands = {
        "jobmanager": flink.jobmanager_command(tmp_path),
        "taskmanager-7": flink.taskmanager_command(tmp_path, "taskmanager-7"),
        "kafka": kafka.broker_command(tmp_path, []),
    }
    for name, command in commands.items():
        assert f"-Dlivetower.log={tmp_path}/log/{name}.log" in command
        assert any(word.startswith("-Dlog4j.configurationFile=") and "client" not in word for word in command)


def test_the_clients_words_stay_on_its_output_which_the_submission_reads(tmp_path):
    command = flink.client_command(tmp_path, "run")
    assert f"-Dlog4j.configurationFile={tmp_path}/conf/{flink.CLIENT_LOG4J}" in command
    assert "CONSOLE" in flink.printed(flink.LOG_LEVELS)


def test_the_broker_has_one_binding_of_its_logging():
    class_path = kafka.java_command(kafka_jars())[-1].split(":")
    names = [Path(jar).name for jar in class_path]
    assert len([name for name in names if name.startswith(("log4j-slf4j-impl", "slf4j-simple"))]) == 1
    assert [n.removeprefix("log4j-slf4j-impl-") for n in names if n.startswith("log4j-slf4j-impl")] == [
        n.removeprefix("log4j-core-") for n in names if n.startswith("log4j-core")
    ]
    assert all(Path(jar).exists() for jar in class_path)


def test_a_jvm_that_talks_without_end_keeps_four_files(tmp_path):
    """A broker that cannot start says why at length; files of 1 KB stand for those of LOG_MIB."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log4j2.properties").write_text(rotating({}).replace(f"{LOG_MIB}MB", "1KB").replace("INFO", "DEBUG"))
    options = [f"-Dlog4j.configurationFile={tmp_path}/log4j2.properties", file_option(tmp_path, "kafka")]
    properties = tmp_path / "server.properties"
    properties.write_text("process.roles=broker\n")
    for _ in range(4):
        command = [*kafka.java_command(kafka_jars(), *options), "kafka.Kafka", str(properties)]
        assert subprocess.run(command, capture_output=True, check=False, cwd=tmp_path).returncode != 0
    files = sorted(path.name for path in (tmp_path / "log").iterdir())
    assert files == ["kafka.log", *(f"kafka.log.{n}" for n in range(1, LOGS_KEPT + 1))]


def test_the_last_lines_reach_back_into_the_file_before(tmp_path):
    log = tmp_path / "a.log"
    (tmp_path / "a.log.1").write_text("1\n2\n3\n")
    log.write_text("4\n5\n")
    assert RotatingLog(log).last(4) == ["2\n", "3\n", "4\n", "5\n"]
    assert RotatingLog(log).last(1) == ["5\n"]


def test_following_goes_on_in_the_new_file_and_misses_no_line(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("1\n")
    followed = RotatingLog(log)
    assert followed.last(5) == ["1\n"]
    with log.open("a") as file:
        file.write("2\n")
    log.rename(tmp_path / "a.log.1")
    assert followed.added() == ["2\n"]  # between the renaming and the first line of the new file
    log.write_text("3\n")
    assert followed.added() == ["3\n"]
    assert followed.added() == []


def test_logs_are_printed_and_followed_with_their_names(tmp_path, capsys):
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_text("1\n")
    second.write_text("2\n")
    turns = iter([True, True, False])

    def go_on() -> bool:
        second.write_text("2\n3\n")
        return next(turns)

    print_logs({"a": first, "b": second}, 10, True, go_on)
    assert capsys.readouterr().out == f"{'a':15} | 1\n{'b':15} | 2\n{'b':15} | 3\n"


def test_a_log_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    (tmp_path / "kafka.log").write_text("")
    (tmp_path / "kafka.log.1").write_text("")
    with pytest.raises(SandboxError, match=r"no log of 'kafak'; there are: kafka$"):
        print_logs({"kafak": tmp_path / "kafak.log"}, 10, False)


def test_what_a_process_printed_past_its_log_is_shown_when_there_is_any(tmp_path):
    (tmp_path / "log").mkdir()
    sandbox = Sandbox(tmp_path)
    for name in ("kafka.log", "kafka.out", "jobmanager.log", "jobmanager.out", "taskmanager-1.out"):
        (tmp_path / "log" / name).write_text("" if name == "kafka.out" else "said\n")
    assert list(sandbox.log_files(["kafka", "jobmanager", "taskmanager-1"])) == [
        "kafka",
        "jobmanager",
        "jobmanager.out",
        "taskmanager-1.out",
    ]


def test_a_process_that_dies_at_the_start_is_quoted_from_both_its_files(tmp_path):
    log, output = tmp_path / "kafka.log", tmp_path / "kafka.out"
    output.write_text("Error: could not find or load main class\n")
    said = died_message("kafka", log, output)
    assert said.startswith("kafka ended while it was starting")
    assert "could not find" in said
    log.write_text("".join(f"line {n}\n" for n in range(20)))
    assert "line 12\n" in died_message("kafka", log, output)
    assert "line 11\n" not in died_message("kafka", log, output)
