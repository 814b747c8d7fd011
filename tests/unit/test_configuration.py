"""Configuration: every value typed and explained, where it came from, and one sentence per mistake."""

import pathlib
from collections.abc import Callable, Iterator

import jsonschema
import msgspec
import pytest

from monitor.findings import RULES
from monitor.policy import Layer
from streams import setting_rules
from streams.configuration import Configuration, Origin, configure, schema
from streams.setting_fields import BadConfigurationError
from streams.setting_rules import RELATIONS
from streams.settings import Settings

ROOT = pathlib.Path(__file__).parents[2]
BAD_FILES = sorted((ROOT / "tests/contract/config").glob("*.toml"))
EXAMPLE = ROOT / "deploy/config.example.toml"


def write(directory: pathlib.Path, text: str) -> pathlib.Path:
    file = directory / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def origin(of: Configuration, name: str) -> str:
    return next(str(row.origin) for row in of.rows() if row.name == name)


def sentence(*, file: pathlib.Path | None = None, environment: dict[str, str] | None = None, flags: tuple[str, ...] = ()) -> str:
    with pytest.raises(BadConfigurationError) as caught:
        configure(file, environment, flags)
    return str(caught.value)


def test_nothing_given_is_the_defaults_and_they_are_sound() -> None:
    configuration = configure()
    assert configuration.settings == Settings()
    assert {row.origin for row in configuration.rows()} == {Origin.DEFAULT}


def test_every_setting_has_a_type_and_a_sentence() -> None:
    for row in configure(flags=("policy.rule_modes.redirect=enforce", "kafka.topics.marks=m")).rows():
        if row.name not in {"kafka.topics.marks", "policy.rule_modes.redirect"}:
            assert row.description.endswith("."), f"{row.name} isn't explained"
        assert row.type


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path, "[kafka]\npartitions = 5\nclient_id = 'file'\ntopic_prefix = 'file.'\n")
    environment = {"WITHDRAWAL_MONITOR__KAFKA__CLIENT_ID": "environment", "WITHDRAWAL_MONITOR__KAFKA__TOPIC_PREFIX": "environment.", "HOME": "/"}
    configuration = configure(file, environment, ("kafka.topic_prefix=flag.",))
    kafka = configuration.settings.kafka
    assert (kafka.partitions, kafka.client_id, kafka.topic_prefix, kafka.session_timeout_ms) == (5, "environment", "flag.", 6_000)
    names = ("partitions", "client_id", "topic_prefix", "session_timeout_ms")
    assert [origin(configuration, "kafka." + name) for name in names] == ["file", "environment", "flag", "default"]


@pytest.mark.parametrize(
    ("flag", "path", "value"),
    [
        ("kafka.partitions=12", "kafka.partitions", 12),
        ("kafka.idempotent_producer=false", "kafka.idempotent_producer", False),
        ("policy.thresholds.watch_p_value=1e-1", "policy.thresholds.watch_p_value", 0.1),
        ("policy.thresholds.page_base_amount=5000000", "policy.thresholds.page_base_amount", "5000000"),
        ("kafka.ssl_ca_file=", "kafka.ssl_ca_file", None),
        ("log.format=json", "log.format", "json"),
        ('policy.rules_off=["redirect"]', "policy.rules_off", ("redirect",)),
        ('policy.layers=[{layer_id="all", unit="JPY"}]', "policy.layers", (Layer("all", "JPY"),)),
    ],
)
def test_text_becomes_the_settings_type(flag: str, path: str, value: object) -> None:
    found: object = configure(flags=(flag,)).settings
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


def test_a_table_in_the_file_replaces_the_default_and_a_flag_adds_a_row(tmp_path: pathlib.Path) -> None:
    text = "[policy]\nlayers = [{layer_id = 'all', unit = 'JPY'}]\n[policy.assets]\nJPY = {decimals = 0}\n"
    configuration = configure(write(tmp_path, text), None, ("policy.assets.DOGE.decimals=8",))
    assert {name: asset.decimals for name, asset in configuration.settings.policy.assets.items()} == {"JPY": 0, "DOGE": 8}
    assert origin(configuration, "policy.assets.JPY.decimals") == "file"
    assert origin(configuration, "policy.assets.DOGE.decimals") == "flag"


@pytest.mark.parametrize("file", BAD_FILES, ids=lambda file: file.stem)
def test_each_bad_file_is_refused_in_the_sentence_that_it_expects(file: pathlib.Path) -> None:
    expected = file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    expected = expected.replace("{rules}", ", ".join(sorted(RULES)))
    assert sentence(file=file) == expected


