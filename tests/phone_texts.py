"""Phone numbers as people write them, of every region, and what only looks like one."""

from functools import cache

import phonenumbers
from phonenumbers import PhoneNumberFormat as Shape

TYPES = [
    value for name, value in vars(phonenumbers.PhoneNumberType).items()
    if name.isupper() and value < 11
]  # fmt: skip
SHAPES = (Shape.E164, Shape.INTERNATIONAL, Shape.NATIONAL, Shape.RFC3966)
MARKS = (" ", "-", ".", "/", "(", ")", "\xa0", "\u2011", "[", "~", "*", "#", "x", "+", ";", ",")
EXTENSIONS = (
    "x{}", " x{}", " x {}", " ext. {}", " ext {}", ";ext={}", ", ext {}", " extn{}", "#{}", " #{}#",
    "/x{}", " / x{}", ",,{}", " EXT.{}", " X{}", " ext. {}#", "x{}x3", " extension {}", ";{}",
)  # fmt: skip
GARBAGE = (
    "1-800-FLOWERS", "none", "\uff0b\uff14\uff19 30 123456", "\u0661\u0662\u0663\u0664\u0665\u0666",
    "tel:+1-410-555-0142", "tel:555-0142;phone-context=+1-410", "410 555 0142;isub=1", "0", "",
    "++14105550142", "+", "555-0142", "4105550142 or 4435550142", "410-555-0142/443-555-0142",
)  # fmt: skip


@cache
def example(region, kind):
    number = phonenumbers.example_number_for_type(region, kind)
    return number or phonenumbers.example_number(region)


def digits(random, most):
    return "".join(random.choice("0123456789") for _ in range(random.randint(1, most)))


def phone_text(random, region):
    """Return a text that may be one of the region's numbers, or has been one."""
    if random.random() < 0.02:
        return random.choice(GARBAGE)
    number = example(region, random.choice(TYPES))
    code, national = str(number.country_code), phonenumbers.national_significant_number(number)
    if random.random() < 0.8:  # another number of the same block, or nearly so
        kept = random.choice((len(national), len(national), 2, 3, 4, 5, 6))
        national = national[:kept] + "".join(random.choice("0123456789") for _ in national[kept:])
    if random.random() < 0.1:
        national = digits(random, 13)
    way = random.random()
    if way < 0.25:
        text = shaped(random, code, national)
    else:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
        trunk = metadata.national_prefix or ""
        abroad = random.choice(("00", "011", metadata.international_prefix or "", "810"))
        lead = random.choice(
            ("", "", trunk, trunk, f"+{code}", f"+{code}", f"+{code}{trunk}", f"+{code}({trunk})",
             code, abroad + code, abroad, f"{code}{trunk}", f"{trunk}{trunk}", f"(+{code})", "+")
        )  # fmt: skip
        text = lead + random.choice(("", " ", "-")) + marked(random, national)
    if random.random() < 0.15:
        text += random.choice(EXTENSIONS).format(digits(random, 10 if way < 0.3 else 5))
    if random.random() < 0.1:
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice(MARKS) + text[at:]
    return text


def shaped(random, code, national):
    zeros = len(national) - len(national.lstrip("0"))
    number = phonenumbers.PhoneNumber(
        country_code=int(code), national_number=int(national),
        italian_leading_zero=zeros > 0, number_of_leading_zeros=zeros or None,
    )  # fmt: skip
    return phonenumbers.format_number(number, random.choice(SHAPES))


def marked(random, national):
    first, second = sorted(random.choices(range(len(national) + 1), k=2))
    parts = national[:first], national[first:second], national[second:]
    style = random.choice(("{}{}{}", "({}) {}-{}", "{}-{}-{}", "{} {} {}", "{}.{}.{}", "{}/{}{}"))
    return style.format(*parts)
