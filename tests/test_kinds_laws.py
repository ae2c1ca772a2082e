"""Laws that hold for every value, against the libraries that we speak for."""

import json
import os
import re
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from fractions import Fraction
from random import Random

import phonenumbers
import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from crmmap.kinds import contacts, numbering_plans, references
from crmmap.kinds.clean import CLEAN
from crmmap.kinds.flexible import flexible_datetime
from crmmap.kinds.time_formats import halves
from crmmap.kinds.types import TYPES
from phone_texts import phone_text

LAW_EXAMPLES = int(os.environ.get("CRMMAP_LAW_EXAMPLES", "0"))
LAW_SEED = int(os.environ.get("CRMMAP_LAW_SEED", "5"))
MANY = max(200, LAW_EXAMPLES)
"""Values of which a column is read at once."""


def law(examples):
    """Return so many examples, or as many as `CRMMAP_LAW_EXAMPLES` asks for."""
    return settings(max_examples=max(examples, LAW_EXAMPLES), deadline=None)


VARIANTS = [
    pytest.param(TYPES[word](**attributes), id=f"{word}-{number}")
    for number, (word, attributes) in enumerate(
        [
            ("text", {}),
            ("text", {"length": 5}),
            ("integer", {}),
            ("number", {}),
            ("decimal", {}),
            ("decimal", {"precision": 38, "scale": 10, "round": "half_even"}),
            ("decimal", {"precision": 5, "scale": 0, "round": "half_up", "group": ","}),
            ("decimal", {"precision": 3, "scale": 3, "currency": True}),
            ("boolean", {}),
            ("boolean", {"yes": ("oui",), "no": ("non",)}),
            ("date", {}),
            ("date", {"formats": ("%m/%d/%y", "%d.%m.%Y")}),
            ("date", {"flexible": True}),
            ("datetime", {}),
            ("datetime", {"zone": "Europe/Berlin", "ambiguous": "latest"}),
            ("datetime", {"formats": ("%m/%d/%Y %I:%M:%S %p",), "zone": "America/New_York"}),
            ("datetime", {"formats": ("%Y%m%d%H%M%S.%f%z",)}),
            ("datetime", {"formats": ("epoch_s",)}),
            ("datetime", {"formats": ("epoch_ms", "%d %B %Y")}),
            ("datetime", {"flexible": True}),
            ("email", {}),
            ("phone", {}),
            ("phone", {"region": "DE"}),
            ("enum", {"values": ("Open", "Won")}),
            ("enum", {"values": ("Open", "Won"), "case": "ignore"}),
            ("json", {}),
            ("datetime", {"formats": ("odata", "rfc2822")}),
            ("datetime", {"formats": ("rfc2822",)}),
            ("time", {}),
            ("time", {"formats": ("%I:%M %p",)}),
            ("duration", {}),
            ("duration", {"unit": "minutes"}),
            ("url", {}),
            ("url", {"scheme": "http"}),
            ("uuid", {}),
        ]
    )
]


EVERY_READING = [
    each.values[0].read(pl.col("text")).alias(each.id) for each in VARIANTS
]  # fmt: skip
EVERY_READING_OF_WHAT_IS_SHOWN = [
    each.values[0].read(each.values[0].show(pl.col(each.id))).alias(each.id) for each in VARIANTS
]


def read(kind, *texts):
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    return frame.select(value=kind.read(pl.col("text"))).to_series()


def show(kind, values):
    return values.to_frame("value").select(kind.show(pl.col("value"))).to_series()


def as_text(value):
    """Return a JSON value as selection gives it to a type."""
    if isinstance(value, str):
        return value
    return json.dumps(value)


@pytest.mark.parametrize("kind", VARIANTS)
def test_samples_are_read_and_spoilt_ones_are_refused(kind):
    random = Random(7)
    samples = [kind.sample(random) for _ in range(200)]
    assert read(kind, *map(as_text, samples)).null_count() == 0
    assert {json_kind(value) for value in samples} <= kind.accepts
    spoilt = [value for _ in range(50) if (value := kind.spoil(random)) is not None]
    assert read(kind, *map(as_text, spoilt)).drop_nulls().to_list() == []
    assert {json_kind(value) for value in spoilt} <= kind.accepts


def json_kind(value):
    kinds = {str: "string", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "container")


