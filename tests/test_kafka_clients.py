"""One [kafka] for both clients: what Java gets, what librdkafka gets, and that secrets stay where they are named."""

import pytest

from flink_jobs.kafka_clients import java_properties, librdkafka_properties, load_kafka, resolved
from flink_jobs.settings import InvalidSettings, KafkaSettings, load_settings
from flink_jobs.tables import all_tables

SECRET = "s3cr3t-Wort"
JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="shop" password="${env:PW}";'
SECURED = {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.jaas.config": JAAS}
SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common."


def test_java_gets_the_name_of_a_secret_and_the_provider_that_knows_it():
    assert java_properties(KafkaSettings(properties=SECURED)) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": f'{SHADED}security.plain.PlainLoginModule required username="shop" password="${{env:PW}}";',
        "config.providers": "env",
        "config.providers.env.class": f"{SHADED}config.provider.EnvVarConfigProvider",
    }


def test_a_class_that_is_named_as_the_connector_has_it_stays_so():
    named = {"sasl.jaas.config": f"{SHADED}security.scram.ScramLoginModule required;"}
    assert java_properties(KafkaSettings(properties=named)) == named


def test_a_whole_file_is_a_file_of_a_directory_for_kafka_and_a_line_of_one_stays():
    given = {"ssl.key.password": "${file:/run/secrets/key}", "ssl.keystore.password": "${file:/etc/kafka.ini:store}"}
    java = java_properties(KafkaSettings(properties=given))
    assert java["ssl.key.password"] == "${directory:/run/secrets:key}"
    assert java["ssl.keystore.password"] == "${file:/etc/kafka.ini:store}"
    assert java["config.providers"] == "directory,file"


def test_providers_that_somebody_set_are_left_alone():
    given = {"config.providers": "vault", "config.providers.vault.class": "my.Vault", "ssl.key.password": "${env:A}"}
    assert java_properties(KafkaSettings(properties=given)) == given


def test_librdkafka_gets_the_same_login_with_the_secret_in_its_place():
    kafka = KafkaSettings(
        properties=SECURED
        | {"ssl.truststore.type": "PEM", "ssl.truststore.location": "/ca.pem", "fetch.min.bytes": "1"}
    )
    assert librdkafka_properties(kafka, {"PW": SECRET}) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "shop",
        "sasl.password": SECRET,
        "ssl.ca.location": "/ca.pem",
    }


@pytest.mark.parametrize(
    ("java", "expected"),
    [
        ({"ssl.keystore.type": "PEM", "ssl.keystore.location": "/k.pem"},
         {"ssl.certificate.location": "/k.pem", "ssl.key.location": "/k.pem"}),
        ({"ssl.keystore.type": "PKCS12", "ssl.keystore.location": "/k.p12", "ssl.keystore.password": "${env:PW}"},
         {"ssl.keystore.location": "/k.p12", "ssl.keystore.password": SECRET}),
        ({"ssl.keystore.key": "${env:PW}", "ssl.keystore.certificate.chain": "chain"},
         {"ssl.key.pem": SECRET, "ssl.certificate.pem": "chain"}),
        ({"ssl.truststore.certificates": "pem"}, {"ssl.ca.pem": "pem"}),
        ({"ssl.endpoint.identification.algorithm": ""}, {"ssl.endpoint.identification.algorithm": "none"}),
        ({"request.timeout.ms": "1000", "client.id": "shop"}, {"client.id": "shop"}),
    ],
    ids=lambda given: ", ".join(given),
)  # fmt: skip
def test_librdkafka_has_other_names_for_the_same(java, expected):
    assert librdkafka_properties(KafkaSettings(properties=java), {"PW": SECRET}) == expected


def test_admin_properties_win_and_stand_in_for_what_cannot_be_translated():
    kafka = KafkaSettings(
        properties={"ssl.truststore.location": "/trust.jks", "client.id": "java"},
        admin_properties={"ssl.ca.location": "/ca.pem", "client.id": "other", "ssl.key.password": "${env:PW}"},
    )
    assert librdkafka_properties(kafka, {"PW": SECRET}) == {
        "ssl.ca.location": "/ca.pem",
        "client.id": "other",
        "ssl.key.password": SECRET,
    }


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"ssl.truststore.location": "/t.jks"}, "needed ssl.truststore.type PEM"),
        ({"ssl.keystore.location": "/t.jks"}, "needed ssl.keystore.type PEM or PKCS12"),
        ({"sasl.mechanism": "PLAIN", "sasl.jaas.config": 'M required password="x-s3cr3t-Wort";'}, "no username"),
        ({"ssl.key.password": "${env:NOT_THERE}"}, "needed the environment variable 'NOT_THERE'"),
        ({"ssl.key.password": "${file:/nowhere}"}, "needed what ${file:/nowhere} names; got No such file"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_named_without_a_value(properties, message):
    with pytest.raises(InvalidSettings) as refused:
        librdkafka_properties(KafkaSettings(properties=properties), {"PW": SECRET})
    assert message in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_secret_comes_from_a_file_a_line_of_a_file_or_a_file_of_a_directory(tmp_path):
    (tmp_path / "whole").write_text(SECRET)
    (tmp_path / "lines.properties").write_text(f"# pw=no\nother=1\npw = {SECRET}\n")
    for reference in (f"file:{tmp_path}/whole", f"file:{tmp_path}/lines.properties:pw", f"directory:{tmp_path}:whole"):
        assert resolved("kafka.properties", {"a": f"<${{{reference}}}>"}, {}) == {"a": f"<{SECRET}>"}


def test_a_line_end_behind_a_secret_is_refused_before_kafka_takes_it_for_a_part_of_it(tmp_path):
    (tmp_path / "whole").write_text(SECRET + "\n")
    with pytest.raises(InvalidSettings, match="needed a file without a line end") as refused:
        resolved("kafka.properties", {"a": f"${{file:{tmp_path}/whole}}"}, {})
    assert SECRET not in str(refused.value)


def test_the_tables_of_the_job_name_a_secret_and_never_hold_it(monkeypatch):
    monkeypatch.setenv("PW", SECRET)
    settings = load_settings(
        None, ["job.snapshot_root=/s", *(f"kafka.properties.{name}={value}" for name, value in SECURED.items())]
    )
    for statement in all_tables(settings):
        assert SECRET not in statement
        assert 'password="${env:PW}"' in statement
        assert f"'properties.config.providers.env.class' = '{SHADED}config.provider.EnvVarConfigProvider'" in statement


def test_the_section_kafka_is_read_from_a_file_that_says_nothing_else(tmp_path):
    file = tmp_path / "kafka.toml"
    file.write_text('[kafka]\nbootstrap_servers = "k:9093"\n[kafka.properties]\n"security.protocol" = "SSL"\n')
    assert load_kafka(file) == KafkaSettings("k:9093", {"security.protocol": "SSL"})
    file.write_text("[kafka]\nbrokers = 1\n")
    with pytest.raises(InvalidSettings, match=r"kafka\.brokers: no such setting"):
        load_kafka(file)