def test_there_is_a_bad_file_for_every_relation(monkeypatch: pytest.MonkeyPatch) -> None:
    spoke: set[str] = set()

    def recorded(relation: Callable[[Settings], Iterator[str]]) -> Callable[[Settings], Iterator[str]]:
        def run(settings: Settings) -> Iterator[str]:
            for said in relation(settings):
                spoke.add(relation.__name__)
                yield said

        return run

    monkeypatch.setattr(setting_rules, "RELATIONS", tuple(recorded(relation) for relation in RELATIONS))
    for file in BAD_FILES:
        sentence(file=file)
    assert spoke == {relation.__name__ for relation in RELATIONS}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"flags": ("kafka.partitions",)}, 'A setting on the command line must be written as path.to.setting=value; not "kafka.partitions".'),
        ({"flags": ("kafka.partitons=3",)}, "kafka.partitons is not a setting (by the flag --set kafka.partitons); did you mean partitions?"),
        (
            {"flags": ("kafka.partitions=many",)},
            'kafka.partitions must be a whole number from 1 to 1000; not "many" (by the flag --set kafka.partitions).',
        ),
        (
            {"flags": ("kafka.partitions=1.5",)},
            "kafka.partitions must be a whole number from 1 to 1000; not 1.5 (by the flag --set kafka.partitions).",
        ),
        ({"flags": ("kafka.partitions.x=1",)}, "kafka.partitions is one value (by the flag --set kafka.partitions.x); nothing can be set below it."),
        (
            {"flags": ("policy.assets.DOGE={}",)},
            "policy.assets.DOGE.decimals is missing (by the flag --set policy.assets.DOGE); it must be a whole number from 0 to 24.",
        ),
        (
            {"environment": {"WITHDRAWAL_MONITOR__CAFKA__PARTITIONS": "3"}},
            "cafka is not a setting (in the environment, WITHDRAWAL_MONITOR__CAFKA__PARTITIONS); did you mean kafka?",
        ),
        (
            {"environment": {"WITHDRAWAL_MONITOR__WEB__PORT": "70000"}},
            "web.port must be a whole number from 0 to 65535; not 70000 (in the environment, WITHDRAWAL_MONITOR__WEB__PORT).",
        ),
        ({"file": pathlib.Path("/nowhere/config.toml")}, "The configuration file /nowhere/config.toml can't be read: No such file or directory."),
    ],
)
def test_a_mistake_outside_the_file_is_one_sentence(given: dict[str, object], expected: str) -> None:
    assert sentence(**given) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["file", "environment", "flag"])
def test_a_secret_that_is_no_reference_is_refused_and_never_shown(way: str, tmp_path: pathlib.Path) -> None:
    security = "[kafka]\nsecurity_protocol = 'SASL_SSL'\nsasl_username = 'monitor'\n"
    said = {
        "file": lambda: sentence(file=write(tmp_path, security + "sasl_password = 'hunter2'\n")),
        "environment": lambda: sentence(environment={"WITHDRAWAL_MONITOR__KAFKA__SASL_PASSWORD": "hunter2"}),
        "flag": lambda: sentence(flags=("kafka.sasl_password=hunter2",)),
    }[way]()
    assert "kafka.sasl_password must be a secret reference, env:NAME or file:PATH, or nothing" in said
    assert "hunter2" not in said


def test_a_secret_is_shown_as_its_reference() -> None:
    flags = ("kafka.security_protocol=SASL_SSL", "kafka.sasl_username=monitor", "kafka.sasl_password=env:KAFKA_PASSWORD")
    rows = {row.name: row.value for row in configure(None, {"KAFKA_PASSWORD": "hunter2"}, flags).rows()}
    assert rows["kafka.sasl_password"] == "env:KAFKA_PASSWORD"
    assert "hunter2" not in str(rows)


def test_the_schema_is_json_schema_and_knows_the_defaults() -> None:
    decoded = msgspec.json.decode(schema())
    jsonschema.Draft202012Validator.check_schema(decoded)
    validator = jsonschema.Draft202012Validator(decoded)
    validator.validate(msgspec.json.decode(msgspec.json.encode(Settings())))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"kafka": {"partitions": 0}})


def test_the_example_loads_equals_the_defaults_and_names_every_setting() -> None:
    configuration = configure(EXAMPLE)
    assert configuration.settings == Settings()
    text = EXAMPLE.read_text(encoding="utf-8")
    for row in configuration.rows():
        assert row.name.rpartition(".")[2] in text, f"{row.name} isn't in the example"