@pytest.mark.parametrize("kind", VARIANTS)
def test_what_is_shown_is_read_as_the_same(kind):
    random = Random(8)
    values = read(kind, *(as_text(kind.sample(random)) for _ in range(100)))
    shown = show(kind, values)
    assert shown.dtype == pl.String
    assert read(kind, *shown).to_list() == values.to_list()


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("texts", [[], [None], [None, None]])
def test_empty_and_null_columns_keep_length_and_type(kind, texts):
    values = read(kind, *texts)
    assert values.dtype == kind.dtype
    assert values.to_list() == texts
    assert show(kind, values).to_list() == texts


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=8
    )
)
@example(
    texts=["-0001-01-01", "262143-12-31", "9999-12-31T23:59:59-23:59", "1e400", "NaN", "9" * 400]
)
def test_no_text_trips_a_type_and_what_is_read_is_stable(texts):
    values = pl.DataFrame({"text": texts}, schema={"text": pl.String}).select(EVERY_READING)
    cells = values.to_dict(as_series=False)  # Python, and so every driver, can hold them
    assert values.select(EVERY_READING_OF_WHAT_IS_SHOWN).to_dict(as_series=False) == cells


@pytest.mark.parametrize("kind", VARIANTS)
def test_sqlite_columns_fit_strict_tables_and_postgresql_has_them(kind):
    table = sa.Table("t", sa.MetaData(), sa.Column("c", kind.sql()))
    lite = str(CreateTable(table).compile(dialect=sqlite.dialect())).split("c ")[1].split()[0]
    assert lite in ("INTEGER", "REAL", "TEXT", "BLOB")
    assert CreateTable(table).compile(dialect=postgresql.dialect()).string


# --- numbers ------------------------------------------------------------------------------------

digits = st.text("0123456789", max_size=24)
numerals = st.builds(
    "{}{}{}{}".format, st.sampled_from(["", "-", "+"]), digits, st.sampled_from(["", "."]), digits
)


@law(300)
@given(
    text=numerals,
    scale=st.integers(0, 12),
    extra=st.integers(0, 20),
    how=st.sampled_from(["refuse", "half_even", "half_up"]),
)
def test_decimal_is_pythons_decimal(text, scale, extra, how):
    kind = TYPES["decimal"](precision=max(scale + extra, 1), scale=scale, round=how)
    assert read(kind, text)[0] == expected_decimal(text, kind)


def expected_decimal(text, kind):
    roundings = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "refuse": ROUND_HALF_UP}
    with localcontext(prec=100):
        try:
            exact = Decimal(text)
        except InvalidOperation:
            return None
        value = exact.quantize(Decimal(1).scaleb(-kind.scale), roundings[kind.round])
        if kind.round == "refuse" and value != exact:
            return None
        return value if abs(value) < Decimal(10) ** (kind.precision - kind.scale) else None


@law(200)
@given(text=numerals)
def test_integer_is_the_whole_number_or_nothing(text):
    try:
        exact = Fraction(Decimal(text))
    except InvalidOperation:
        exact = None
    starts_with_digit = text.lstrip("+-")[:1].isdigit()
    fits = exact is not None and exact.denominator == 1 and -(2**63) <= exact < 2**63
    assert read(TYPES["integer"](), text)[0] == (int(exact) if fits and starts_with_digit else None)


@law(200)
@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_number_keeps_every_bit(number):
    kind = TYPES["number"]()
    value = read(kind, repr(number))
    assert value[0] == number
    assert read(kind, *show(kind, value))[0] == number


@law(100)
@given(
    value=st.integers(0, 10**12 - 1),
    group=st.sampled_from([",", ".", " ", "'"]),
    point=st.sampled_from([".", ","]),
)
def test_grouped_decimals_mean_what_they_show(value, group, point):
    if group == point:
        return
    kind = TYPES["decimal"](precision=14, scale=2, group=group, point=point)
    exact = Decimal(value).scaleb(-2)
    text = f"{exact:,.2f}".translate({ord(","): group, ord("."): point})
    assert read(kind, text)[0] == exact


# --- times --------------------------------------------------------------------------------------

offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(
    lambda each: timezone(timedelta(minutes=each // timedelta(minutes=1)))
)


@law(200)
@given(
    moment=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    zone=st.none() | offsets,
    spec=st.sampled_from(["auto", "minutes", "seconds", "milliseconds", "microseconds"]),
    separator=st.sampled_from("T "),
)
def test_datetime_is_pythons_fromisoformat(moment, zone, spec, separator):
    text = moment.replace(tzinfo=zone).isoformat(separator, spec)
    expected = datetime.fromisoformat(text)
    expected = expected.replace(tzinfo=UTC) if zone is None else expected
    assert read(TYPES["datetime"](), text)[0] == expected


@law(300)
@given(
    text=st.text("0123456789-:.TZ+ ", max_size=32)
    | st.from_regex(
        r"\A20[0-9]{2}-[0-3][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]"
        r"(:[0-6][0-9](\.[0-9]{1,7})?)?(Z|[+-][0-2][0-9]:?[0-6][0-9])?\Z"
    )
)
def test_what_datetime_reads_python_reads_alike(text):
    value = read(TYPES["datetime"](), text)[0]
    if value is not None:
        expected = datetime.fromisoformat(text)
        assert value == (expected if expected.tzinfo else expected.replace(tzinfo=UTC))


@law(100)
@given(day=st.dates())
def test_dates_are_pythons(day):
    assert read(TYPES["date"](), day.isoformat())[0] == day
    american = f"{day.month}/{day.day}/{day.year:04}"
    assert read(TYPES["date"](formats=("%m/%d/%Y",)), american)[0] == day


@law(200)
@given(moment=st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30)))
def test_moments_sort_as_their_texts(moment):
    kind = TYPES["datetime"]()
    values = read(kind, moment.isoformat(), "2024-05-06T07:08:09Z", "2024-05-06T07:08:09.5Z")
    assert show(kind, values.sort()).to_list() == sorted(show(kind, values))


FORMATS = (
    "%Y-%m-%d %H:%M", "%m/%d/%Y %I:%M %p", "%m/%d/%y %H:%M:%S", "%d.%m.%Y %H:%M", "%Y%m%d%H%M%S",
    "%b %d, %Y %I:%M:%S %p", "%d %B %Y %H:%M", "%j/%Y %H:%M", "%A, %d %b %Y %H:%M:%S.%f",
    "%d %m %Y %H:%M:%S%z",
)  # fmt: skip


@pytest.mark.parametrize("how", FORMATS)
def test_formats_are_those_of_strptime(how):
    random = Random(LAW_SEED)
    first = datetime(1970, 1, 1, tzinfo=UTC)
    moments = [first + timedelta(seconds=random.randrange(90 * 31_536_000)) for _ in range(MANY)]
    written = [moment.strftime(how) for moment in moments]
    spoilt = [spoil(random, text) for text in written]
    values = read(TYPES["datetime"](formats=(how,)), *written, *spoilt).to_list()
    assert values[:MANY] == [strptime(text, how) for text in written]
    for text, value in zip(spoilt, values[MANY:], strict=True):
        assert value in (None, strptime(text, how)), text


@pytest.mark.parametrize("gap", ["", " ", "  "])
def test_every_hour_of_twelve_is_pythons(gap):
    how = f"%m/%d/%Y %I:%M:%S{gap}%p"
    assert halves(how) is not None
    texts = [
        f"{day} {hour}:{rest}{gap}{half}"
        for day in ("02/29/2024", "02/29/2023", "2/9/2024", "13/01/2024", "12/31/0000")
        for hour in ("00", *(f"{each:02}" for each in range(1, 14)), "0", "1")
        for rest in ("00:00", "59:59", "60:00", "00:60", "0:0")
        for half in ("AM", "PM", "pm", "aM", "M", "XM")
    ]
    values = read(TYPES["datetime"](formats=(how,)), *texts).to_list()
    assert values == [strptime(text, how) for text in texts]


def test_years_of_two_digits_are_in_pythons_century():
    texts = [f"02/06/{year:02}" for year in range(100)]
    expected = [datetime.strptime(text, "%m/%d/%y") for text in texts]
    days = read(TYPES["date"](formats=("%m/%d/%y",)), *texts)
    assert days.to_list() == [each.date() for each in expected]
    moments = read(
        TYPES["datetime"](formats=("%m/%d/%y %H:%M",)), *(f"{each} 00:00" for each in texts)
    )
    assert [each.replace(tzinfo=None) for each in moments] == expected


def strptime(text, how):
    try:
        # Up to nine digits of a second are read, and cut.
        moment = datetime.strptime(re.sub(r"(\.[0-9]{6})[0-9]{1,3}$", r"\1", text), how)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def spoil(random, text, marks="0123456789:-/. TZ+PA"):
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(marks) + text[at + random.randint(0, 1) :]


def test_times_are_pythons():
    random = Random(LAW_SEED)
    clocks = [
        time(random.randrange(24), random.randrange(60), random.randrange(60), random.choice(ends))
        for ends in ((0,), (500_000, 123_456, 1))
        for _ in range(MANY)
    ]
    texts = [clock.isoformat(random.choice(("auto", "microseconds"))) for clock in clocks]
    spoilt = [spoil(random, text) for text in texts]
    values = read(TYPES["time"](), *texts, *spoilt).to_list()
    assert values[: len(clocks)] == clocks
    for text, value in zip(spoilt, values[len(clocks) :], strict=True):
        assert value is None or value == time.fromisoformat(text[:15]), text


