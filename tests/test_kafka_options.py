"""How a command finds its brokers and their secrets."""

import click
import pytest

from livetower.kafka_options import kafka_client


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "job.toml"
    file.write_text(
        '[job]\nparallelism = 4\n[kafka]\nbootstrap_servers = "k:9093"\n'
        '[kafka.properties]\n"security.protocol" = "SSL"\n"ssl.key.password" = "${env:KEY_PASSWORD}"\n'
    )
    return file


def test_brokers_and_properties_come_from_the_settings_and_options_win(file, monkeypatch):
    monkeypatch.setenv("KEY_PASSWORD", "s3cr3t")
    properties = {"security.protocol": "SSL", "ssl.key.password": "s3cr3t"}
    assert kafka_client(None, None, file) == ("k:9093", properties)
    given = ("client.id=a=b", "security.protocol=PLAINTEXT", "sasl.password=${env:KEY_PASSWORD}")
    named = {"client.id": "a=b", "security.protocol": "PLAINTEXT", "sasl.password": "s3cr3t"}
    assert kafka_client(None, "other:1", file, given) == ("other:1", properties | named)
    assert kafka_client(None, "other:1", None) == ("other:1", {})


@pytest.mark.parametrize("given", ["client.id", "=x"])
def test_a_property_without_a_name_or_value_is_refused(given):
    with pytest.raises(click.BadParameter, match="NAME=VALUE"):
        kafka_client(None, "k:1", None, (given,))


def test_a_secret_that_is_not_there_is_one_line(file, monkeypatch):
    monkeypatch.delenv("KEY_PASSWORD", raising=False)
    with pytest.raises(click.ClickException, match="needed the environment variable 'KEY_PASSWORD'"):
        kafka_client(None, None, file)
