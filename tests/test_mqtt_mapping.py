"""Every example of every mapping file means what the file says it means, and a wrong file says what is wrong."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.mqtt.mapping import (
    VENDORS,
    Example,
    Kind,
    Mapping,
    MappingError,
    load_mapping,
    load_mappings,
    parse_mapping,
)
from bridge.mqtt.payload import PayloadError
from bridge.settings import Chargers

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
FILES = sorted(VENDORS.glob("*.toml"))
MAPPINGS = {path.stem: load_mapping(path) for path in FILES}
EXAMPLES = [
    pytest.param(mapping, example, id=f"{vendor}-{number}-{example.topic}")
    for vendor, mapping in MAPPINGS.items()
    for number, example in enumerate(mapping.examples)
]


@pytest.mark.parametrize(("mapping", "example"), EXAMPLES)
def test_example_means_what_the_file_says(mapping: Mapping, example: Example) -> None:
    if example.refused:
        with pytest.raises(PayloadError):
            mapping.read(example.topic, example.payload.encode(), example.retained, NOW)
        return
    readings = mapping.read(example.topic, example.payload.encode(), example.retained, NOW)
    said = {
        r.name if r.kind in (Kind.MEASURE, Kind.INFO) else str(r.kind): "cleared" if r.value is None else r.value
        for r in readings
    }
    assert said == example.expect
    for reading in readings:
        assert (reading.device, reading.evse) == (example.device, example.evse)
        assert reading.retained is example.retained
        assert reading.at == (datetime.fromisoformat(example.at) if example.at else None)


@pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=list(MAPPINGS))
def test_every_rule_of_a_file_has_an_example(mapping: Mapping) -> None:
    shown = {
        (r.kind, r.name)
        for example in mapping.examples
        if not example.refused
        for r in mapping.read(example.topic, example.payload.encode(), False, NOW)
    }
    kinds = {kind for kind, _ in shown}
    assert kinds >= mapping.kinds


GOOD = """
[source]
label = "Test"
base = ["t/{device}"]
[[map]]
topic = "power"
measurand = "Power.Active.Import"
unit = "kW"
"""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("topic =", "topik ="), ["map 1", "topik", "known keys are"]),
        (("[source]", "[sauce]"), ["sauce", "known are"]),
        (("Power.Active.Import", "Power.Imaginary"), ["map 1", "topic 'power'", "Power.Imaginary"]),
        (('unit = "kW"', 'kind = "status"'), ["map 1", "table of values"]),
        (('unit = "kW"', 'kind = "status"\nvalues = { 1 = "Busy" }'), ["Busy", "Available"]),
        (('unit = "kW"', 'path = "a["'), ["path 'a['", "a.b[2]"]),
        (('unit = "kW"', 'phase = "{p}"'), ["phase uses {p}", "does not capture"]),
        (('unit = "kW"', 'kind = "info"\nname = "mood"'), ["mood", "firmware"]),
        (('unit = "kW"', 'kind = "gossip"'), ["map 1", "gossip"]),
        (('topic = "power"', 'topic = "a+b"'), ["stray", "captures are written"]),
        (("[[map]]", "[map]"), ["double brackets"]),
        (('label = "Test"', 'label = "Test'), ["not valid TOML"]),
        (('label = "Test"', 'label = "Test"\nsilent_s = -1'), ["[source]", "silent_s"]),
    ],
)
def test_wrong_file_is_refused_with_file_key_and_remedy(
    tmp_path: Path, change: tuple[str, str], says: list[str]
) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(MappingError) as refused:
        load_mapping(path)
    for words in ["odd.toml", *says]:
        assert words in str(refused.value)


def test_settings_choose_vendors_and_a_folder_adds_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "test.toml").write_text(GOOD)
    (tmp_path / "goe.toml").write_text(GOOD.replace("Test", "Our own"))
    chosen = load_mappings(Chargers(vendors=("goe", "test", "evcc"), mappings=tmp_path))
    assert [m.source.label for m in chosen.values()] == ["Our own", "Test", "evcc"]
    assert load_mappings(Chargers()) == {}
    with pytest.raises(MappingError, match=r"no mapping 'tesla'; there are evcc, everest, goe, openwb2"):
        load_mappings(Chargers(vendors=("tesla",)))
    with pytest.raises(MappingError, match="is not a folder"):
        load_mappings(Chargers(mappings=tmp_path / "nowhere"))


def test_filters_follow_from_the_maps() -> None:
    filters = MAPPINGS["evcc"].filters
    assert "evcc/status" in filters
    assert "evcc/loadpoints/+/chargeCurrents/l2" in filters
    assert not [f for f in filters if "site" in f or f.endswith("#")]
    assert "/go-eCharger/+/car" in MAPPINGS["goe"].filters


TEST = parse_mapping("test", GOOD)


@pytest.mark.parametrize(
    "payload",
    [b"NaN", b"1e400", b"-Infinity", b"true", b"null", b"[1]", b"{}", b"", b'"x"', b"9" * 400, b"[" * 50_000, b"\x00"],
)
def test_nonsense_for_a_number_is_no_reading(payload: bytes) -> None:
    assert [r.value for r in TEST.read("t/1/power", payload, False, NOW) if r.value is not None] == []


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PayloadError, match="UTF-8"):
        TEST.read("t/1/power", b"\xff\xfe", False, NOW)


def test_all_keys_of_the_format_work_together() -> None:
    mapping = parse_mapping(
        "all",
        """
[source]
label = "All"
base = ["", "x"]
decode = "split"
connector = "{n}"
empty = "ignore"
ignore = ["-"]
[[map]]
topic = "box-{device}/{n}/data/#"
fields = [
  { path = "[0]", measurand = "Temperature", scale = 0.1, offset = -10, range = [-40, 90] },
  { path = "[1]", kind = "status", bits = { 3 = "Faulted", 1 = "Charging" }, default = "Available" },
  { path = "[2]", kind = "charging" },
]
[[map]]
topic = "box-{device}/{n}/code"
decode = "raw"
kind = "error"
values = { "00ff" = "GroundFailure" }
[[map]]
topic = "box-{device}/{n}/bits"
decode = "json"
kind = "status"
bits = { 3 = "Faulted", 1 = "Charging" }
default = "Available"
[session]
mode = "status"
""",
    )
    one, busy, two, three = mapping.read("x/box-7/2/data/of/today", b"350; 2 ;on", False, NOW) + mapping.read(
        "box-7/2/bits", b"10", False, NOW
    )
    assert busy.value == "Charging"
    assert (one.device, one.evse, one.value, two.value, three.value) == ("7", 2, 25.0, True, "Faulted")
    assert [r.value for r in mapping.read("box-7/2/code", b"\x00\xff", False, NOW)] == ["GroundFailure"]
    assert [r.value for r in mapping.read("box-7/2/bits", b"2", False, NOW)] == ["Charging"]
    assert [r.value for r in mapping.read("box-7/2/bits", b"0", False, NOW)] == ["Available"]
    assert mapping.read("box-7/2/data/a", b"", False, NOW) == []
    assert mapping.read("box-7/2/data/a", b"-,-,-", False, NOW) == []
    assert mapping.read("box-7/2/data/a", b"9999,", False, NOW) == []  # 989.9 degrees
    assert mapping.device("box-/2/bits") == ""