def test_durations_are_sums_of_their_parts():
    random = Random(LAW_SEED)
    texts, lengths = [], []
    for _ in range(MANY):
        sign, (days, hours, minutes) = random.choice(("", "-", "+")), random.choices(range(60), k=3)
        second = Decimal(random.randrange(60_000_000)).scaleb(-random.choice((6, 7)))
        second = second.quantize(Decimal("0.000001"))
        clock = hours * 3600 + minutes * 60 + second
        each = {
            f"{hours}:{minutes:02}:{second:09}": clock,
            f"PT{hours}H{minutes}M{second}S": clock,
            f"P{days}DT{second}S": days * 86_400 + second,
            f"P{days}W": Decimal(days * 604_800),
            f"{clock}": clock,
        }
        texts += [sign + text for text in each]
        lengths += [-length if sign == "-" else length for length in each.values()]
    assert read(TYPES["duration"](), *texts).to_list() == lengths


zones = st.sampled_from(["EST", "IST", "GMT", "+3", "-05:00", "T", "Z"])
days = st.sampled_from(
    ["10", "2024", "Jan", "January", "12/13/14", "01/02/2024", "Mon", "5th", "0"]
)
clocks = st.sampled_from(["10:30", "AM", "pm", "24:00", "at"])
parts = zones | days | clocks | st.sampled_from([",", ".", "of", "1e5", "9" * 20])


@law(300)
@given(text=st.lists(parts, max_size=6).map(" ".join) | st.text(max_size=20))
def test_flexible_dates_never_take_a_part_from_nowhere(text):
    understood = flexible_datetime(text)
    if understood is not None:
        moment = datetime.fromisoformat(understood)
        assert f"{moment.year % 100:02}" in text
        assert not {"EST", "IST"} & set(text.split())


# --- the quick way ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "general", "texts"),
    [
        ("email", contacts._any_address, ("ada@example.com", "Ada.L+x@Mail-1.Example.ORG")),
        ("url", references._any_url, ("https://example.com:80/a?b=1#c", "HTTP://www.é.de/")),
        (
            "uuid",
            references._in_digits,
            ("00112233-4455-6677-8899-aAbBcCdDeEfF", "{00112233-4455-6677-8899-aabbccddeeff}"),
        ),
    ],
)
def test_what_is_read_quickly_is_read_alike(kind, general, texts):
    random = Random(LAW_SEED)
    marks = "aZ0é.-@:/?#[]<>{}_%+ \u00a0ß\\\"'"
    odd = [spoil(random, spoil(random, random.choice(texts), marks), marks) for _ in range(400)]
    values = read(TYPES[kind](), *texts, *odd)
    column = pl.DataFrame({"text": [*texts, *odd]}).select(general(pl.col("text")))
    assert values.to_list() == column.to_series().to_list()
    assert values.head(2).null_count() == 0


@pytest.mark.parametrize("how", ["half_even", "half_up"])
def test_signs_groups_and_rounding_change_no_amount(how):
    random = Random(LAW_SEED)
    kind = TYPES["decimal"](group=",", currency=True, round=how)
    exact = [Decimal(random.randrange(10**9)).scaleb(-random.randrange(6)) for _ in range(MANY)]
    write = ("{}", "{:,}", "${:,}", "{} €", "-{}", "-${:,}")
    texts = [random.choice(write).format(each) for each in exact]
    expected = [
        (-each if text[0] == "-" else each).quantize(Decimal("0.01"), f"ROUND_{how.upper()}")
        for each, text in zip(exact, texts, strict=True)
    ]
    assert read(kind, *texts).to_list() == expected
    odd = ["20$00", "1,23.5", "$", "$-+5", "1.2.3", "€ 1,000", "5€5", "1,0000"]
    assert read(kind, *odd).to_list() == [None] * 5 + [1000, None, None]


# --- contacts -----------------------------------------------------------------------------------


PHONE_REGIONS = ("US", "CA", "AG", "GB", "GG", "DE", "IT", "RU", "AR", "JP")
"""Those that differ most in how a number is found in its digits."""
ENOUGH = 10
"""So often are twenty texts read that the plans are used at all."""


@settings(max_examples=10, deadline=None)
@given(
    texts=st.lists(
        st.from_regex(r"\A\+?[0-9() .x-]{0,18}( ext\.? [0-9]{1,5})?\Z") | st.text(max_size=30),
        min_size=20, max_size=20,
    ),
    region=st.sampled_from(PHONE_REGIONS),
)  # fmt: skip
def test_phone_is_the_phonenumbers_library(texts, region):
    expected = [phone_of_library(text, region) for text in texts]
    assert read(TYPES["phone"](region=region), *texts * ENOUGH).to_list() == expected * ENOUGH


def test_phones_in_bulk_are_those_of_the_library():
    """`CRMMAP_LAW_EXAMPLES` says how many, of every region in the world."""
    regions = sorted(phonenumbers.SUPPORTED_REGIONS) if LAW_EXAMPLES else PHONE_REGIONS
    random = Random(LAW_SEED)
    for region in regions:
        texts = [
            phone_text(random, region if random.random() < 0.7 else random.choice(regions))
            for _ in range(max(LAW_EXAMPLES // len(regions), 60))
        ]
        texts = [text for text in texts if len(text) <= 60]
        expected = [phone_of_library(text, region) for text in texts]
        # Often enough for the plans of other countries.
        numbers = read(TYPES["phone"](region=region), *texts * ENOUGH).to_list()
        assert numbers == expected * ENOUGH


def phone_of_library(text, region):
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    extension = f";ext={number.extension}" if number.extension else ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) + extension


@pytest.mark.parametrize("region", [each for each in PHONE_REGIONS if each != "AR"])
def test_plain_phones_need_no_library(region):
    mobile = phonenumbers.PhoneNumberType.MOBILE
    numbers = [
        phonenumbers.example_number(region), phonenumbers.example_number_for_type(region, mobile)
    ]  # fmt: skip
    shapes = vars(phonenumbers.PhoneNumberFormat)
    texts = [
        phonenumbers.format_number(number, shapes[shape]) + extension
        for number in numbers
        for shape in ("E164", "INTERNATIONAL", "NATIONAL")
        for extension in ("", " x12", " ext. 12", ";ext=12")
    ]
    decided = numbering_plans.e164(pl.Series(texts * ENOUGH), region).to_list()
    assert decided == [phone_of_library(text, region) for text in texts] * ENOUGH


def test_phones_of_other_countries_need_no_library_where_there_are_many():
    numbers = pl.Series([f"+49 (0)30 1234{number:03}" for number in range(200)])
    assert numbering_plans.e164(numbers, "US")[199] == "+49301234199"


def test_phone_samples_suit_every_region():
    for region in phonenumbers.SUPPORTED_REGIONS:
        kind = TYPES["phone"](region=region)
        assert read(kind, kind.sample(Random(1)))[0] is not None, region


# --- JSON ---------------------------------------------------------------------------------------

storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(storable, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(document=documents, indent=st.none() | st.integers(0, 3), ascii_only=st.booleans())
def test_json_keeps_the_document_and_drops_the_space(document, indent, ascii_only):
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    compact = json.dumps(document, separators=(",", ":"), ensure_ascii=ascii_only)
    assert read(TYPES["json"](), text)[0] == compact


def test_json_too_deep_is_refused_and_long_numbers_are_kept():
    assert read(TYPES["json"](), "[" * 100_000 + "]" * 100_000)[0] is None
    assert read(TYPES["json"](), "7" * 5000)[0] == "7" * 5000


# --- clean --------------------------------------------------------------------------------------

STEADY = [
    CLEAN["trim"](),
    CLEAN["collapse_spaces"](),
    CLEAN["empty_to_null"](),
    CLEAN["upper"](),
    CLEAN["digits"](),
    CLEAN["null_if"](value=("-",)),
    CLEAN["normalize"](),
    CLEAN["normalize"](form="NFKC"),
    CLEAN["map"](values={"a": "b"}),
]


@settings(max_examples=200, deadline=None)
@given(text=st.none() | st.text() | st.text(" \t\u00a0\u200b-aB<>1", max_size=10))
def test_cleaning_twice_is_cleaning_once(text):
    column = pl.DataFrame({"text": [text]}, schema={"text": pl.String})
    for step in STEADY:
        once = column.select(step.apply(pl.col("text")))
        assert once.select(step.apply(pl.col("text"))).equals(once), step


def test_a_long_chain_of_steps_is_evaluated_once_each():
    # polars evaluates an expression anew wherever it stands: doubled 60 times it would never end.
    text = pl.col("text")
    for number in range(60):
        step = CLEAN["null_if"](value=(f"{number}",)) if number % 2 else CLEAN["empty_to_null"]()
        text = step.apply(text)
    frame = pl.DataFrame({"text": ["7", "8", "", "a"]})
    assert frame.select(text).to_series().to_list() == [None, "8", None, "a"]
